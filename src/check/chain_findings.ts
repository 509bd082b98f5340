// Whether clients will accept a certificate and its chain (RFC 5280 §6; RFC 8446 §4.4.2 asks for the
// server's certificate first, then each one's issuer). No I/O.

import { X509Certificate } from "node:crypto";
import { checkServerIdentity, type PeerCertificate } from "node:tls";
import { isIssuer } from "../certificates/certificate.ts";
import { validityOf } from "../certificates/describe.ts";
import { kindOfCertificate } from "../certificates/key_kind.ts";
import type { Code } from "./codes.ts";
import { type Finding, finding } from "./finding.ts";

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
/** CA/Browser Forum Baseline Requirements §6.1.5. */
const SHORTEST_RSA = 2048;

export interface ChainView {
  /** The certificate's name in findings, such as `TLS_CERT_FILEPATH "certs/cert.pem"`. */
  readonly named: string;
  /** Milliseconds since 1970. */
  readonly now: number;
  /** The name that clients are expected to connect to. */
  readonly hostname: string;
  /** Whether that is only the machine's name, since SERVER_HOSTNAME is not set. */
  readonly unnamed?: boolean;
  /**
   * Of this machine, PEM; asked for only when the file does not hold the whole chain. Undefined if
   * they are not known: then a chain is not judged for completeness.
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

/** @returns nothing if all is in order */
export function judgeChain(pem: string, view: ChainView): Finding[] {
  const certificates = certificatesOf(pem);
  const leaf = certificates[0];
  if (leaf === undefined) return [];
  const faults = [
    ...judgeTime(leaf, view.now),
    ...judgeNames(leaf, view),
    ...judgeKey(leaf),
    ...judgeIssuers(certificates, view),
  ];
  return faults.map(([code, what, fix]) => finding(code, `${view.named} ${what}`, fix));
}

/** What is wrong; the text continues after the certificate's name. */
type Fault = readonly [code: Code, what: string, fix?: string];

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

/** Such as `1 day`. */
export function inDays(count: number): string {
  return count === 1 ? "1 day" : `${count} days`;
}

function judgeTime(leaf: X509Certificate, now: number): Fault[] {
  // The same thresholds as the warnings in the relay's log.
  const { state, days, expires } = validityOf(leaf, now);
  const until = day(expires.getTime());
  switch (state) {
    case "expired":
      return [["certificate.expired", `expired on ${until}, ${inDays(-days)} ago`]];
    case "early": {
      const from = day(Date.parse(leaf.validFrom));
      return [["certificate.not-yet-valid", `is not valid before ${from}`]];
    }
    case "soon":
      return [["certificate.expires-soon", `ends on ${until}, in ${inDays(days)}`]];
    case "good":
      return [];
  }
}

function judgeNames(leaf: X509Certificate, { hostname, unnamed }: ChainView): Fault[] {
  const { subjectAltName } = leaf;
  if (subjectAltName === undefined || subjectAltName === "") {
    const subject = nameLine(leaf.subject);
    return [["certificate.no-names", `has no subject alternative names (${subject})`]];
  }
  // Not `checkHost`: one runtime's knows no wildcards.
  const shown = { subject: {}, subjectaltname: subjectAltName } as unknown as PeerCertificate;
  if (checkServerIdentity(hostname, shown) === undefined) return [];
  const other = unnamed
    ? `the machine's name "${hostname}" (SERVER_HOSTNAME is not set)`
    : `SERVER_HOSTNAME "${hostname}"`;
  return [["certificate.name", `is for ${namesOf(leaf)}, not for ${other}`]];
}

function judgeKey(leaf: X509Certificate): Fault[] {
  const { bits } = kindOfCertificate(leaf) ?? {};
  if (bits === undefined || bits >= SHORTEST_RSA) return [];
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
        `has an intermediate certificate "${nameLine(issuer.subject)}", which is valid from ` +
        `${day(from)} to ${day(until)}`;
      faults.push(["certificate.chain-expired", what]);
    }
  }
  const top = certificates[at]!;
  if (signedBy(top, top)) {
    if (at === 0) faults.push(["certificate.self-signed", "is self-signed"]);
  } else if (
    view.authorities()?.flatMap(certificatesOf).some((root) => signedBy(top, root)) === false
  ) {
    const issuer = nameLine(top.issuer);
    if (at === 0) {
      const what = `comes from "${issuer}", which is neither in the file nor known to this machine`;
      faults.push(["certificate.chain-incomplete", what]);
    } else {
      const what =
        `has a chain that ends with "${nameLine(top.subject)}", from "${issuer}", which ` +
        "is not known to this machine";
      faults.push(["certificate.chain-incomplete", what, OWN_AUTHORITY]);
    }
  }
  if (disordered || rest.size > 0) {
    const strays = [...rest].map((index) => index + 1).join(", ");
    const what = rest.size > 0
      ? `has a certificate in it that does not belong to the chain, number ${strays}`
      : "has its certificates in the wrong order";
    faults.push(["certificate.chain-order", what]);
  }
  return faults;
}

/** Only the root may be missing: it belongs to the clients and not into the file. */
const OWN_AUTHORITY =
  "if that is an authority of your own, have the clients trust it, and name its " +
  "certificate in EXTRA_CA_CERTS_FILEPATH for this machine to know it; if not, append the " +
  "intermediate certificates that are missing";

function signedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return isIssuer(issuer, certificate);
}

const MOST_NAMES = 5;

function shortened(names: readonly string[]): string {
  const more = names.length - MOST_NAMES;
  const shown = names.slice(0, MOST_NAMES).join(", ");
  return more > 0 ? `${shown} and ${more} more` : shown;
}
