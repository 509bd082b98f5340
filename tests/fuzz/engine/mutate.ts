// Makes inputs out of others: a few changes at random places, of the kinds that parsers trip over.

import { Buffer } from "node:buffer";
import type { Random } from "./random.ts";

/** What there is to make inputs of. */
export interface Material {
  /** Inputs that are worth changing. */
  readonly corpus: readonly Uint8Array[];
  /** Texts that mean something to the target. */
  readonly words: readonly Uint8Array[];
  /** Comparisons that failed: what stood there, and what was looked for. */
  readonly wanted: readonly (readonly [found: Uint8Array, wanted: Uint8Array])[];
  /** Octets of an input at most. */
  readonly maxLength: number;
}

/** Octets that begin, end or break something in most formats. */
const TELLING = Buffer.from('\0\t\n\r "()*+,-./:;<=>?@[\\]_{|}~\x7f\x80\xc3\xff09azAZ', "latin1");

const RECENT = 8;

/** A changed copy of one of the corpus. */
export function mutated(material: Material, random: Random): Uint8Array {
  const { corpus, maxLength } = material;
  // Those that were found last lead further more often than the others.
  const recent = corpus.slice(-RECENT);
  let input: Buffer = Buffer.from(random.pick(random.below(3) === 0 ? recent : corpus));
  for (let changes = 1 + random.below(1 << random.below(4)); changes > 0; changes--) {
    input = changed(input, material, random);
  }
  return input.subarray(0, maxLength);
}

function changed(input: Buffer, { corpus, words, wanted }: Material, random: Random): Buffer {
  const at = random.below(input.length + 1);
  const end = Math.min(input.length, at + 1 + random.below(1 << random.below(8)));
  switch (random.below(13)) {
    case 0:
      return replaced(input, at, Math.min(at + 1, input.length), [random.below(256)]);
    case 1:
      return replaced(input, at, Math.min(at + 1, input.length), [random.pick([...TELLING])]);
    case 2:
      return replaced(input, at, at, [random.pick([...TELLING])]);
    case 3: {
      const bit = Buffer.from(input);
      if (at < bit.length) bit[at]! ^= 1 << random.below(8);
      return bit;
    }
    case 4:
      return replaced(input, at, end, []);
    case 5:
      // Twice, or very often: what is slow shows only in numbers.
      return replaced(input, at, at, repeated(input.subarray(at, end), random));
    case 6:
    case 7:
    case 8:
      if (words.length === 0) return input;
      return replaced(input, at, random.below(3) === 0 ? end : at, random.pick(words));
    case 9: {
      const other = random.pick(corpus);
      const from = random.below(other.length + 1);
      const piece = other.subarray(from, from + 1 + random.below(other.length - from + 1));
      return replaced(input, at, random.below(2) === 0 ? end : at, piece);
    }
    case 10: {
      // The beginning of one, the end of another.
      const other = random.pick(corpus);
      return Buffer.concat([input.subarray(0, at), other.subarray(random.below(other.length + 1))]);
    }
    case 11:
      return replaced(input, at, Math.min(at + 1, input.length), [
        input[at]! + random.below(9) - 4,
      ]);
    default: {
      if (wanted.length === 0) return input;
      const [found, want] = random.pick(wanted);
      const where = found.length === 0 ? -1 : input.indexOf(found, random.below(2) * at);
      return where < 0
        ? replaced(input, at, at, want)
        : replaced(input, where, where + found.length, want);
    }
  }
}

function repeated(piece: Uint8Array, random: Random): Uint8Array {
  const times = 1 << random.below(9);
  return Buffer.concat(Array<Uint8Array>(times).fill(piece));
}

function replaced(
  input: Buffer,
  start: number,
  end: number,
  by: ArrayLike<number>,
): Buffer {
  return Buffer.concat([
    input.subarray(0, start),
    Uint8Array.from(by),
    input.subarray(Math.max(start, end)),
  ]);
}

/**
 * A shorter input that `fails` as well: pieces are left out, large ones first.
 *
 * @param attempts calls of `fails` at most
 */
export async function shortened(
  input: Uint8Array,
  fails: (input: Uint8Array) => Promise<boolean>,
  attempts = 500,
): Promise<Uint8Array> {
  let best: Buffer = Buffer.from(input);
  for (let size = Math.max(1, best.length >> 1); attempts > 0; size >>= 1) {
    for (let at = 0; at < best.length && attempts > 0;) {
      const without = replaced(best, at, at + size, []);
      attempts--;
      if (await fails(without)) best = without;
      else at += size;
    }
    if (size <= 1) break;
  }
  return best;
}
