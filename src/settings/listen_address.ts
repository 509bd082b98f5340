// The addresses that the relay listens on, as settings write them.

import { isIP } from "../ip_version.ts";
import type { Parser } from "./setting.ts";

export interface ListenAddress {
  /** IP address or host name; `::` for all addresses. */
  readonly hostname: string;
  readonly port: number;
}

function parseListenAddress(text: string): ListenAddress | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^:[\]\s]*)):(\d{1,5})$/i.exec(text);
  if (match === null) return undefined;
  const [, bracketed, plain, digits] = match;
  const port = Number(digits);
  if (port > 65535) return undefined;
  if (bracketed !== undefined) {
    return isIP(bracketed) === 6 ? { hostname: bracketed, port } : undefined;
  }
  if (plain === "") return { hostname: "::", port };
  return /^[a-z0-9.-]+$/i.test(plain!) ? { hostname: plain!, port } : undefined;
}

/** The form that {@link parseListenAddress} reads. */
export function formatListenAddress({ hostname, port }: ListenAddress): string {
  return hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
}

export const listenAddresses: Parser<readonly ListenAddress[]> = {
  allowed: "host:port or [IPv6]:port, ports up to 65535, several with commas; :port means all " +
    "addresses",
  parse(text) {
    const addresses = text.split(",").map((part) => parseListenAddress(part.trim()));
    return addresses.includes(undefined) ? undefined : addresses as ListenAddress[];
  },
  meant(text) {
    const meant = text.split(",").map((part) => withPort(part.trim(), "")).join(",");
    return listenAddresses.parse(meant) === undefined ? undefined : meant;
  },
};

/** A port alone as an address, and `*` as other programs write all addresses. */
function withPort(text: string, hostname: string): string {
  return /^\d{1,5}$/.test(text) ? `${hostname}:${text}` : text.replace(/^\*:(?=\d)/, ":");
}

export const listenAddressOrOff: Parser<ListenAddress | "off"> = {
  allowed: 'host:port, [IPv6]:port, :port for all addresses (ports up to 65535), or "off"',
  parse: (text) => text.toLowerCase() === "off" ? "off" : parseListenAddress(text),
  // On all addresses it would need a password.
  meant(text) {
    const meant = withPort(text.trim(), "127.0.0.1");
    return parseListenAddress(meant) === undefined ? undefined : meant;
  },
};

export function isLoopback(hostname: string): boolean {
  const host = hostname.replace(/^\[|\]$/g, "");
  if (isIP(host) === 4) return host.startsWith("127.");
  return host === "::1" || host.toLowerCase() === "localhost";
}
