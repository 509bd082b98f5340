// Every line of a message ends in CRLF (RFC 5322 §2.1): Exchange misreads or returns others.

import type { Content } from "../smtp/content.ts";
import { hasStrays } from "./inspect.ts";

const CR = 13;
const LF = 10;
const SPACE = 32;

/**
 * The content with each stray LF made CRLF and each stray CR made a space, but dropped where only
 * other CRs stand between it and an LF: as Postfix does. A device that ends its lines in CR CR LF
 * would get two lines out of each otherwise, or a header without an end. Content without strays,
 * nearly all of it, is handed back as it is, uncopied.
 */
export function withCrlf(content: Content): Content {
  return hasStrays(content) ? repaired(content) : content;
}

function repaired(content: Content): Content {
  const blocks: Uint8Array[] = [];
  /** CRs that have not been written yet, because what follows decides what becomes of them. */
  let heldCrs = 0;
  for (const block of content) {
    if (heldCrs > 0) {
      const next = block.find(isNoCr);
      // No block is made for CRs alone: their octets would be taken anew for each one.
      if (next === undefined) {
        heldCrs += block.length;
        continue;
      }
      if (next !== LF) blocks.push(new Uint8Array(heldCrs).fill(SPACE));
      heldCrs = 0;
    }
    // At worst each octet is an LF.
    const out = new Uint8Array(countLf(block) + block.length);
    let used = 0;
    for (let i = 0; i < block.length; i++) {
      const octet = block[i]!;
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
    if (used > 0) blocks.push(out.subarray(0, used));
  }
  if (heldCrs > 0) blocks.push(new Uint8Array(heldCrs).fill(SPACE));
  return blocks;
}

function isNoCr(octet: number): boolean {
  return octet !== CR;
}

function countLf(block: Uint8Array): number {
  let count = 0;
  for (let i = block.indexOf(LF); i >= 0; i = block.indexOf(LF, i + 1)) count++;
  return count;
}
