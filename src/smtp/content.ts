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
const LARGEST_BLOCK = 1024 * 1024;
/** Octets from which an arriving piece is kept as it is… */
const WORTH_KEEPING = 2 * 1024;
/** … where it is so much of the memory around it, which is kept with it. */
const WORTH_ITS_MEMORY = 3 / 4;

/**
 * Large pieces are kept uncopied; small ones, and small parts of large ones, are copied into few, growing blocks: a client that
 * sends one octet a segment must not make us hold an object for each.
 */
export class ContentBuilder {
  readonly #pieces: Uint8Array[] = [];
  #length = 0;
  /** Where small pieces are copied to, and how much of it is pieces already and is in use. */
  #block: Uint8Array | undefined;
  #start = 0;
  #used = 0;
  #nextSize = FIRST_BLOCK;

  /** Octets gathered so far. */
  get length(): number {
    return this.#length;
  }

  /** @param bytes belong to the builder from now on, with the memory around them */
  append(bytes: Uint8Array): void {
    this.#length += bytes.length;
    // Else a client could have half a megabyte kept for each chunk of two kilobytes, with commands
    // behind it in the same piece.
    const isKept = bytes.length >= WORTH_KEEPING &&
      bytes.length >= WORTH_ITS_MEMORY * bytes.buffer.byteLength;
    if (isKept) {
      this.#closePiece();
      this.#pieces.push(bytes);
      return;
    }
    let rest = bytes;
    while (rest.length > 0) {
      const block = this.#block ??= this.#newBlock();
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
    return this.#pieces;
  }

  #newBlock(): Uint8Array {
    const size = this.#nextSize;
    this.#nextSize = Math.min(size * 2, LARGEST_BLOCK);
    this.#start = this.#used = 0;
    return Buffer.allocUnsafeSlow(size);
  }

  /** The rest of the block stays for the small pieces to come: none of it is wasted. */
  #closePiece(): void {
    if (this.#block === undefined || this.#used === this.#start) return;
    this.#pieces.push(this.#block.subarray(this.#start, this.#used));
    this.#start = this.#used;
  }
}
