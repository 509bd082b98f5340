// The claims of another issuer's token that an app's federated credential must match (RFC 7523 §3). They are
// read for diagnosis only: Entra ID verifies the token.

import { Buffer } from "node:buffer";
import { printable } from "../smtp/reply.ts";
import type { AssertionFacts } from "./proof_source.ts";

/** Characters of a claim that a text quotes. */
const MAX_QUOTED = 300;
/** Seconds of Unix time that a Date can hold. */
const LAST_SECOND = 8_640_000_000_000;

/**
 * @param audience that the token was requested for; left out, its own claim
 * @returns undefined if it is not a JWT, or a claim is missing
 */
export function assertionFacts(assertion: string, audience?: string): AssertionFacts | undefined {
  const segments = assertion.split(".");
  if (segments.length !== 3) return undefined;
  const { iss, sub, aud, exp } = claimsIn(segments[1]!);
  const first: unknown = Array.isArray(aud) ? aud[0] : aud;
  if (!isText(iss) || !isText(sub) || !isText(first)) return undefined;
  if (typeof exp !== "number" || !(exp >= 0 && exp <= LAST_SECOND)) return undefined;
  return {
    issuer: shown(iss),
    subject: shown(sub),
    audience: audience ?? shown(first),
    notAfter: exp * 1000,
  };
}

function claimsIn(segment: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(Buffer.from(segment, "base64url").toString("utf8"));
    return typeof value === "object" && value !== null ? value as Record<string, unknown> : {};
  } catch {
    return {};
  }
}

function isText(value: unknown): value is string {
  return typeof value === "string" && value !== "";
}

function shown(claim: string): string {
  return printable(claim.slice(0, MAX_QUOTED));
}
