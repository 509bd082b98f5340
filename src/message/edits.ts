// Changes to a message as values: a range of octets, and what replaces it.

import type { Content } from "../smtp/content.ts";
import type { LazyContent, Piece } from "./lazy_piece.ts";

/** Replaces the octets from `start` up to `end`; inserts if both are equal. */
export interface Edit<P extends Piece = Uint8Array> {
  /** Octets from the beginning of the message. */
  readonly start: number;
  readonly end: number;
  readonly octets: P;
}

/** Removes a header field with its line end. */
export function removal({ start, end }: { readonly start: number; readonly end: number }): Edit {
  return { start, end: end + 2, octets: NOTHING };
}
const NOTHING = new Uint8Array(0);

/**
 * Applies edits to a content. Unchanged octets are shared with the given content.
 *
 * @param edits in order, without overlaps
 */
export function applyEdits(content: Content, edits: readonly Edit[]): Content;
export function applyEdits(content: LazyContent, edits: readonly Edit<Piece>[]): LazyContent;
export function applyEdits(content: LazyContent, edits: readonly Edit<Piece>[]): LazyContent {
  if (edits.length === 0) return content;
  const blocks: Piece[] = [];
  const add = (octets: Piece) => {
    if (octets.length > 0) blocks.push(octets);
  };
  let next = 0;
  /** Position of the current block, and the position up to which all octets are dealt with. */
  let blockStart = 0;
  let done = 0;
  for (const block of content) {
    const blockEnd = blockStart + block.length;
    for (; next < edits.length && edits[next]!.start < blockEnd; next++) {
      const { start, end, octets } = edits[next]!;
      add(block.subarray(done - blockStart, start - blockStart));
      add(octets);
      done = end;
    }
    if (done <= blockStart) blocks.push(block);
    else if (done < blockEnd) add(block.subarray(done - blockStart));
    done = Math.max(done, blockEnd);
    blockStart = blockEnd;
  }
  for (; next < edits.length; next++) add(edits[next]!.octets);
  return blocks;
}
