// Whom connections of ours trust, and the proof that a certificate names the host.

import { isIP } from "node:net";
import { checkServerIdentity, getCACertificates, type PeerCertificate } from "node:tls";

/** The one protocol spoken on these connections (RFC 7301). */
export const ALPN_PROTOCOL = "http/1.1";

const lists = new WeakMap<readonly string[], readonly string[]>();

/**
 * The runtime's own authorities with some more. Giving a list to a TLS socket replaces its own.
 *
 * @returns undefined when there are no more: the runtime's own list costs nothing then
 */
export function trusted(more: readonly string[]): readonly string[] | undefined {
  if (more.length === 0) return undefined;
  let list = lists.get(more);
  if (list === undefined) lists.set(more, list = withOwn(more));
  return list;
}

/** Each of them once: SSL_CERT_FILE often names all that the system has, which are the same ones. */
function withOwn(more: readonly string[]): readonly string[] {
  const all = new Map<string, string>();
  for (const certificate of [...getCACertificates("default"), ...more]) {
    all.set(certificate.replace(/\s+/g, ""), certificate);
  }
  return [...all.values()];
}

/** The name to ask for (RFC 6066 §3): an address is none. */
export function serverName(hostname: string): string {
  return isIP(hostname) ? "" : hostname;
}

/** @returns what is wrong with the certificate for this host, undefined when nothing is */
export function identityProblem(
  hostname: string,
  certificate: PeerCertificate | undefined,
): Error | undefined {
  if (certificate?.subject === undefined) {
    return Object.assign(new Error("the service has no certificate"), { code: "ENOCERTIFICATE" });
  }
  return checkServerIdentity(hostname, certificate);
}
