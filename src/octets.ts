// Octet constants, octets as a Buffer for its searches and encodings, and joining octets that
// arrive in pieces.

import { Buffer } from "node:buffer";

export const TAB = 9;
export const LF = 10;
export const CR = 13;
export const SPACE = 32;
export const HYPHEN = 45;
export const DOT = 46;
export const EQUALS = 61;
/** Shared: copy it before it is changed. */
export const CRLF = Buffer.from("\r\n");

/**
 * The same memory as a Buffer. Sockets of both runtimes already return Buffers, and reading a small
 * one's `buffer` makes Bun move it to memory of its own: hence the test.
 */
export function asBuffer(octets: Uint8Array): Buffer {
  return Buffer.isBuffer(octets)
    ? octets
    : Buffer.from(octets.buffer, octets.byteOffset, octets.length);
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
