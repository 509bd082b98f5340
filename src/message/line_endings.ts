// Every line of a message ends in CRLF (RFC 5322 §2.1): Exchange misreads or returns others.

import { CR, LF, SPACE } from "../octets.ts";
import { hasStrays } from "./scan.ts";
import { type LazyContent, LazyPiece, type Piece } from "./lazy_piece.ts";
import { chunks } from "./transfer_encoding.ts";

/**
 * The content with each stray LF made CRLF and each stray CR made a space, but dropped where only
 * other CRs stand between it and an LF: as Postfix does. A device that ends its lines in CR CR LF
 * would get two lines out of each otherwise, or a header without an end. Content without strays,
 * nearly all of it, is handed back as it is, uncopied; of other content the stretches that have none.
 */
export function withCrlf(content: LazyContent): LazyContent {
  return hasStrays(content) ? repaired(content) : content;
}

function repaired(content: LazyContent): LazyContent {
  const pieces: Piece[] = [];
  /** CRs that have not been written yet, because what follows decides what becomes of them. */
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

/** How many octets {@link repair} writes, and how many CRs it leaves to what follows. */
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

/** @param before CRs that have been held back, which stand before the chunk */
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
