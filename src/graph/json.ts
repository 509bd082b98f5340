// Reads and writes the JSON of Graph's requests and responses.

import { asBuffer } from "../octets.ts";

/** The members of a JSON object; none for octets that are not one. */
export function readObject(body: Uint8Array): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(asBuffer(body).toString("utf8"));
    if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
  } catch {
    // HTML from a proxy, or nothing.
  }
  return {};
}

/** JSON in ASCII (RFC 8259 §7), which has as many characters as octets. */
export function asciiJson(value: unknown): string {
  return JSON.stringify(value).replace(
    /[^\x20-\x7e]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
