// Describes a certificate for the log and for /readyz.

import type { X509Certificate } from "node:crypto";
import { kindName, kindOfCertificate } from "./key_kind.ts";
import type { HandshakeResult } from "./test_handshake.ts";

const DAY_MS = 86_400_000;
/** Days left below which a certificate should have been renewed: Let's Encrypt's have 30 then. */
const SOON_DAYS = 14;

export interface Validity {
  readonly expires: Date;
  /** Whole days left; negative after it has expired. */
  readonly days: number;
  readonly state: "good" | "soon" | "expired" | "early";
}

/**
 * @param now milliseconds since 1970
 * @param soon days left below which it should have been renewed
 */
export function validityOf(leaf: X509Certificate, now: number, soon = SOON_DAYS): Validity {
  const until = Date.parse(leaf.validTo);
  // Not -0.
  const days = Math.trunc((until - now) / DAY_MS) + 0;
  const state = until <= now
    ? "expired"
    : Date.parse(leaf.validFrom) > now
    ? "early"
    : days < soon
    ? "soon"
    : "good";
  return { expires: new Date(until), days, state };
}

/** Fields for the log. */
export function certificateFields(
  leaf: X509Certificate,
  now: number,
): Readonly<Record<string, string | number>> {
  const { expires, days } = validityOf(leaf, now);
  return {
    subject: inOneLine(leaf.subject),
    names: inOneLine(leaf.subjectAltName ?? ""),
    issuer: inOneLine(leaf.issuer),
    serial: leaf.serialNumber.toLowerCase(),
    key: keyOf(leaf),
    from: new Date(leaf.validFrom).toISOString(),
    expires: expires.toISOString(),
    days,
  };
}

/** Fields for the log: protocols and ciphers of the test handshakes, in the same order. */
export function handshakeFields(
  handshakes: readonly HandshakeResult[],
): Readonly<Record<string, string>> {
  return {
    protocols: handshakes.map(({ protocol }) => protocol).join(","),
    ciphers: handshakes.map(({ cipher }) => cipher).join(","),
  };
}

/** Such as `RSA 2048` and `EC P-256`. The runtime's library cannot read keys of all kinds and sizes. */
function keyOf(leaf: X509Certificate): string {
  const kind = kindOfCertificate(leaf);
  return kind === undefined ? "unknown" : kindName(kind);
}

/** Node puts each part of a distinguished name on a line of its own. */
function inOneLine(text: string): string {
  return text.trim().replace(/\r?\n/g, ", ");
}
