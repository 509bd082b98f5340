// Scans all octets of a message for anything that needs repair. Every message is scanned and hardly
// any needs repair: hence four octets at a time, and no string of a message's size, which would be
// garbage.

import { Buffer } from "node:buffer";
import { CR, indexOfOctet, LF } from "../octets.ts";
import type { Content } from "../smtp/content.ts";
import { type HeaderField, MAX_LINE, readHeader } from "./header.ts";
import { type LazyContent, LazyPiece, octetsOf } from "./lazy_piece.ts";

/** Whether there is a stray CR or LF, a NUL, or a line over 998 octets (RFC 5322 §2.1.1). */
export function hasIrregular(content: Content): boolean {
  return hasNul(content) || hasStrays(content) || hasLongLine(content);
}

/** Whether there is a stray CR or LF. */
export function hasStrays(content: LazyContent): boolean {
  let state = REGULAR;
  for (const piece of content) {
    // Whole lines of base64 have none, but a CR before them is stray.
    if (!isBase64(piece)) state = look(octetsOf(piece), state);
    else if (state === HELD_CR) return true;
    if (state === STRAY) return true;
  }
  return state !== REGULAR;
}

function isBase64(piece: LazyContent[number]): boolean {
  return piece instanceof LazyPiece && piece.base64;
}

/** Finds stray CRs and LFs in octets that come in pieces. */
export class StrayScan {
  #state = REGULAR;

  /** @returns whether there is one in the pieces so far; a CR at their end may yet get its LF */
  found(piece: Uint8Array): boolean {
    this.#state = look(piece, this.#state);
    return this.#state === STRAY;
  }

  /** Whether the pieces so far end in a CR. */
  get endsInCr(): boolean {
    return this.#state === HELD_CR;
  }
}

/** States of a scan: no stray so far; ends in a CR whose LF may follow; a stray was found. */
const REGULAR = 0;
const HELD_CR = 1;
const STRAY = 2;

/** Octets from which reading four at a time pays off: one runtime moves the memory of smaller pieces for it. */
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
      // Zero if each of the four is 14 or more, so that none of them is a CR or LF.
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

/** Octets of a message from which its quoted-printable parts are found by parsing its structure. */
const LARGE = 1024 * 1024;
const QUOTED_PRINTABLE = /quoted-printable/i;
/** If a Content-Type has neither word, no part of the message has a header of its own. */
const HAS_PARTS = /multipart|message/i;

/** Whether a part may be quoted-printable: the word occurs somewhere, perhaps in text. */
export function mayHoldQuotedPrintable(content: Content): boolean {
  const [first] = content;
  if (first === undefined) return false;
  const { regular, fields } = readHeader(content);
  if (regular) {
    const mime = fields.filter(isOfMime).map(({ body }) => body.toString("latin1"));
    if (!mime.some((body) => HAS_PARTS.test(body))) {
      return mime.some((body) => QUOTED_PRINTABLE.test(body));
    }
  }
  let length = 0;
  if (content.some((piece) => (length += piece.length) >= LARGE)) return true;
  return QUOTED_PRINTABLE.test(Buffer.concat(content).toString("latin1"));
}

/** Whether it is a field of RFC 2045: no other says what the body is. */
function isOfMime({ name }: HeaderField): boolean {
  return name.startsWith("content-");
}

export function hasNul(content: LazyContent): boolean {
  return content.some((piece) => !isBase64(piece) && indexOfOctet(octetsOf(piece), 0) >= 0);
}

/**
 * Whether a line has over 998 octets. Searches backwards from where the longest allowed line would
 * end, so that it need not find every line end.
 */
export function hasLongLine(content: Iterable<Uint8Array>): boolean {
  /** Octets of the line that continues from the pieces before. */
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
