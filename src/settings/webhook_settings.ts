// The settings of the webhook: their parsers, and whether they go together.

import { Buffer } from "node:buffer";
import { Secret } from "../secret.ts";
import { isLoopback } from "./listen_address.ts";
import type { SettingName, Settings } from "./schema.ts";
import type { Parser } from "./setting.ts";

/** A secret, because such addresses often have a key in them. */
export const webhookUrl: Parser<Secret> = {
  allowed: "an https URL without user and password (http only to a loopback address)",
  parse(text) {
    const url = URL.canParse(text) ? new URL(text) : undefined;
    if (url === undefined || url.username !== "" || url.password !== "") return undefined;
    const fits = url.protocol === "https:" || url.protocol === "http:" && isLoopback(url.hostname);
    return fits ? new Secret(url.href) : undefined;
  },
};

/** Octets of a key. https://github.com/standard-webhooks/standard-webhooks */
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

export const webhookSecret: Parser<Secret> = {
  allowed: "whsec_ and 24 to 64 bytes in base64; make one with: " +
    'echo "whsec_$(openssl rand -base64 32)"',
  parse: (text) => signingKey(text) === undefined ? undefined : new Secret(text),
};

/** @param valid whether these settings have values that can be judged */
export function webhookProblems(
  settings: Settings,
  valid: (...names: SettingName[]) => boolean,
): string[] {
  if (!valid("WEBHOOK_URL", "WEBHOOK_SECRET")) return [];
  const { WEBHOOK_URL: url, WEBHOOK_SECRET: secret } = settings;
  if (url !== undefined && secret === undefined) {
    return [
      "WEBHOOK_SECRET must be set when WEBHOOK_URL is: it signs the events; make one with: " +
      'echo "whsec_$(openssl rand -base64 32)"',
    ];
  }
  return url === undefined && secret !== undefined
    ? ["WEBHOOK_SECRET is set, but WEBHOOK_URL is not: set it, or unset WEBHOOK_SECRET"]
    : [];
}
