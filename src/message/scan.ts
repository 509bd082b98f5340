// A look over all octets of a message for what makes work. It is done for every message, and nearly
// none has any: hence four octets at a time, and no string of a message's size, which would have to
// be collected again.

import { Buffer } from "node:buffer";
import { asBuffer, CR, LF } from "../octets.ts";
import type { Content } from "../smtp/content.ts";
import { MAX_LINE } from "./header.ts";
import { type LazyContent, LazyPiece, octetsOf } from "./lazy_piece.ts";

/** Whether there is a CR or LF apart from CRLF, a NUL, or a line over 998 octets (RFC 5322 §2.1.1). */
export function hasIrregular(content: Content): boolean {
  return hasNul(content) || hasStrays(content) || hasLongLine(content);
}

/** Whether a CR or LF stands alone. */
export function hasStrays(content: LazyContent): boolean {
  let state = REGULAR;
  for (const piece of content) {
    // Whole lines of base64 have none, but a CR before them is one.
    if (!isBase64(piece)) state = look(octetsOf(piece), state);
    else if (state === HELD_CR) return true;
    if (state === STRAY) return true;
  }
  return state !== REGULAR;
}

function isBase64(piece: LazyContent[number]): boolean {
  return piece instanceof LazyPiece && piece.base64;
}

/** What a look has come to: all is well; it ends in a CR whose LF may come yet; one stands alone. */
const REGULAR = 0;
const HELD_CR = 1;
const STRAY = 2;

/** Octets from which it pays to look at four at a time: Bun moves smaller memory for that. */
const WORTH_WORDS = 2048;

function look(piece: Uint8Array, before: number): number {
  const { length } = piece;
  let state = before;
  let i = 0;
  if (length >= WORTH_WORDS) {
    const unaligned = -piece.byteOffset & 3;
    for (; i < unaligned; i++) state = next(state, piece[i]!);
    const words = new Int32Array(piece.buffer, piece.byteOffset + i, (length - i) >> 2);
    for (let word = 0; word < words.length; word++, i += 4) {
      const four = words[word]!;
      // Zero where each of the four is 14 or more, so that none of them is a CR or LF.
      if (state === REGULAR && ((four - 0x0e0e0e0e) & ~four & 0x80808080) === 0) continue;
      for (let octet = i; octet < i + 4; octet++) state = next(state, piece[octet]!);
      if (state === STRAY) return STRAY;
    }
  }
  while (i < length && state !== STRAY) state = next(state, piece[i++]!);
  return state;
}

function next(state: number, octet: number): number {
  if (state === HELD_CR) return octet === LF ? REGULAR : STRAY;
  if (state === STRAY || octet === LF) return STRAY;
  return octet === CR ? HELD_CR : REGULAR;
}

/** Octets of a message from which its quoted-printable parts are looked for by reading it by parts. */
const LARGE = 1024 * 1024;
const QUOTED_PRINTABLE = /quoted-printable/i;
/** Where a header has neither word, no part of the message has a header of its own. */
const HAS_PARTS = /multipart|message/i;

/** Whether a part may be quoted-printable: the words stand somewhere, which need not mean anything. */
export function mayHoldQuotedPrintable(content: Content): boolean {
  const [first] = content;
  if (first === undefined) return false;
  const header = headerText(first);
  if (header !== undefined && !HAS_PARTS.test(header)) return QUOTED_PRINTABLE.test(header);
  let length = 0;
  if (content.some((piece) => (length += piece.length) >= LARGE)) return true;
  return QUOTED_PRINTABLE.test(Buffer.concat(content).toString("latin1"));
}

/** The header section, where it is in this piece as a whole. */
function headerText(piece: Uint8Array): string | undefined {
  const octets = asBuffer(piece);
  const end = octets.indexOf("\r\n\r\n");
  return end < 0 ? undefined : octets.toString("latin1", 0, end);
}

export function hasNul(content: LazyContent): boolean {
  return content.some((piece) => !isBase64(piece) && octetsOf(piece).includes(0));
}

/**
 * Whether a line has over 998 octets. Looks back for a line end from where the longest line would
 * have its own, so that it need not find each of them.
 */
export function hasLongLine(content: Iterable<Uint8Array>): boolean {
  /** Octets of the line that the pieces before have left open. */
  let open = 0;
  for (const piece of content) {
    const { length } = piece;
    let start = -open;
    while (start + MAX_LINE + 1 < length) {
      const furthest = start + MAX_LINE + 1;
      const lineFeed = furthest < 0 ? -1 : piece.lastIndexOf(LF, furthest);
      if (lineFeed < 0 || lineFeed < start) return true;
      start = lineFeed + 1;
    }
    const last = piece.lastIndexOf(LF);
    if (last >= 0 && last >= start) start = last + 1;
    open = length - start;
  }
  return open > MAX_LINE;
}
