// What a fuzz target is, and how it reads its input.

import { Buffer } from "node:buffer";

export interface Target {
  readonly name: string;
  /** What must hold, whatever the octets are: throws where it does not. */
  run(octets: Uint8Array): void | Promise<void>;
  /** Inputs to begin with. */
  readonly seeds: readonly (string | Uint8Array)[];
  /** Texts that mean something to what is under test, a character an octet. */
  readonly words: readonly string[];
  /** Octets of an input at most; 2048 when left out. */
  readonly maxLength?: number;
}

/** Decisions and texts out of an input's octets; where it has ended, the first choice and nothing. */
export class Input {
  readonly #octets: Buffer;
  #at = 0;

  constructor(octets: Uint8Array) {
    this.#octets = Buffer.from(octets.buffer, octets.byteOffset, octets.length);
  }

  get ended(): boolean {
    return this.#at >= this.#octets.length;
  }

  byte(): number {
    return this.ended ? 0 : this.#octets[this.#at++]!;
  }

  below(limit: number): number {
    return limit > 256 ? (this.byte() * 256 + this.byte()) % limit : this.byte() % limit;
  }

  flag(): boolean {
    return (this.byte() & 1) === 1;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }

  /** Up to the next octet that is `end`, which is left out. */
  until(end: number): Buffer {
    const found = this.#octets.indexOf(end, this.#at);
    const stop = found < 0 ? this.#octets.length : found;
    const part = this.#octets.subarray(this.#at, stop);
    this.#at = stop + 1;
    return part;
  }

  take(octets: number): Buffer {
    const part = this.#octets.subarray(this.#at, this.#at + octets);
    this.#at += part.length;
    return part;
  }

  rest(): Buffer {
    return this.take(this.#octets.length);
  }
}

/** The same octets in pieces whose sizes `cuts` says, again and again. */
export function inPieces(octets: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (let at = 0, i = 0; at < octets.length; i++) {
    const size = Math.max(1, cuts[i % cuts.length] ?? octets.length);
    pieces.push(octets.subarray(at, at + size));
    at += size;
  }
  return pieces;
}

/** Where a line must be one: no control characters, and those that move text about on a terminal. */
// deno-lint-ignore no-control-regex -- control characters are what is looked for
export const UNPRINTABLE = /[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/;
