// Signatures of the Standard Webhooks specification, version 1.0.0.
// https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md

import { Buffer } from "node:buffer";
import { createHmac } from "node:crypto";
import { Secret } from "../secret.ts";

/** Octets of a key. */
const SHORTEST = 24;
const LONGEST = 64;
const PREFIX = "whsec_";

/** The key of a secret such as `whsec_…`; undefined if it is none, or too short or too long. */
export function signingKey(secret: string): Uint8Array | undefined {
  if (!secret.startsWith(PREFIX)) return undefined;
  const text = secret.slice(PREFIX.length);
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return undefined;
  const key = Buffer.from(text, "base64");
  // A text of another length is not base64.
  if (key.toString("base64").replaceAll("=", "") !== text.replaceAll("=", "")) return undefined;
  return key.length >= SHORTEST && key.length <= LONGEST ? key : undefined;
}

export interface SignedEvent {
  /** The same in each attempt to deliver the event. */
  readonly id: string;
  /** JSON. */
  readonly body: string;
}

/**
 * The header fields of a request.
 *
 * @param seconds of Unix time, of this attempt: receivers refuse old ones
 */
export function signatureFields(
  { id, body }: SignedEvent,
  secret: Secret,
  seconds: number,
): Readonly<Record<string, string>> {
  const key = signingKey(secret.reveal());
  if (key === undefined) throw new Error("the webhook's secret has no key");
  const signature = createHmac("sha256", key).update(`${id}.${seconds}.${body}`).digest("base64");
  return {
    "webhook-id": id,
    "webhook-timestamp": String(seconds),
    "webhook-signature": `v1,${signature}`,
  };
}
