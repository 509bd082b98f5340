// The names of header fields (RFC 5322 §2.2).

import type { Buffer } from "node:buffer";
import { LOWER_CASE } from "../octets.ts";

/**
 * The names that most messages have. Taken from here, a name costs no text of its own: two for each field
 * of each message, as written and in lower case.
 */
const KNOWN = [
  "from",
  "to",
  "cc",
  "bcc",
  "date",
  "subject",
  "sender",
  "reply-to",
  "message-id",
  "in-reply-to",
  "references",
  "received",
  "return-path",
  "mime-version",
  "content-type",
  "content-transfer-encoding",
  "content-disposition",
  "content-id",
  "user-agent",
  "x-mailer",
  "x-priority",
  "priority",
  "importance",
  "auto-submitted",
];

const BY_LENGTH: readonly (readonly string[])[] = Array.from(
  { length: Math.max(...KNOWN.map(({ length }) => length)) + 1 },
  (_, length) => KNOWN.filter((name) => name.length === length),
);

/** The name in lower case that is from `start` to `end`; its octets are those of a name (33 to 126). */
export function fieldName(octets: Buffer, start: number, end: number): string {
  for (const name of BY_LENGTH[end - start] ?? []) if (isNamed(octets, start, name)) return name;
  return octets.toString("latin1", start, end).toLowerCase();
}

function isNamed(octets: Buffer, start: number, name: string): boolean {
  for (let i = 0; i < name.length; i++) {
    // A hyphen is one already, and no other octet of a name becomes one.
    if ((octets[start + i]! | LOWER_CASE) !== name.charCodeAt(i)) return false;
  }
  return true;
}
