// A look over all octets of a message for what makes work. It is done for every message, and nearly
// none has any: hence one native search each, over the octets as a string where only those are fast
// on both runtimes. A large message is looked at octet by octet instead: it would leave strings of
// its own size behind, which Bun is slow to collect.

import { asBuffer } from "../octets.ts";
import type { Content } from "../smtp/content.ts";
import { MAX_LINE } from "./header.ts";

export interface Findings {
  /** CR or LF apart from CRLF, NUL, or a line over 998 octets (RFC 5322 §2.1.1, §2.3). */
  readonly irregular: boolean;
  /** The words stand somewhere, which need not mean anything. */
  readonly quotedPrintable: boolean;
}

/** Octets that become a string at once. */
const LOOK = 512 * 1024;
/** Octets from which a content is large. */
const LARGE = 1024 * 1024;
const LF = 10;
const CR = 13;

const STRAY = /\r(?!\n)|(?<!\r)\n/g;
const STRAY_OR_NUL = /\r(?!\n)|(?<!\r)\n|\0/g;
const QUOTED_PRINTABLE = /quoted-printable/i;
const OVERLAP = "quoted-printable".length - 1;

export function inspect(content: Content): Findings {
  if (isLarge(content)) {
    // Whether there is quoted-printable shows when the message is read by parts.
    return { irregular: hasIrregular(content), quotedPrintable: true };
  }
  let quotedPrintable = false;
  let tail = "";
  let irregular = hasLongLine(content);
  let heldCr = false;
  for (const piece of content) {
    for (let at = 0; at < piece.length; at += LOOK) {
      const text = asBuffer(piece).toString("latin1", at, Math.min(at + LOOK, piece.length));
      irregular ||= hasStray(STRAY_OR_NUL, text, heldCr);
      heldCr = text.endsWith("\r");
      quotedPrintable ||= QUOTED_PRINTABLE.test(text) ||
        (tail !== "" && QUOTED_PRINTABLE.test(tail + text.slice(0, OVERLAP)));
      tail = text.length >= OVERLAP ? text.slice(-OVERLAP) : (tail + text).slice(-OVERLAP);
    }
  }
  return { irregular: irregular || heldCr, quotedPrintable };
}

function isLarge(content: Content): boolean {
  let length = 0;
  return content.some((piece) => (length += piece.length) >= LARGE);
}

/** Whether there is a CR or LF apart from CRLF, a NUL, or a line over 998 octets. */
function hasIrregular(content: Content): boolean {
  let heldCr = false;
  for (const piece of content) {
    for (let i = 0; i < piece.length; i++) {
      const octet = piece[i]!;
      if (octet === LF) {
        if (!heldCr) return true;
        heldCr = false;
      } else if (heldCr || octet === 0) {
        return true;
      } else if (octet === CR) {
        heldCr = true;
      }
    }
  }
  return heldCr || hasLongLine(content);
}

/** Whether a CR or LF stands alone. */
export function hasStrays(content: Content): boolean {
  let heldCr = false;
  for (const piece of content) {
    for (let at = 0; at < piece.length; at += LOOK) {
      const text = asBuffer(piece).toString("latin1", at, Math.min(at + LOOK, piece.length));
      if (hasStray(STRAY, text, heldCr)) return true;
      heldCr = text.endsWith("\r");
    }
  }
  return heldCr;
}

/** @param heldCr whether a CR stands before the text; one at its end is left to the next text */
function hasStray(stray: RegExp, text: string, heldCr: boolean): boolean {
  if (heldCr && !text.startsWith("\n")) return true;
  stray.lastIndex = heldCr ? 1 : 0;
  const found = stray.exec(text);
  return found !== null && (found.index < text.length - 1 || found[0] !== "\r");
}

export function hasNul(content: Content): boolean {
  return content.some((piece) => piece.includes(0));
}

/**
 * Whether a line has over 998 octets. Looks back for a line end from where the longest line would
 * have its own, so that it need not find each of them.
 */
export function hasLongLine(content: Content): boolean {
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
