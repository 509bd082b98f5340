// HTTPS_PROXY and NO_PROXY: conventions, of which each program has its own reading. This one follows
// curl's and Go's (https://pkg.go.dev/golang.org/x/net/http/httpproxy).

import { Buffer } from "node:buffer";
import { isIP } from "../ip_version.ts";
import { late } from "../late_modules.ts";
import type { Proxy } from "../runtime/runtime.ts";
import { Secret } from "../secret.ts";
import { isLoopback } from "./listen_address.ts";
import type { Parser } from "./setting.ts";

/** The whole URL is kept as a secret, because there may be a password in it. */
export const proxyUrl: Parser<Secret> = {
  allowed: "http://host:port or http://user:password@host:port, with what is special in a URL " +
    "percent-encoded in both (no https:// and no SOCKS proxies)",
  parse: (text) => readProxy(text) === undefined ? undefined : new Secret(text),
};

/** @param url a value that {@link proxyUrl} has let pass */
export function proxyOf(url: Secret): Proxy {
  return readProxy(url.reveal())!;
}

function readProxy(text: string): Proxy | undefined {
  // Without a scheme it is http, as for other programs.
  const full = text.includes("://") ? text : `http://${text}`;
  const url = URL.canParse(full) ? new URL(full) : undefined;
  if (url === undefined || url.protocol !== "http:" || url.hostname === "") return undefined;
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "") return undefined;
  const place = {
    hostname: url.hostname.replace(/^\[|\]$/g, ""),
    port: url.port === "" ? 80 : Number(url.port),
  };
  if (place.port === 0) return undefined;
  if (url.username === "" && url.password === "") return place;
  const user = decoded(url.username);
  const password = decoded(url.password);
  // RFC 7617 §2: the first colon ends the user name, and control characters are not allowed.
  if (user === undefined || password === undefined || user.includes(":")) return undefined;
  const pair = Buffer.from(`${user}:${password}`, "utf8").toString("base64");
  return { ...place, authorization: new Secret(`Basic ${pair}`) };
}

function decoded(text: string): string | undefined {
  try {
    const plain = decodeURIComponent(text);
    // deno-lint-ignore no-control-regex
    return /[\x00-\x1f\x7f]/.test(plain) ? undefined : plain;
  } catch {
    return undefined;
  }
}

/** Whether a service is to be reached without the proxy. */
export type Exemption = (hostname: string, port: number) => boolean;

export interface NoProxy {
  readonly exemptions: readonly Exemption[];
  /** Entries without a meaning here; they have no effect. */
  readonly unread: readonly string[];
}

/**
 * The variable is mostly set for a whole machine, in the form of another program: entries that
 * cannot be read do not stop the start.
 */
export const noProxy: Parser<NoProxy> = {
  allowed:
    'names, IP addresses or networks, several with commas, ":port" after each allowed; "*" ' +
    "for all",
  parse(text) {
    const exemptions: Exemption[] = [];
    const unread: string[] = [];
    for (const entry of text.split(/[\s,;]+/)) {
      if (entry === "") continue;
      const exemption = readExemption(entry);
      if (exemption === undefined) unread.push(entry);
      else exemptions.push(exemption);
    }
    return { exemptions, unread };
  },
};

const ENTRY = /^(?:\[([0-9a-f:.]+)\]|([^[\]:/]+))(?::(\d{1,5}))?$/i;
const NETWORK = /^\[?([0-9a-f:.]+)\]?\/(\d{1,3})$/i;
const NAME = /^[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/;

function readExemption(entry: string): Exemption | undefined {
  if (entry === "*") return () => true;
  const network = NETWORK.exec(entry);
  if (network !== null) return inNetwork(network[1]!, Number(network[2]));
  if (isIP(entry) === 6) return inNetwork(entry, 128);
  const match = ENTRY.exec(entry);
  if (match === null) return undefined;
  const host = match[1] ?? match[2]!;
  const wanted = match[3] === undefined ? undefined : Number(match[3]);
  if (wanted !== undefined && wanted > 65535) return undefined;
  const matches = match[1] !== undefined || isIP(host) !== 0
    ? inNetwork(host, isIP(host) === 6 ? 128 : 32)
    : underName(host);
  if (matches === undefined || wanted === undefined) return matches;
  return (hostname, port) => port === wanted && matches(hostname, port);
}

/** The name and all names under it, whether written `name`, `.name` or `*.name`. */
function underName(text: string): Exemption | undefined {
  const name = text.toLowerCase().replace(/^\*?\./, "").replace(/\.$/, "");
  if (!NAME.test(name) || /^[\d.]+$/.test(name)) return undefined;
  return (hostname) => {
    const host = hostname.toLowerCase().replace(/\.$/, "");
    return host === name || host.endsWith(`.${name}`);
  };
}

/** Only addresses are compared, because the proxy looks up names. */
function inNetwork(address: string, prefix: number): Exemption | undefined {
  const version = isIP(address);
  if (version === 0 || prefix > (version === 6 ? 128 : 32)) return undefined;
  const networks = new late.net.BlockList();
  networks.addSubnet(address, prefix, family(version));
  return (hostname) => {
    const own = isIP(hostname);
    // One runtime would find an IPv4 address in an IPv6 network such as ::/64, too.
    return own >= version && networks.check(hostname, family(own));
  };
}

function family(version: number): "ipv4" | "ipv6" {
  return version === 6 ? "ipv6" : "ipv4";
}

let linkLocal: readonly Exemption[] | undefined;

/** What is only on its own link. */
function isLinkLocal(hostname: string, port: number): boolean {
  linkLocal ??= [inNetwork("169.254.0.0", 16)!, inNetwork("fe80::", 10)!];
  return linkLocal.some((exempt) => exempt(hostname, port));
}

/**
 * Whether a service is to be reached without the proxy: this machine, what is only on its own link
 * (such as 169.254.169.254, where Azure gives out identities), and what NO_PROXY says.
 */
export function isExempt(
  exemptions: readonly Exemption[],
  hostname: string,
  port: number,
): boolean {
  return isLoopback(hostname) || isLinkLocal(hostname, port) ||
    exemptions.some((exempt) => exempt(hostname, port));
}
