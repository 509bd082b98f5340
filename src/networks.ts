// IP addresses of clients: their text form, networks, and which addresses count as one client.

import { isIP } from "./ip_version.ts";
import { late } from "./late_modules.ts";

/** A range of addresses as CIDR writes it (RFC 4632 §3.1, RFC 4291 §2.3). */
export interface Network {
  readonly family: 4 | 6;
  /** Bits after the prefix have no effect. */
  readonly address: string;
  /** Bits that all addresses of the network have in common. */
  readonly prefix: number;
}

export const NETWORKS_FORM =
  "networks such as 192.0.2.0/24 or 2001:db8::/32, or single addresses, with commas between them";

/** A list of networks from a setting. */
export class Networks {
  /** One for each family: on one runtime, a `BlockList` finds IPv4 addresses in `::/32`. */
  readonly #blocks = { 4: new late.net.BlockList(), 6: new late.net.BlockList() };

  constructor(readonly ranges: readonly Network[]) {
    for (const { family, address, prefix } of ranges) {
      this.#blocks[family].addSubnet(address, prefix, `ipv${family}`);
    }
  }

  /** @returns undefined if the text is not a list of networks */
  static parse(text: string): Networks | undefined {
    const parts = text.split(",").map((part) => part.trim()).filter((part) => part !== "");
    const ranges = parts.map(parseNetwork);
    return ranges.length === 0 || ranges.includes(undefined)
      ? undefined
      : new Networks(ranges as Network[]);
  }

  toString(): string {
    return this.ranges.map(({ address, prefix }) => `${address}/${prefix}`).join(",");
  }

  /** @param address as {@link plainAddress} gives it */
  has(address: string): boolean {
    const family = isIP(address);
    if (family === 4) return this.#blocks[4].check(address, "ipv4");
    return family === 6 && this.#blocks[6].check(address, "ipv6");
  }
}

function parseNetwork(text: string): Network | undefined {
  const match = /^([0-9a-f:.]+)(?:\/(\d{1,3}))?$/i.exec(text);
  if (match === null) return undefined;
  const family = isIP(match[1]!);
  if (family === 0) return undefined;
  const bits = family === 4 ? 32 : 128;
  const prefix = match[2] === undefined ? bits : Number(match[2]);
  if (prefix > bits) return undefined;
  const address = family === 6 ? addressText(ipv6Octets(match[1]!)) : match[1]!;
  // Dual-stack sockets report IPv4 clients in this form; the list may use it too.
  if (family === 6 && isIP(address) === 4) {
    return prefix < 96 ? undefined : { family: 4, address, prefix: prefix - 96 };
  }
  return { family: family as 4 | 6, address, prefix };
}

/**
 * An address without its zone, and as IPv4 where a dual-stack socket reports an IPv4 client as IPv6 in
 * its own form (RFC 4291 §2.5.5.2).
 */
export function plainAddress(address: string): string {
  const bare = address.replace(/%.*$/s, "");
  if (!/ffff:/i.test(bare) || isIP(bare) !== 6) return bare;
  const groups = ipv6Groups(bare);
  if (groups[5] !== 0xffff || groups.slice(0, 5).some((group) => group !== 0)) return bare;
  return groups.slice(6).map((group) => `${group >> 8}.${group & 0xff}`).join(".");
}

/**
 * What counts as one client in limits: an IPv4 address, or the /64 of an IPv6 address, because a
 * single host gets a whole /64 (RFC 6177 §2).
 *
 * @param address as {@link plainAddress} gives it
 */
export function clientKey(address: string): string {
  if (isIP(address) !== 6) return address;
  return ipv6Groups(address).slice(0, 4).map((group) => group.toString(16)).join(":") + "::/64";
}

/**
 * The text of an address of 4 or 16 octets, in the form of {@link plainAddress}; IPv6 as RFC 5952
 * §4 recommends.
 */
export function addressText(octets: Uint8Array): string {
  if (octets.length === 4) return octets.join(".");
  const groups = Array.from({ length: 8 }, (_, i) => octets[2 * i]! << 8 | octets[2 * i + 1]!);
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff) {
    return octets.subarray(12).join(".");
  }
  const hexadecimal = (from: number, to?: number) =>
    groups.slice(from, to).map((group) => group.toString(16)).join(":");
  const { start, length } = longestZeros(groups);
  if (length < 2) return hexadecimal(0);
  return `${hexadecimal(0, start)}::${hexadecimal(start + length)}`;
}

/** The longest run of zeros, the first one of several (RFC 5952 §4.2.3). */
function longestZeros(groups: readonly number[]): { start: number; length: number } {
  let longest = { start: 0, length: 0 };
  let length = 0;
  groups.forEach((group, i) => {
    length = group === 0 ? length + 1 : 0;
    if (length > longest.length) longest = { start: i + 1 - length, length };
  });
  return longest;
}

/** @param address a valid one, without a zone */
export function ipv6Octets(address: string): Uint8Array {
  return Uint8Array.from(ipv6Groups(address).flatMap((group) => [group >> 8, group & 0xff]));
}

/** The eight groups of an IPv6 address. */
function ipv6Groups(address: string): number[] {
  // The last 32 bits may be written as IPv4 (RFC 4291 §2.2).
  const text = address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, a, b, c, d) => {
    const group = (high: string, low: string) => (Number(high) << 8 | Number(low)).toString(16);
    return `${group(a, b)}:${group(c, d)}`;
  });
  const [left = "", right] = text.split("::");
  const groups = (part: string) => part === "" ? [] : part.split(":").map((g) => parseInt(g, 16));
  const head = groups(left);
  if (right === undefined) return head;
  const tail = groups(right);
  return [...head, ...Array<number>(8 - head.length - tail.length).fill(0), ...tail];
}
