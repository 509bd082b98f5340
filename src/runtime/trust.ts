// Which authorities outgoing connections trust, and whether a certificate names the host.

import type { PeerCertificate } from "node:tls";
import { isIP } from "../ip_version.ts";
import { late } from "../late_modules.ts";
import { type AlternativeNames, alternativeNames } from "./alternative_names.ts";

/** The only protocol spoken on these connections (RFC 7301). */
export const ALPN_PROTOCOL = "http/1.1";

const lists = new WeakMap<readonly string[], readonly string[]>();

/**
 * The runtime's own authorities and some more. A list given to a TLS socket replaces the runtime's own.
 *
 * @returns undefined if there are no more: then the runtime's own list costs nothing
 */
export function trusted(more: readonly string[]): readonly string[] | undefined {
  if (more.length === 0) return undefined;
  let list = lists.get(more);
  if (list === undefined) lists.set(more, list = withOwn(more));
  return list;
}

/** Each of them once: SSL_CERT_FILE often names the system's authorities, which are in the list already. */
function withOwn(more: readonly string[]): readonly string[] {
  const all = new Map<string, string>();
  for (const certificate of [...late.tls.getCACertificates("default"), ...more]) {
    all.set(certificate.replace(/\s+/g, ""), certificate);
  }
  return [...all.values()];
}

/** The SNI name (RFC 6066 §3); empty for IP addresses. */
export function serverName(hostname: string): string {
  return isIP(hostname) ? "" : hostname;
}

/**
 * Checks that the certificate names the host, by its subjectAltName only (RFC 9525 §2, §6.3): the common
 * name does not count, and a wildcard is the whole leftmost label of a name. An IP address is compared
 * with addresses only. Not `checkServerIdentity` of `node:tls`, which falls back to the common name and
 * accepts `f*.example.com`.
 *
 * @returns what is wrong with the certificate for this host, undefined when nothing is
 */
export function identityProblem(
  hostname: string,
  certificate: Pick<PeerCertificate, "raw"> | undefined,
): Error | undefined {
  if (certificate?.raw === undefined) {
    return Object.assign(new Error("the service has no certificate"), { code: "ENOCERTIFICATE" });
  }
  const found = alternativeNames(certificate.raw);
  const named = isIP(hostname) === 0
    ? found.names.some((pattern) => covers(pattern, withoutRoot(hostname.toLowerCase())))
    : found.addresses.includes(addressInHex(hostname));
  if (named) return undefined;
  const message = `the certificate is not for ${hostname}, but for ${described(found)}`;
  return Object.assign(new Error(message), { code: "ERR_TLS_CERT_ALTNAME_INVALID" });
}

/** RFC 9525 §6.3. At least two labels follow a wildcard: `*.com` matches nothing. */
function covers(pattern: string, hostname: string): boolean {
  if (!pattern.startsWith("*.")) return pattern === hostname;
  const parent = pattern.slice(1);
  const dot = hostname.indexOf(".");
  return dot > 0 && hostname.slice(dot) === parent && parent.indexOf(".", 1) > 0;
}

/** `graph.microsoft.com.` is the same name. */
function withoutRoot(hostname: string): string {
  return hostname.endsWith(".") ? hostname.slice(0, -1) : hostname;
}

/** @param address IPv4 or IPv6 @returns octets, as in a certificate */
function addressInHex(address: string): string {
  if (isIP(address) === 4) return address.split(".").map((part) => hex(Number(part), 2)).join("");
  if (!URL.canParse(`http://[${address}]`)) return "";
  // The URL normalises it: groups in hex, with at most one run of zeros left out.
  const [before = "", after] = new URL(`http://[${address}]`).hostname.slice(1, -1).split("::");
  const groups = (text = "") =>
    text === "" ? [] : text.split(":").map((group) => group.padStart(4, "0"));
  const head = groups(before);
  const tail = groups(after);
  return [...head, ...Array<string>(8 - head.length - tail.length).fill("0000"), ...tail].join("");
}

function hex(number: number, digits: number): string {
  return number.toString(16).padStart(digits, "0");
}

/** Names of a certificate that are shown, and characters of each: both come from a stranger. */
const SHOWN = 5;
const LONGEST = 100;

function described({ names, addresses }: AlternativeNames): string {
  const all = [...names, ...addresses.map((octets) => `address ${octets}`)];
  if (all.length === 0) return "no host: it has no subjectAltName with a name or an address";
  const shown = all.slice(0, SHOWN).map((name) => name.slice(0, LONGEST)).join(", ");
  return all.length > SHOWN ? `${shown} and ${all.length - SHOWN} more` : shown;
}
