// Makes all line ends of a message CRLF (RFC 5322 §2.1): Exchange misreads or returns other
// messages.

import { CR, LF, SPACE } from "../octets.ts";
import { hasStrays } from "./scan.ts";
import { type LazyContent, LazyPiece, type Piece } from "./lazy_piece.ts";
import { chunks } from "./transfer_encoding.ts";

/**
 * Makes each stray LF a CRLF and each stray CR a space. CRs directly before a CRLF are dropped, as
 * Postfix does: otherwise each line of a device that ends lines in CR CR LF would become two, and
 * its header would end early. Content without strays, which is nearly all, is returned uncopied; so
 * are the parts of other content that have none.
 */
export function withCrlf(content: LazyContent): LazyContent {
  return hasStrays(content) ? repaired(content) : content;
}

function repaired(content: LazyContent): LazyContent {
  const pieces: Piece[] = [];
  /** CRs that are not written yet, because the next octet decides what becomes of them. */
  let heldCrs = 0;
  const writeHeld = () => {
    if (heldCrs > 0) {
      pieces.push(new LazyPiece({ length: heldCrs, write: (out) => out.fill(SPACE) }));
    }
    heldCrs = 0;
  };
  for (const piece of content) {
    if (piece instanceof LazyPiece) {
      // Whole lines, which begin with neither CR nor LF.
      writeHeld();
      pieces.push(piece);
      continue;
    }
    for (const chunk of chunks([piece])) {
      if (heldCrs === 0 && !hasStrays([chunk])) {
        pieces.push(chunk);
        continue;
      }
      const before = heldCrs;
      const measured = measure(chunk, before);
      heldCrs = measured.heldCrs;
      const { length } = measured;
      if (length === 0) continue;
      pieces.push(new LazyPiece({ length, write: (out) => repair(chunk, before, out) }));
    }
  }
  writeHeld();
  return pieces;
}

/** How many octets {@link repair} writes, and how many CRs it leaves to the next chunk. */
function measure(chunk: Uint8Array, before: number): { length: number; heldCrs: number } {
  let length = 0;
  let heldCrs = before;
  for (let i = 0; i < chunk.length; i++) {
    const octet = chunk[i]!;
    if (octet === CR) heldCrs++;
    else {
      length += octet === LF ? 2 : heldCrs + 1;
      heldCrs = 0;
    }
  }
  return { length, heldCrs };
}

/** @param before CRs before the chunk that were held back */
function repair(chunk: Uint8Array, before: number, out: Uint8Array): void {
  let heldCrs = before;
  let used = 0;
  for (let i = 0; i < chunk.length; i++) {
    const octet = chunk[i]!;
    if (octet === CR) {
      heldCrs++;
      continue;
    }
    if (octet === LF) {
      out[used++] = CR;
      heldCrs = 0;
    }
    for (; heldCrs > 0; heldCrs--) out[used++] = SPACE;
    out[used++] = octet;
  }
}
