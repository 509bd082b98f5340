// Gathers the octets of a message while they arrive.

import { Buffer } from "node:buffer";

/**
 * A message's octets in order. Pieces are never empty, and never change once handed out.
 */
export type Content = readonly Uint8Array[];

/** Octets. */
export function lengthOf(content: Content): number {
  let length = 0;
  for (const piece of content) length += piece.length;
  return length;
}

const FIRST_BLOCK = 4 * 1024;
const LARGEST_BLOCK = 512 * 1024;
/** Octets from which a piece is kept uncopied: a smaller one is not worth its own object. */
const MIN_UNCOPIED = 16 * 1024;
/** The same for a message's first piece, which is mostly a whole small message. */
const MIN_UNCOPIED_FIRST = 2 * 1024;

/** The memory of contents that nothing else uses. */
const memories = new WeakMap<Content, readonly ArrayBuffer[]>();

/**
 * Frees the memory of a content at once; its octets are then gone. Its pieces have become old
 * objects, which a minor garbage collection does not free, and a major one may come much later.
 * Memory that may have other users is left to the collector, and so are contents not made by a
 * {@link ContentBuilder}.
 */
export function discard(content: Content): void {
  const own = memories.get(content);
  if (own === undefined) return;
  memories.delete(content);
  for (const memory of own) memory.transfer(0);
}

/**
 * Keeps large pieces uncopied where they fill their memory: a small piece of a large segment would keep
 * all of it. Copies others into few, growing blocks: a client that sends one octet a segment must not
 * make the relay hold an object for each.
 */
export class ContentBuilder {
  #pieces: Uint8Array[] = [];
  /** Memory that has no other user. */
  #memories: ArrayBuffer[] = [];
  #length = 0;
  /** Where small pieces are copied to. */
  #block: Uint8Array | undefined;
  /** Octets of the block that belong to finished pieces. */
  #start = 0;
  /** Octets of the block that are in use. */
  #used = 0;

  /** Octets gathered so far. */
  get length(): number {
    return this.#length;
  }

  /** @param bytes owned by the builder from now on, with their memory if they fill it */
  append(bytes: Uint8Array): void {
    const isFirst = this.#length === 0;
    this.#length += bytes.length;
    if (bytes.length >= (isFirst ? MIN_UNCOPIED_FIRST : MIN_UNCOPIED)) {
      const { buffer } = bytes;
      const isAll = bytes.length === buffer.byteLength;
      // The end of the data follows a small message in the same memory.
      if (isAll || isFirst && bytes.length > buffer.byteLength * 7 / 8) {
        this.#closePiece();
        this.#pieces.push(bytes);
        if (isAll && buffer instanceof ArrayBuffer) this.#memories.push(buffer);
        return;
      }
    }
    let rest = bytes;
    while (rest.length > 0) {
      const block = this.#block ??= this.#newBlock(rest.length);
      const part = rest.subarray(0, block.length - this.#used);
      block.set(part, this.#used);
      this.#used += part.length;
      rest = rest.subarray(part.length);
      if (this.#used === block.length) {
        this.#closePiece();
        this.#block = undefined;
      }
    }
  }

  finish(): Content {
    this.#closePiece();
    if (this.#memories.length > 0) memories.set(this.#pieces, this.#memories);
    return this.#pieces;
  }

  /** Frees the memory of the gathered octets at once. */
  discard(): void {
    discard(this.finish());
    this.#pieces = [];
    this.#memories = [];
    this.#block = undefined;
  }

  /** @param octets that are to be copied */
  #newBlock(octets: number): Uint8Array {
    // A small message has one block; of a large one, only a small part of the last block stays unused.
    const size = Math.min(Math.max(FIRST_BLOCK, octets, this.#length >> 3), LARGEST_BLOCK);
    this.#start = this.#used = 0;
    const block = Buffer.allocUnsafeSlow(size);
    this.#memories.push(block.buffer);
    return block;
  }

  /** The rest of the block is left for the next small pieces. */
  #closePiece(): void {
    if (this.#block === undefined || this.#used === this.#start) return;
    this.#pieces.push(this.#block.subarray(this.#start, this.#used));
    this.#start = this.#used;
  }
}
