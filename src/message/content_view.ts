// A message's octets by position, whatever pieces they lie in. Nothing of the message's size is
// copied: a message may have 150 MB.

import { asBuffer } from "../octets.ts";
import type { Edit } from "./edits.ts";
import { type LazyContent, LazyPiece, type Piece, PieceReader } from "./lazy_piece.ts";

/** Octets that a search looks at together: few at first, for most things are near. */
const FIRST_LOOK = 4 * 1024;
/** Octets that become a string at once. */
const LARGEST_STRING = 32 * 1024;
const HYPHEN = "-";
const NOTHING = new Uint8Array();

/** For all: what is looked at is not kept. */
const reader = new PieceReader();

export class ContentView<P extends Piece = Piece> {
  /** Octets. */
  readonly length: number;
  readonly #pieces: readonly P[];
  /** Where each piece begins. */
  readonly #starts: readonly number[];
  /** The octets of the piece that was looked into last, and where they begin. */
  #near: Uint8Array = NOTHING;
  #nearStart = 0;

  constructor(content: readonly P[]) {
    const starts: number[] = [];
    let length = 0;
    for (const piece of content) {
      starts.push(length);
      length += piece.length;
    }
    this.#pieces = content;
    this.#starts = starts;
    this.length = length;
  }

  /** The octets from `start` up to `end`, uncopied. */
  slice(start: number, end: number): readonly P[] {
    const found: P[] = [];
    let index = this.#indexAt(start);
    for (let at = start; at < end; index++) {
      const piece = this.#pieces[index];
      if (piece === undefined) break;
      const from = at - this.#starts[index]!;
      const to = Math.min(end - this.#starts[index]!, piece.length);
      found.push(from === 0 && to === piece.length ? piece : piece.subarray(from, to) as P);
      at = this.#starts[index]! + to;
    }
    return found;
  }

  /** The octet at a position; -1 outside of the message. Cheap where the last one was near. */
  octetAt(position: number): number {
    const offset = position - this.#nearStart;
    if (offset >= 0 && offset < this.#near.length) return this.#near[offset]!;
    if (position < 0 || position >= this.length) return -1;
    return this.#octetsAt(position)[position - this.#nearStart]!;
  }

  /** Where the first such octet stands from `start` on and before `end`, or -1. */
  indexOfOctet(octet: number, start: number, end = this.length): number {
    const last = Math.min(end, this.length);
    for (let at = start; at < last;) {
      const octets = this.#octetsAt(at);
      const found = octets.indexOf(octet, at - this.#nearStart);
      if (found >= 0) return this.#nearStart + found < last ? this.#nearStart + found : -1;
      at = this.#nearStart + octets.length;
    }
    return -1;
  }

  /** The octets from `start` up to `end`, a character each; the caller sees to it that they are few. */
  text(start: number, end: number): string {
    let text = "";
    for (const piece of this.slice(start, end)) {
      text += asBuffer(reader.read(piece)).toString("latin1");
    }
    return text;
  }

  /**
   * Where the first `needle` begins that lies wholly between `start` and `end`, or -1. What is near
   * is found in strings, for both runtimes search them natively. Further away octets are searched:
   * a large message would leave strings of its own size behind, which Bun is slow to collect.
   */
  indexOf(needle: string, start: number, end: number): number {
    const overlap = needle.length - 1;
    let look = Math.max(FIRST_LOOK, needle.length);
    for (let at = start; at + needle.length <= end;) {
      // Mostly within one piece, and apart from that over its end: joining strings is dear.
      const pieceEnd = Math.min(this.#endOfPiece(at), end);
      const to = Math.min(at + look, pieceEnd);
      const found = look <= LARGEST_STRING
        ? this.text(at, to).indexOf(needle)
        : this.#indexInPiece(needle, at, to);
      if (found >= 0) return at + found;
      at = Math.max(at, to - overlap);
      look *= 2;
      if (to < pieceEnd) continue;
      const over = this.text(at, Math.min(to + overlap, end)).indexOf(needle);
      if (over >= 0) return at + over;
      at = to;
    }
    return -1;
  }

  /** Where `needle` begins after `start`, both within one piece. */
  #indexInPiece(needle: string, start: number, end: number): number {
    const index = this.#indexAt(start);
    const piece: Piece = this.#pieces[index]!;
    // What holds nothing but base64 has no hyphen, and need not be made to be searched for one.
    if (piece instanceof LazyPiece && piece.base64 && needle.includes(HYPHEN)) return -1;
    const octets = reader.read(piece);
    const from = start - this.#starts[index]!;
    const last = end - this.#starts[index]! - needle.length;
    // Base64 has no hyphen, and every delimiter has two: one native search passes by an attachment.
    const anchor = Math.max(0, needle.indexOf(HYPHEN));
    const code = needle.charCodeAt(anchor);
    let at = octets.indexOf(code, from + anchor) - anchor;
    while (at >= from && at <= last) {
      if (holds(octets, at, needle)) return at - from;
      at = octets.indexOf(code, at + anchor + 1) - anchor;
    }
    return -1;
  }

  /** The octets of the piece that holds a position, which begin at `#nearStart` then. */
  #octetsAt(position: number): Uint8Array {
    const offset = position - this.#nearStart;
    if (offset >= 0 && offset < this.#near.length) return this.#near;
    const index = this.#indexAt(position);
    const piece: Piece = this.#pieces[index]!;
    this.#nearStart = this.#starts[index]!;
    const octets = reader.read(piece);
    // What is made is good until another piece is read.
    this.#near = piece instanceof LazyPiece ? NOTHING : octets;
    return octets;
  }

  #endOfPiece(position: number): number {
    const index = this.#indexAt(position);
    return this.#starts[index]! + this.#pieces[index]!.length;
  }

  /** Index of the piece that holds a position. */
  #indexAt(position: number): number {
    let low = 0;
    let high = this.#starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#starts[middle]! <= position) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

function holds(octets: Uint8Array, at: number, needle: string): boolean {
  for (let i = 0; i < needle.length; i++) {
    if (octets[at + i] !== needle.charCodeAt(i)) return false;
  }
  return true;
}

/** The octets from `start` up to `end` give way to a content, however many pieces it has. */
export function editsFor(start: number, end: number, content: LazyContent): Edit<Piece>[] {
  const [first = NOTHING, ...rest] = content;
  return [{ start, end, octets: first }, ...rest.map((octets) => ({ start: end, end, octets }))];
}
