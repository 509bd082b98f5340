// Every line of a message ends in CRLF (RFC 5322 §2.1): Exchange misreads or returns others.

import type { Content } from "../smtp/content.ts";

const CR = 13;
const LF = 10;
const SPACE = 32;

/**
 * The content with each stray LF made CRLF and each stray CR made a space, as Postfix does: a CR
 * that were made a line end would split a header section that a device ended its lines in CR CR LF
 * with. Content without strays, nearly all of it, is handed back as it is, uncopied.
 */
export function withCrlf(content: Content): Content {
  let previous = 0;
  let strays = false;
  for (const block of content) {
    for (let i = 0; i < block.length; i++) {
      const octet = block[i]!;
      // A CR counts as stray unless LF follows, an LF unless CR precedes.
      if (octet === LF ? previous !== CR : previous === CR) {
        strays = true;
        break;
      }
      previous = octet;
    }
    if (strays) break;
  }
  return strays || previous === CR ? repaired(content) : content;
}

function repaired(content: Content): Content {
  const blocks: Uint8Array[] = [];
  /** A CR that has not been written yet, because what follows decides what becomes of it. */
  let heldCr = false;
  for (const block of content) {
    // At worst each octet is an LF; one more for a CR held from the block before.
    const out = new Uint8Array(countLf(block) + block.length + 1);
    let used = 0;
    for (const octet of block) {
      if (octet === LF) {
        out[used++] = CR;
        out[used++] = LF;
        heldCr = false;
        continue;
      }
      if (heldCr) out[used++] = SPACE;
      heldCr = octet === CR;
      if (!heldCr) out[used++] = octet;
    }
    if (used > 0) blocks.push(out.subarray(0, used));
  }
  if (heldCr) blocks.push(Uint8Array.of(SPACE));
  return blocks;
}

function countLf(block: Uint8Array): number {
  let count = 0;
  for (let i = block.indexOf(LF); i >= 0; i = block.indexOf(LF, i + 1)) count++;
  return count;
}
