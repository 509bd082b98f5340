// The gateways of this machine's default routes, out of what Linux shows in /proc/net
// (`fib_route_seq_show` and `ipv6_route_seq_show` in its source have the columns).

/** The text of the kernel's two files; undefined if there is no such file, as on other systems. */
export interface RouteTables {
  /** /proc/net/route */
  readonly ipv4: string | undefined;
  /** /proc/net/ipv6_route */
  readonly ipv6: string | undefined;
}

/** Addresses in the form that clients' have; undefined if the kernel has no such file. */
export function defaultGateways({ ipv4, ipv6 }: RouteTables): readonly string[] | undefined {
  if (ipv4 === undefined && ipv6 === undefined) return undefined;
  return [...new Set([...gateways4(ipv4 ?? ""), ...gateways6(ipv6 ?? "")])];
}

const NONE_4 = "0".repeat(8);
const NONE_6 = "0".repeat(32);

/** Iface Destination Gateway Flags RefCnt Use Metric Mask …; octets in the machine's order. */
function gateways4(table: string): string[] {
  return table.split("\n").flatMap((line) => {
    const [, destination, gateway = "", , , , , mask] = line.trim().split(/\s+/);
    if (destination !== NONE_4 || mask !== NONE_4) return [];
    if (gateway === NONE_4 || !/^[0-9a-f]{8}$/i.test(gateway)) return [];
    // All machines that run this are little-endian.
    const octets = gateway.match(/../g)!.reverse();
    return [octets.map((octet) => parseInt(octet, 16)).join(".")];
  });
}

/** Destination, its prefix, source, its prefix, next hop, …; octets in the network's order. */
function gateways6(table: string): string[] {
  return table.split("\n").flatMap((line) => {
    const [destination, prefix, , , gateway = ""] = line.trim().split(/\s+/);
    if (destination !== NONE_6 || prefix !== "00") return [];
    if (gateway === NONE_6 || !/^[0-9a-f]{32}$/i.test(gateway)) return [];
    // As a host of a URL, an address is written in its shortest form (RFC 5952).
    return [new URL(`http://[${gateway.match(/.{4}/g)!.join(":")}]`).hostname.slice(1, -1)];
  });
}
