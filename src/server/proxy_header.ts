// Parses the PROXY protocol header, versions 1 and 2, which names a proxy's client (haproxy's
// doc/proxy-protocol.txt; sections are cited as §).
//
// No I/O and no clock: the connection limits how long a header may take.

import { isIP } from "../ip_version.ts";
import { addressText, ipv6Octets } from "../networks.ts";

export type ProxyHeaderStep =
  | { readonly type: "more" }
  | {
    readonly type: "header";
    /** The proxy's client; undefined if the socket's own peer is the client. */
    readonly source: ProxySource | undefined;
    /** The octets after the header. */
    readonly rest: Uint8Array;
  }
  | { readonly type: "invalid"; readonly problem: string };

export interface ProxySource {
  /** In the form of `plainAddress`. */
  readonly address: string;
  readonly port: number;
}

const MORE: ProxyHeaderStep = { type: "more" };

/** The beginning of a header of version 1. */
export const V1 = new TextEncoder().encode("PROXY ");
/** The beginning of a header of version 2 (§2.2), which no text protocol has. */
export const V2 = Uint8Array.of(13, 10, 13, 10, 0, 13, 10, 0x51, 0x55, 0x49, 0x54, 10);

/** Octets of a header of version 1 at most, CRLF included (§2.1). */
const MAX_V1 = 107;
/** Octets of version 2 before the addresses. */
const V2_FIXED = 16;

const CR = 13;
const LF = 10;

/**
 * Octets of the addresses of a family (§2.2), by the higher half of the 14th octet. Version 2 has no
 * other families.
 */
const ADDRESS_BLOCKS: Readonly<Record<number, number>> = { 0x0: 0, 0x1: 12, 0x2: 36, 0x3: 216 };

/**
 * Reads one header in any number of pieces, with the same result. It takes no more octets than it
 * needs, and keeps 107 of them at most. The length in version 2 needs no bound besides its own,
 * 65535, because the octets after the addresses (TLVs) are counted and dropped.
 *
 * Push no more octets after a result other than `more`.
 */
export class ProxyHeaderReader {
  readonly #held = new Uint8Array(MAX_V1);
  #length = 0;
  /** Octets of version 2 still to be dropped. */
  #skip = 0;
  #source: ProxySource | undefined;

  push(bytes: Uint8Array): ProxyHeaderStep {
    let at = 0;
    while (at < bytes.length) {
      if (this.#skip > 0) {
        const dropped = Math.min(this.#skip, bytes.length - at);
        at += dropped;
        this.#skip -= dropped;
        if (this.#skip === 0) return this.#done(bytes.subarray(at));
        continue;
      }
      const octet = this.#held[this.#length++] = bytes[at++]!;
      const step = this.#held[0] === V2[0] ? this.#version2(octet) : this.#version1(octet);
      if (step === "done") return this.#done(bytes.subarray(at));
      if (step !== undefined) return { type: "invalid", problem: step };
    }
    return MORE;
  }

  #done(rest: Uint8Array): ProxyHeaderStep {
    return { type: "header", source: this.#source, rest };
  }

  /** @returns "done", the error, or undefined while more octets are needed */
  #version1(octet: number): string | undefined {
    const length = this.#length;
    if (length <= V1.length) {
      return octet === V1[length - 1] ? undefined : "there is no PROXY header";
    }
    // §2.1: neither CR nor LF alone ends the line.
    const afterCr = this.#held[length - 2] === CR;
    if (octet === LF && afterCr) {
      return this.#line(String.fromCharCode(...this.#held.subarray(V1.length, length - 2)));
    }
    if (octet === LF || afterCr) return "the line does not end in CR LF";
    return length < MAX_V1 ? undefined : `the line is longer than ${MAX_V1} octets`;
  }

  /** @param line without `PROXY ` and CRLF */
  #line(line: string): string {
    // Anything may follow UNKNOWN, and is ignored (§2.1).
    if (line === "UNKNOWN" || line.startsWith("UNKNOWN ")) return "done";
    const [protocol, source, destination, sourcePort, destinationPort, ...more] = line.split(" ");
    const octets = protocol === "TCP4" ? ipv4 : protocol === "TCP6" ? ipv6 : undefined;
    if (octets === undefined) return "the protocol is none of TCP4, TCP6 and UNKNOWN";
    if (destinationPort === undefined || more.length > 0) {
      return "the line does not consist of six words with one space between them";
    }
    const address = octets(source!);
    if (address === undefined || octets(destination!) === undefined) {
      return `an address is no ${protocol === "TCP4" ? "IPv4" : "IPv6"} address`;
    }
    const port = portOf(sourcePort!);
    if (port === undefined || portOf(destinationPort) === undefined) {
      return "a port is no number up to 65535 without leading zeros";
    }
    this.#source = { address: addressText(address), port };
    return "done";
  }

  /** @returns as {@link #version1} */
  #version2(octet: number): string | undefined {
    const length = this.#length;
    if (length <= V2.length) {
      return octet === V2[length - 1] ? undefined : "there is no PROXY header";
    }
    if (length === 13) {
      if (octet >> 4 !== 2) return "the version is not 2";
      return octet === 0x20 || octet === 0x21 ? undefined : "the command is unknown";
    }
    if (length === 14) {
      // With LOCAL the family means nothing (§2.2).
      if (this.#local || (ADDRESS_BLOCKS[octet >> 4] !== undefined && (octet & 15) <= 2)) return;
      return "the address family or the transport is unknown";
    }
    if (length < V2_FIXED) return;
    const block = this.#number(14);
    const addresses = this.#local ? 0 : ADDRESS_BLOCKS[this.#held[13]! >> 4]!;
    if (block < addresses) return "the addresses are longer than the length";
    const read = this.#addressLength;
    if (length < V2_FIXED + read) return;
    if (read > 0) this.#source = this.#readSource(read === 12 ? 4 : 16);
    this.#skip = block - read;
    return this.#skip === 0 ? "done" : undefined;
  }

  get #local(): boolean {
    return this.#held[12] === 0x20;
  }

  /**
   * Octets of addresses that name the client. Those of anything other than TCP over IP are skipped, as
   * for an unspecified family (§2.2): such a client cannot send mail.
   */
  get #addressLength(): number {
    if (this.#local) return 0;
    const family = this.#held[13]!;
    return family === 0x11 || family === 0x21 ? ADDRESS_BLOCKS[family >> 4]! : 0;
  }

  /** A number of two octets in network order. */
  #number(at: number): number {
    return this.#held[at]! << 8 | this.#held[at + 1]!;
  }

  /** Source address, destination address, source port, destination port. @param size of an address */
  #readSource(size: number): ProxySource {
    return {
      address: addressText(this.#held.subarray(V2_FIXED, V2_FIXED + size)),
      port: this.#number(V2_FIXED + 2 * size),
    };
  }
}

/** Decimal without leading zeros, which some programs read as octal. */
const DECIMAL = /^(?:0|[1-9]\d{0,4})$/;

function ipv4(text: string): Uint8Array | undefined {
  const parts = text.split(".");
  const fine = parts.length === 4 &&
    parts.every((part) => DECIMAL.test(part) && Number(part) < 256);
  return fine ? Uint8Array.from(parts, Number) : undefined;
}

function ipv6(text: string): Uint8Array | undefined {
  return /^[0-9a-f:.]+$/i.test(text) && isIP(text) === 6 ? ipv6Octets(text) : undefined;
}

function portOf(text: string): number | undefined {
  const port = DECIMAL.test(text) ? Number(text) : Infinity;
  return port <= 65535 ? port : undefined;
}
