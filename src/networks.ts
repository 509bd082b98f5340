// IP addresses of clients: how they are written, which of them count as one, and networks of them.

import { BlockList, isIP } from "node:net";

/** A range of addresses as CIDR writes it (RFC 4632 §3.1, RFC 4291 §2.3). */
export interface Network {
  readonly family: 4 | 6;
  /** As it was given; bits behind the prefix decide nothing. */
  readonly address: string;
  /** Bits that all addresses of the network have in common. */
  readonly prefix: number;
}

export const NETWORKS_FORM =
  "networks such as 192.0.2.0/24 or 2001:db8::/32, or single addresses, with commas between them";

/** Networks that somebody has listed. */
export class Networks {
  /** One for each family: a `BlockList` finds IPv4 addresses in `::/32`, on one of the runtimes. */
  readonly #blocks = { 4: new BlockList(), 6: new BlockList() };

  constructor(readonly ranges: readonly Network[]) {
    for (const { family, address, prefix } of ranges) {
      this.#blocks[family].addSubnet(address, prefix, `ipv${family}`);
    }
  }

  /** @returns undefined where the text is no list of networks */
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
    if (family === 0) return false;
    return family === 4
      ? this.#blocks[4].check(address, "ipv4")
      : this.#blocks[6].check(address, "ipv6");
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
  const address = plainAddress(match[1]!);
  // A dual-stack socket shows IPv4 clients in this form; the list may, too.
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
 * What counts as one client in limits: an IPv4 address, or the /64 of an IPv6 address, which a single
 * host is given as a whole (RFC 6177 §2).
 *
 * @param address as {@link plainAddress} gives it
 */
export function clientKey(address: string): string {
  if (isIP(address) !== 6) return address;
  return ipv6Groups(address).slice(0, 4).map((group) => group.toString(16)).join(":") + "::/64";
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
