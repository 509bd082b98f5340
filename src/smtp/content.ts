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
/** Octets from which an arriving piece is kept as it is: fewer are not worth an object of their own. */
const WORTH_KEEPING = 16 * 1024;
/** The same of a message's first piece, which mostly is all of a small message. */
const FIRST_WORTH_KEEPING = 2 * 1024;

/** The memory of contents that nothing else uses. */
const memories = new WeakMap<Content, readonly ArrayBuffer[]>();

/**
 * Gives the memory of a content back at once; its octets are gone then. Its pieces are too old by now
 * for a collection that looks only at what is new, and the next mail does not wait for another. Memory
 * that something else may use is left to the collector, and so is all that no {@link ContentBuilder}
 * has made.
 */
export function discard(content: Content): void {
  const own = memories.get(content);
  if (own === undefined) return;
  memories.delete(content);
  for (const memory of own) memory.transfer(0);
}

/**
 * Large pieces are kept uncopied where they are all that their memory holds: a small piece of a large
 * segment would keep all of it. Others are copied into few, growing blocks: a client that sends one
 * octet a segment must not make us hold an object for each.
 */
export class ContentBuilder {
  #pieces: Uint8Array[] = [];
  /** What nothing else uses. */
  #memories: ArrayBuffer[] = [];
  #length = 0;
  /** Where small pieces are copied to, and how much of it is pieces already and is in use. */
  #block: Uint8Array | undefined;
  #start = 0;
  #used = 0;

  /** Octets gathered so far. */
  get length(): number {
    return this.#length;
  }

  /** @param bytes belong to the builder from now on, with their memory where they are all of it */
  append(bytes: Uint8Array): void {
    const isFirst = this.#length === 0;
    this.#length += bytes.length;
    if (bytes.length >= (isFirst ? FIRST_WORTH_KEEPING : WORTH_KEEPING)) {
      const { buffer } = bytes;
      const isAll = bytes.length === buffer.byteLength;
      // Behind a small message stands the end of its data, if that.
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

  /** Gives the memory of what was gathered back at once. */
  discard(): void {
    discard(this.finish());
    this.#pieces = [];
    this.#memories = [];
    this.#block = undefined;
  }

  /** @param octets that are to be copied */
  #newBlock(octets: number): Uint8Array {
    // Small messages are one block, and of large ones a small part is left over of the last.
    const size = Math.min(Math.max(FIRST_BLOCK, octets, this.#length >> 3), LARGEST_BLOCK);
    this.#start = this.#used = 0;
    const block = Buffer.allocUnsafeSlow(size);
    this.#memories.push(block.buffer);
    return block;
  }

  /** The rest of the block stays for the small pieces to come: none of it is wasted. */
  #closePiece(): void {
    if (this.#block === undefined || this.#used === this.#start) return;
    this.#pieces.push(this.#block.subarray(this.#start, this.#used));
    this.#start = this.#used;
  }
}
