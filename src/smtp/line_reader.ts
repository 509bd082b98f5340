// Reads lines from octets that arrive in any pieces (RFC 5321 §2.3.8, §4.5.3.1.4).

import { Buffer } from "node:buffer";
import { asBuffer, CR, Joiner, LF } from "../octets.ts";

const EMPTY = new Uint8Array(0);

/** A line that was longer than allowed. */
export interface LineTooLong {
  /** Octets that were allowed. */
  readonly limit: number;
  /** So many of its first octets, as Latin-1; the others have been discarded. */
  readonly beginning: string;
}

export class LineReader {
  #input: Uint8Array = EMPTY;
  /** Most lines come whole, and need none. */
  #joiner: Joiner | undefined;
  /** Octets that have been searched for the line's end. */
  #searched = 0;
  /** Set while the rest of a line is being discarded. */
  #skipping: LineTooLong | undefined;

  /** The octets that have not been read yet. */
  get input(): Uint8Array {
    return this.#input;
  }

  add(bytes: Uint8Array): void {
    if (this.#input.length === 0) {
      this.#input = asBuffer(bytes);
      this.#joiner = undefined;
      return;
    }
    this.#joiner ??= new Joiner();
    this.#input = this.#joiner.join(this.#input, bytes);
  }

  /** Takes octets other than a line, such as content. */
  consume(octets: number): void {
    this.#input = octets >= this.#input.length ? EMPTY : this.#input.subarray(octets);
    this.#searched = 0;
  }

  /** The input must wait: copies it if it would keep much more memory than its own. */
  keep(): void {
    const { buffer, byteLength } = this.#input;
    if (buffer.byteLength > 2 * byteLength) this.#input = Buffer.from(this.#input);
  }

  clear(): void {
    this.#input = EMPTY;
    this.#searched = 0;
    this.#skipping = undefined;
  }

  /**
   * Takes one line, which ends in LF after any number of CRs: devices send none, one or two, and no
   * command can be hidden in the difference.
   *
   * @param limitFor octets that a line with this beginning may have, its end included
   * @returns the line as Latin-1 without its end; undefined if it is not complete
   */
  next(limitFor: (beginning: Uint8Array) => number): string | LineTooLong | undefined {
    const input = this.#input;
    if (input.length === 0) return undefined;
    const end = input.indexOf(LF, this.#searched);
    let tooLong = this.#skipping;
    if (tooLong === undefined) {
      const limit = limitFor(input);
      if ((end < 0 ? input.length : end + 1) > limit) {
        tooLong = { limit, beginning: asBuffer(input).toString("latin1", 0, limit) };
      }
    }
    if (end < 0) {
      // An over-long line is not kept, however long it grows.
      this.#skipping = tooLong;
      if (tooLong !== undefined) this.consume(input.length);
      else this.#searched = input.length;
      return undefined;
    }
    this.#skipping = undefined;
    this.consume(end + 1);
    if (tooLong !== undefined) return tooLong;
    let textEnd = end;
    while (textEnd > 0 && input[textEnd - 1] === CR) textEnd--;
    return asBuffer(input).toString("latin1", 0, textEnd);
  }
}
