// What clients will say of a certificate and the chain behind it (RFC 5280 §6; RFC 8446 §4.4.2 asks
// for the server's certificate first, then each one's issuer). No I/O.

import { X509Certificate } from "node:crypto";
import { checkServerIdentity, type PeerCertificate } from "node:tls";
import type { Code } from "./codes.ts";
import { type Finding, finding } from "./finding.ts";

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
const DAY_MS = 86_400_000;
const SOON_MS = 14 * DAY_MS;
/** CA/Browser Forum Baseline Requirements §6.1.5. */
const SHORTEST_RSA = 2048;

export interface ChainView {
  /** What the certificate is called, such as `TLS_CERT_FILEPATH "certs/cert.pem"`. */
  readonly named: string;
  /** Milliseconds since 1970. */
  readonly now: number;
  /** The name that clients are expected to connect to. */
  readonly hostname: string;
  /**
   * Of this machine, PEM; asked for only when the file does not hold the whole chain. Undefined where
   * they are not known: then nobody can say whether a chain is whole.
   */
  readonly authorities: () => readonly string[] | undefined;
}

/** The certificates of a PEM text; those that cannot be read are left out. */
export function certificatesOf(pem: string): X509Certificate[] {
  return (pem.match(CERTIFICATE) ?? []).flatMap((block) => {
    try {
      return [new X509Certificate(block)];
    } catch {
      return [];
    }
  });
}

/** @returns nothing where all is in order */
export function judgeChain(pem: string, view: ChainView): Finding[] {
  const certificates = certificatesOf(pem);
  const leaf = certificates[0];
  if (leaf === undefined) return [];
  const faults = [
    ...judgeTime(leaf, view.now),
    ...judgeNames(leaf, view.hostname),
    ...judgeKey(leaf),
    ...judgeIssuers(certificates, view),
  ];
  return faults.map(([code, what]) => finding(code, `${view.named} ${what}`));
}

/** What is wrong; the words go on behind the certificate's name. */
type Fault = readonly [code: Code, what: string];

/** Such as `smtp.example.com, www.example.com`. */
export function namesOf({ subjectAltName }: X509Certificate): string {
  const names = (subjectAltName ?? "").split(", ").map((name) => name.replace(/^[\w ]+:/, ""));
  return shortened(names.filter((name) => name !== ""));
}

/** The issuer's or subject's name as one line. */
export function nameLine(distinguishedName: string): string {
  return distinguishedName.split("\n").filter((part) => part !== "").join(", ");
}

/** Such as `2026-11-24`. */
export function day(time: number): string {
  return new Date(time).toISOString().slice(0, 10);
}

export function daysBetween(from: number, to: number): number {
  return Math.floor((to - from) / DAY_MS);
}

function judgeTime(leaf: X509Certificate, now: number): Fault[] {
  const from = Date.parse(leaf.validFrom);
  const until = Date.parse(leaf.validTo);
  if (now >= until) {
    const days = daysBetween(until, now);
    return [["certificate.expired", `expired on ${day(until)}, ${days} days ago`]];
  }
  if (now < from) {
    return [["certificate.not-yet-valid", `is not valid before ${day(from)}`]];
  }
  // Some authorities issue for six days only: that alone is no reason to warn.
  if (until - now < Math.min(SOON_MS, (until - from) / 3)) {
    const days = daysBetween(now, until);
    return [["certificate.expires-soon", `ends on ${day(until)}, in ${days} days`]];
  }
  return [];
}

function judgeNames(leaf: X509Certificate, hostname: string): Fault[] {
  const { subjectAltName } = leaf;
  if (subjectAltName === undefined || subjectAltName === "") {
    const subject = nameLine(leaf.subject);
    return [["certificate.no-names", `has no subject alternative names (${subject})`]];
  }
  // Not `checkHost`: Deno's knows no wildcards.
  const shown = { subject: {}, subjectaltname: subjectAltName } as unknown as PeerCertificate;
  if (checkServerIdentity(hostname, shown) === undefined) return [];
  const what = `is for ${namesOf(leaf)}, not for SERVER_HOSTNAME "${hostname}"`;
  return [["certificate.name", what]];
}

function judgeKey({ publicKey }: X509Certificate): Fault[] {
  const bits = publicKey.asymmetricKeyDetails?.modulusLength;
  if (publicKey.asymmetricKeyType !== "rsa" || bits === undefined || bits >= SHORTEST_RSA) {
    return [];
  }
  return [["certificate.weak-key", `has an RSA key of ${bits} bits`]];
}

function judgeIssuers(certificates: readonly X509Certificate[], view: ChainView): Fault[] {
  const faults: Fault[] = [];
  const rest = new Set(certificates.keys());
  let at = 0;
  rest.delete(at);
  let disordered = false;
  while (!signedBy(certificates[at]!, certificates[at]!)) {
    const next = [...rest].find((index) => signedBy(certificates[at]!, certificates[index]!));
    if (next === undefined) break;
    if (next !== at + 1) disordered = true;
    rest.delete(next);
    at = next;
    const issuer = certificates[at]!;
    const from = Date.parse(issuer.validFrom);
    const until = Date.parse(issuer.validTo);
    if (view.now >= until || view.now < from) {
      const what =
        `has an intermediate certificate "${nameLine(issuer.subject)}", which was good from ` +
        `${day(from)} to ${day(until)}`;
      faults.push(["certificate.chain-expired", what]);
    }
  }
  const top = certificates[at]!;
  if (signedBy(top, top)) {
    if (at === 0) faults.push(["certificate.self-signed", "is signed by itself"]);
  } else if (
    view.authorities()?.flatMap(certificatesOf).some((root) => signedBy(top, root)) === false
  ) {
    const issuer = nameLine(top.issuer);
    const what = `comes from "${issuer}", which is neither in the file nor known to this machine`;
    faults.push(["certificate.chain-incomplete", what]);
  }
  if (disordered || rest.size > 0) {
    const strays = [...rest].map((index) => index + 1).join(", ");
    const what = rest.size > 0
      ? `has a certificate in it that has no part in the chain, number ${strays}`
      : "has its certificates not in the order of the chain";
    faults.push(["certificate.chain-order", what]);
  }
  return faults;
}

function signedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  try {
    return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
  } catch {
    // Kinds of keys that do not go together.
    return false;
  }
}

const MOST_NAMES = 5;

function shortened(names: readonly string[]): string {
  const more = names.length - MOST_NAMES;
  const shown = names.slice(0, MOST_NAMES).join(", ");
  return more > 0 ? `${shown} and ${more} more` : shown;
}
