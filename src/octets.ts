// Octet constants, octets as a Buffer for its searches and encodings, and joining octets that
// arrive in pieces.

import { Buffer } from "node:buffer";

export const TAB = 9;
export const LF = 10;
export const CR = 13;
export const SPACE = 32;
export const HYPHEN = 45;
export const DOT = 46;
export const LESS = 60;
export const EQUALS = 61;
export const GREATER = 62;
/** What makes a letter of ASCII lower case. */
export const LOWER_CASE = 0x20;
/** Shared: copy it before it is changed. */
export const CRLF = Buffer.from("\r\n");

/**
 * The same memory as a Buffer. Sockets of both runtimes already return Buffers, and reading a small
 * one's `buffer` makes one runtime move it to memory of its own: hence the test.
 */
export function asBuffer(octets: Uint8Array): Buffer {
  return Buffer.isBuffer(octets)
    ? octets
    : Buffer.from(octets.buffer, octets.byteOffset, octets.length);
}

/** A copy of a part of a text: the part itself would keep all of the text in memory. */
export function ownText(part: string): string {
  return Buffer.from(part, "utf8").toString("utf8");
}

const { indexOf } = Uint8Array.prototype;

/**
 * Position of the first such octet, or -1. The Buffer's own method would find it too, but where it
 * is not native, it takes half as long again.
 */
export function indexOfOctet(octets: Uint8Array, octet: number, from = 0): number {
  return indexOf.call(octets, octet, from);
}

const CRLF_DOT = Buffer.from("\r\n.");
/** Whether a Buffer's search for several octets is a loop in JavaScript, as on one of the runtimes. */
const SEARCH_IS_SLOW = !/\[native code\]/.test(String(Buffer.prototype.indexOf));
/** Octets after a dot in which the next one is looked for without a call. */
const NEAR = 64;

/**
 * Position of the first CRLF with a dot after it, or -1. Where the search is not native, to look for dots
 * alone and at what is before them costs a sixth of a search for all three: that was 2.6 ms of CPU for a MB of mail.
 */
export function indexOfCrlfDot(octets: Buffer, from: number): number {
  return SEARCH_IS_SLOW ? byDots(octets, from) : octets.indexOf(CRLF_DOT, from);
}

/** The same, where only a search for one octet is native. */
export function byDots(octets: Uint8Array, from: number): number {
  const { length } = octets;
  for (let at = from + 2; at < length;) {
    let dot = at;
    // Dots are often close to each other: then a call costs more than a short loop.
    const near = Math.min(at + NEAR, length);
    while (dot < near && octets[dot] !== DOT) dot++;
    if (dot === near && (dot = indexOfOctet(octets, DOT, near)) < 0) return -1;
    if (octets[dot - 1] === LF && octets[dot - 2] === CR) return dot - 2;
    at = dot + 1;
  }
  return -1;
}

/**
 * Frees the memory of octets at once, if they fill it; they are then gone. A collector may leave memory
 * outside of its heap for long.
 *
 * @param unused octets of the memory, at most, that nothing uses
 */
export function free({ buffer, byteLength }: Uint8Array, unused = 0): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength - byteLength <= unused) buffer.transfer(0);
}

/** Octets of a piece from which no room is left for the next one. */
const LARGE_PIECE = 4 * 1024;
/** Octets of such room at most; it stays in memory as long as any part of the octets. */
const MAX_ROOM = 16 * 1024;

/**
 * Joins the unread rest of a stream with the next piece. The rest may be long and the pieces may
 * have one octet each, so it leaves room after the rest instead of copying it for each piece.
 */
export class Joiner {
  #memory: Buffer | undefined;
  /** Octets of the memory that are in use. They never change. */
  #used = 0;

  /** @param rest the unread end of the last result */
  join(rest: Uint8Array, piece: Uint8Array): Buffer {
    const length = rest.length + piece.length;
    if (rest.length === 0) {
      this.#memory = undefined;
      return asBuffer(piece);
    }
    if (this.#memory === undefined || this.#memory.length - this.#used < piece.length) {
      const room = piece.length < LARGE_PIECE ? Math.min(length, MAX_ROOM) : 0;
      this.#memory = Buffer.allocUnsafeSlow(length + room);
      this.#memory.set(rest);
      this.#used = rest.length;
    }
    this.#memory.set(piece, this.#used);
    this.#used += piece.length;
    return this.#memory.subarray(this.#used - length, this.#used);
  }
}
