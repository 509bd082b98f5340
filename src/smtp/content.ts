// Gathers the octets of a message while they arrive.

import { Buffer } from "node:buffer";

/**
 * A message's octets in order. Blocks are never empty, and never change once handed out.
 */
export type Content = readonly Uint8Array[];

const FIRST_BLOCK = 16 * 1024;
const LARGEST_BLOCK = 1024 * 1024;

/**
 * Copies arriving octets into few, growing blocks: a client that sends one octet a segment must
 * not make us hold an object for each.
 */
export class ContentBuilder {
  readonly #blocks: Uint8Array[] = [];
  #block: Uint8Array;
  #used = 0;
  #length = 0;

  /** @param expected octets that the client has announced (MAIL SIZE), if it has */
  constructor(expected = 0) {
    // Room for all of an announced message, so that most need one block and no copy later; but an
    // announcement costs nothing, so it buys no more than one block.
    const room = Math.min(Math.max(expected + 64, FIRST_BLOCK), LARGEST_BLOCK);
    this.#block = Buffer.allocUnsafeSlow(room);
  }

  /** Octets gathered so far. */
  get length(): number {
    return this.#length;
  }

  append(bytes: Uint8Array): void {
    this.#length += bytes.length;
    let rest = bytes;
    while (rest.length > 0) {
      if (this.#used === this.#block.length) this.#nextBlock();
      const part = rest.subarray(0, this.#block.length - this.#used);
      this.#block.set(part, this.#used);
      this.#used += part.length;
      rest = rest.subarray(part.length);
    }
  }

  finish(): Content {
    if (this.#used > 0) this.#blocks.push(this.#block.subarray(0, this.#used));
    return this.#blocks;
  }

  #nextBlock(): void {
    this.#blocks.push(this.#block);
    const size = Math.min(this.#block.length * 2, LARGEST_BLOCK);
    this.#block = Buffer.allocUnsafeSlow(Math.max(size, FIRST_BLOCK));
    this.#used = 0;
  }
}
