// The claims of a client's own token, and whether they are right for Graph.
// https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference
//
// The signature is not verified: the header of a token for Graph has a nonce that only Graph can verify
// the signature with. So all of this is only claimed, until Graph has accepted a message with the token.

import { Buffer } from "node:buffer";
import { printable } from "../smtp/reply.ts";

/** The claims of a token that has passed every check but Graph's. */
export interface Claims {
  /** UUIDs in lower case. */
  readonly tenantId: string;
  readonly clientId: string;
  /** Milliseconds of Unix time. */
  readonly expiresAt: number;
}

/** Why a token is not used. */
export interface TokenFault {
  readonly code: TokenFaultCode;
  /** For reply and log; never the token. */
  readonly detail: string;
}

/** What can be wrong with a token, for the reference. */
export const TOKEN_FAULTS = {
  TOKEN_MALFORMED: "the token is not a JWT, or lacks a claim that all of Entra ID's tokens have",
  TOKEN_AUDIENCE: "the token is for another service than this cloud's Graph",
  TOKEN_EXPIRED: "the token has expired",
  TOKEN_NOT_YET_VALID: "the token's time has not begun",
  TOKEN_SCOPE: "the token is a user's, and the app in it may not send mail for the user",
  TOKEN_MISMATCH: "the username, or its entry in the lookup, is of another tenant or app",
  TOKEN_REFUSED: "Graph has answered 401 to this very token",
} as const;

export type TokenFaultCode = keyof typeof TOKEN_FAULTS;

/** Milliseconds by which the clocks of Entra ID and of this machine may differ. */
export const CLOCK_SKEW = 60_000;

/** Seconds of Unix time that a Date can hold. */
const LAST_SECOND = 8_640_000_000_000;
/** Characters of a claim that a text quotes. */
const MAX_QUOTED = 100;

const UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/;
const SEGMENT = /^[A-Za-z0-9_-]+$/;

/**
 * Checks audience, time, tenant and app, and the scopes of a user's token.
 *
 * @param audiences the names of Graph in this cloud
 * @param now milliseconds of Unix time
 */
export function readClaims(
  token: string,
  audiences: ReadonlySet<string>,
  now: number,
  scopes: readonly string[] = GRAPH_SCOPES,
): Claims | TokenFault {
  const claims = payloadOf(token);
  if (claims === undefined) {
    return {
      code: "TOKEN_MALFORMED",
      detail: "the token is not a JWT, as Entra ID's for Graph are",
    };
  }
  const { aud, exp, nbf, scp } = claims;
  if (typeof aud !== "string") return without("aud");
  if (!audiences.has(aud)) {
    const shown = JSON.stringify(printable(aud.slice(0, MAX_QUOTED)));
    return { code: "TOKEN_AUDIENCE", detail: `the token is for ${shown}, not for Microsoft Graph` };
  }
  if (!isTime(exp)) return without("exp");
  if (now >= exp * 1000 + CLOCK_SKEW) return expired(exp * 1000);
  if (nbf !== undefined && !isTime(nbf)) return without("nbf");
  if (nbf !== undefined && now < nbf * 1000 - CLOCK_SKEW) {
    const from = new Date(nbf * 1000).toISOString();
    return {
      code: "TOKEN_NOT_YET_VALID",
      detail: `the token is valid from ${from} on: compare the clocks`,
    };
  }
  const tenantId = idIn(claims["tid"]);
  if (tenantId === undefined) return without("tid");
  // `appid` in tokens of version 1.0, which Graph's are; `azp` in those of version 2.0.
  const clientId = idIn(claims["appid"] ?? claims["azp"]);
  if (clientId === undefined) return without("appid");
  // A token without scp is an app's own, whose right to send need not be in it (RBAC for Applications).
  if (scp !== undefined && !sends(scp, scopes)) {
    const detail = `the token is a user's, and its scp has no ${scopes[0]}`;
    return { code: "TOKEN_SCOPE", detail };
  }
  return { tenantId, clientId, expiresAt: exp * 1000 };
}

/** Delegated permissions to send by Graph, one of which a user's token must have. */
const GRAPH_SCOPES = ["Mail.Send", "Mail.Send.Shared"];
/** The same for Exchange by SMTP; Mail.Send is High Volume Email's. */
export const EXCHANGE_SCOPES = ["SMTP.Send", "Mail.Send"];

/** The token is needed for a service that it is not for. */
export function wrongAudience(scope: string): TokenFault {
  return { code: "TOKEN_AUDIENCE", detail: `the token is for Microsoft Graph, not for ${scope}` };
}

/** @param end milliseconds of Unix time */
export function expired(end: number): TokenFault {
  const detail = `the token expired at ${new Date(end).toISOString()}: log in with a new one`;
  return { code: "TOKEN_EXPIRED", detail };
}

/** RFC 7519 §7.2, as far as it goes without the signature. */
function payloadOf(token: string): Record<string, unknown> | undefined {
  const segments = token.split(".");
  if (segments.length !== 3 || !segments.every((segment) => SEGMENT.test(segment))) {
    return undefined;
  }
  const [header, payload] = segments.map(objectIn);
  return header === undefined ? undefined : payload;
}

function objectIn(segment: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(segment, "base64url").toString("utf8"));
    const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
    return isObject ? value as Record<string, unknown> : undefined;
  } catch {
    return undefined;
  }
}

function isTime(value: unknown): value is number {
  return typeof value === "number" && value >= 0 && value <= LAST_SECOND;
}

function idIn(value: unknown): string | undefined {
  if (typeof value !== "string") return undefined;
  const id = value.toLowerCase();
  return UUID.test(id) ? id : undefined;
}

function sends(scp: unknown, wanted: readonly string[]): boolean {
  const scopes = typeof scp === "string" ? scp.split(" ") : [];
  return scopes.some((scope) => wanted.includes(scope));
}

function without(claim: string): TokenFault {
  return { code: "TOKEN_MALFORMED", detail: `the token has no valid ${claim} claim` };
}
