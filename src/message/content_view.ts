// Reads and searches a message's octets by position, across its pieces. It never copies a whole
// message, which may have 150 MB.

import { asBuffer, indexOfOctet } from "../octets.ts";
import type { Edit } from "./edits.ts";
import { type LazyContent, LazyPiece, type Piece, PieceReader } from "./lazy_piece.ts";

/** Octets of a search's first step: few, because most searches end nearby. */
const FIRST_LOOK = 4 * 1024;
/** Octets that become one string at most. */
const LARGEST_STRING = 32 * 1024;
const HYPHEN = "-";
const NOTHING = new Uint8Array();

/** Shared by all views: what it returns is not kept. */
const reader = new PieceReader();

export class ContentView<P extends Piece = Piece> {
  /** Octets. */
  readonly length: number;
  readonly #pieces: readonly P[];
  /** Where each piece begins. */
  readonly #starts: readonly number[];
  /** The octets of the piece that was read last, and the position of the first. */
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

  /** The octets from `start` up to `end`, not copied. */
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

  /** The octet at a position; -1 outside of the message. Cheap if the last position was near. */
  octetAt(position: number): number {
    const offset = position - this.#nearStart;
    if (offset >= 0 && offset < this.#near.length) return this.#near[offset]!;
    if (position < 0 || position >= this.length) return -1;
    return this.#octetsAt(position)[position - this.#nearStart]!;
  }

  /** Position of the first such octet from `start` up to `end`, or -1. */
  indexOfOctet(octet: number, start: number, end = this.length): number {
    const last = Math.min(end, this.length);
    for (let at = start; at < last;) {
      const octets = this.#octetsAt(at);
      const found = indexOfOctet(octets, octet, at - this.#nearStart);
      if (found >= 0) return this.#nearStart + found < last ? this.#nearStart + found : -1;
      at = this.#nearStart + octets.length;
    }
    return -1;
  }

  /** The octets from `start` up to `end`, one character each. For short ranges only. */
  text(start: number, end: number): string {
    let text = "";
    for (const piece of this.slice(start, end)) {
      text += asBuffer(reader.read(piece)).toString("latin1");
    }
    return text;
  }

  /**
   * Position of the first `needle` that is wholly between `start` and `end`, or -1. Nearby it
   * searches strings, which both runtimes do natively. Further away it searches octets: strings of
   * a whole message would be garbage of its size, which one runtime is slow to collect.
   */
  indexOf(needle: string, start: number, end: number): number {
    const overlap = needle.length - 1;
    let look = Math.max(FIRST_LOOK, needle.length);
    for (let at = start; at + needle.length <= end;) {
      // Within one piece first, then across its end: joining strings is expensive.
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

  /** Offset of `needle` from `start`, within one piece; or -1. */
  #indexInPiece(needle: string, start: number, end: number): number {
    const index = this.#indexAt(start);
    const piece: Piece = this.#pieces[index]!;
    // Base64 has no hyphen, so the piece need not be made.
    if (piece instanceof LazyPiece && piece.base64 && needle.includes(HYPHEN)) return -1;
    const octets = reader.read(piece);
    const from = start - this.#starts[index]!;
    const last = end - this.#starts[index]! - needle.length;
    // Every delimiter has hyphens and base64 has none: one native search skips an attachment.
    const anchor = Math.max(0, needle.indexOf(HYPHEN));
    const code = needle.charCodeAt(anchor);
    let at = indexOfOctet(octets, code, from + anchor) - anchor;
    while (at >= from && at <= last) {
      if (holds(octets, at, needle)) return at - from;
      at = indexOfOctet(octets, code, at + anchor + 1) - anchor;
    }
    return -1;
  }

  /** The octets of the piece at a position; `#nearStart` is then the position of the first. */
  #octetsAt(position: number): Uint8Array {
    const offset = position - this.#nearStart;
    if (offset >= 0 && offset < this.#near.length) return this.#near;
    const index = this.#indexAt(position);
    const piece: Piece = this.#pieces[index]!;
    this.#nearStart = this.#starts[index]!;
    const octets = reader.read(piece);
    // The octets of a lazy piece are valid only until another piece is read.
    this.#near = piece instanceof LazyPiece ? NOTHING : octets;
    return octets;
  }

  #endOfPiece(position: number): number {
    const index = this.#indexAt(position);
    return this.#starts[index]! + this.#pieces[index]!.length;
  }

  /** Index of the piece at a position. */
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

/** Edits that replace the octets from `start` up to `end` with a content of any number of pieces. */
export function editsFor(start: number, end: number, content: LazyContent): Edit<Piece>[] {
  const [first = NOTHING, ...rest] = content;
  return [{ start, end, octets: first }, ...rest.map((octets) => ({ start: end, end, octets }))];
}
