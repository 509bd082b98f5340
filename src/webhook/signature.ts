// Signatures of the Standard Webhooks specification, version 1.0.0.
// https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md

import { createHmac } from "node:crypto";
import type { Secret } from "../secret.ts";
import { signingKey } from "../settings/webhook_settings.ts";

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
