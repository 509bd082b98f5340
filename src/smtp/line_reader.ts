// Lines out of octets that arrive in whatever pieces (RFC 5321 §2.3.8, §4.5.3.1.4).

import { Buffer } from "node:buffer";
import { asBuffer, CR, Joiner, LF } from "../octets.ts";

const EMPTY = new Uint8Array(0);

/** A line that was longer than allowed, and has been thrown away. */
export interface LineTooLong {
  /** Octets that were allowed. */
  readonly limit: number;
}

export class LineReader {
  #input: Uint8Array = EMPTY;
  readonly #joiner = new Joiner();
  /** Where the search for the end of an unfinished line goes on. */
  #searched = 0;
  /** The rest of this line is being thrown away. */
  #skipping: LineTooLong | undefined;

  /** What has not been read yet. */
  get input(): Uint8Array {
    return this.#input;
  }

  add(bytes: Uint8Array): void {
    this.#input = this.#joiner.join(this.#input, bytes);
  }

  /** Takes octets that are no line. */
  consume(octets: number): void {
    this.#input = octets >= this.#input.length ? EMPTY : this.#input.subarray(octets);
    this.#searched = 0;
  }

  /** The input is to wait: nothing but itself is kept of the memory that it has come in. */
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
   * Takes one line, which ends in LF, however many CRs stand before it: devices send none, one and two,
   * and no command can be hidden in the difference.
   *
   * @param limit octets of a line that begins with these, its end included
   * @returns the line as Latin-1 without its end; undefined where it is not complete
   */
  next(limitFor: (beginning: Uint8Array) => number): string | LineTooLong | undefined {
    const input = this.#input;
    if (input.length === 0) return undefined;
    const end = input.indexOf(LF, this.#searched);
    let tooLong = this.#skipping;
    if (tooLong === undefined) {
      const limit = limitFor(input);
      if ((end < 0 ? input.length : end + 1) > limit) tooLong = { limit };
    }
    if (end < 0) {
      // Nothing of an over-long line is kept, however long it grows.
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
