// The header section of a message, on octets (RFC 5322 §2.2, §3.6).

import { Buffer } from "node:buffer";
import type { Content } from "../smtp/content.ts";
import { asBuffer } from "../octets.ts";

/** One header field where it stands. */
export class HeaderField {
  readonly #octets: Buffer;

  constructor(
    octets: Buffer,
    /** In lower case. */
    readonly name: string,
    /** Where the field begins in the message, octets. */
    readonly start: number,
    readonly colon: number,
    /** Where its body ends, before the last line end. */
    readonly end: number,
  ) {
    this.#octets = octets;
  }

  get nameAndColon(): Buffer {
    return this.#octets.subarray(this.start, this.colon + 1);
  }

  /** The body after the colon, folding and octets untouched, without the last line end. */
  get body(): Buffer {
    return this.#octets.subarray(this.colon + 1, this.end);
  }
}

/**
 * What stands behind the last field: the empty line, nothing at all, a line that is no field, or
 * more header than is looked at.
 */
export type HeaderEnding = "emptyLine" | "endOfMessage" | "noField" | "tooLong";

export interface HeaderSection {
  /** The message's octets up to the end of the last field; its line end is counted in. */
  readonly octets: Buffer;
  readonly fields: readonly HeaderField[];
  readonly ending: HeaderEnding;
  /**
   * Whether every line is as RFC 5322 §2.1.1 and §2.2 want it now, the obsolete forms left out: no
   * mbox line, no white space before a colon, no continuation line of white space alone, none over
   * 998 octets, and an empty line at the end.
   */
  readonly regular: boolean;
}

/** Octets; Exchange takes 256 KB of header at most, so what is longer is not looked at. */
const MAX_HEADER = 512 * 1024;
/** RFC 5322 §2.1.1: octets of a line, its line end left out. */
export const MAX_LINE = 998;
const LF = 10;
const CR = 13;
const COLON = 58;
const SPACE = 32;
const TAB = 9;

/**
 * Reads the fields at the beginning of a message with CRLF line ends. The section ends before the
 * first line that is no field: mostly the empty one. Lines of an mbox file at the very top, `From `
 * and `>From `, are passed over (RFC 4155).
 */
export function readHeader(content: Content): HeaderSection {
  const octets = beginning(content);
  const fields: HeaderField[] = [];
  const start = mboxLinesEnd(octets);
  let regular = start === 0;
  let ending: HeaderEnding = octets.length >= MAX_HEADER ? "tooLong" : "endOfMessage";
  let position = start;
  // The field that is being read.
  let fieldStart = start;
  let colon = -1;
  let nameStop = 0;
  let bodyEnd = 0;
  const finish = () => {
    if (colon < 0) return;
    const name = octets.toString("latin1", fieldStart, nameStop).toLowerCase();
    fields.push(new HeaderField(octets, name, fieldStart, colon, bodyEnd));
  };
  while (position < octets.length) {
    const lineFeed = octets.indexOf(LF, position);
    const end = lineFeed < 0 ? octets.length : lineFeed - 1;
    const first = octets[position]!;
    if ((first === SPACE || first === TAB) && colon >= 0) {
      if (isBlank(octets, position, end)) regular = false;
    } else {
      const nextColon = colonOf(octets, position, end);
      if (nextColon < 0) {
        ending = end === position && lineFeed >= 0 ? "emptyLine" : "noField";
        break;
      }
      finish();
      fieldStart = position;
      colon = nextColon;
      nameStop = colon;
      while (isWhite(octets[nameStop - 1]!)) nameStop--;
      if (nameStop < colon) regular = false;
    }
    if (end - position > MAX_LINE) regular = false;
    bodyEnd = end;
    position = lineFeed < 0 ? octets.length : lineFeed + 1;
  }
  finish();
  return {
    octets: octets.subarray(0, position),
    fields,
    ending,
    regular: regular && ending === "emptyLine",
  };
}

/** The first octets in one piece, as many as a header may have. */
function beginning(content: Content): Buffer {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for (const block of content) {
    if (length >= MAX_HEADER) break;
    // Only as far as the header goes: a body needs no copy.
    const piece = block.subarray(0, MAX_HEADER - length);
    pieces.push(piece);
    length += piece.length;
    if (holdsEmptyLine(piece)) break;
  }
  const [only] = pieces;
  if (pieces.length === 1 && only !== undefined) {
    return asBuffer(only);
  }
  return Buffer.concat(pieces);
}

function holdsEmptyLine(piece: Uint8Array): boolean {
  return asBuffer(piece).includes("\r\n\r\n");
}

/** Index of the colon behind a field name (RFC 5322 §2.2), or -1 where the line is no field. */
export function colonOf(octets: Buffer, start: number, end: number): number {
  for (let i = start; i < end; i++) {
    const octet = octets[i]!;
    if (octet === COLON) return i > start ? i : -1;
    // RFC 5322 §4.5 lets white space stand before the colon; it is accepted in no other place.
    if (isWhite(octet)) {
      let next = i;
      while (next < end && isWhite(octets[next]!)) next++;
      return i > start && octets[next] === COLON && next < end ? next : -1;
    }
    if (octet < 33 || octet > 126 || octet === CR) return -1;
  }
  return -1;
}

function isWhite(octet: number): boolean {
  return octet === SPACE || octet === TAB;
}

export function isBlank(octets: Buffer, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (!isWhite(octets[i]!)) return false;
  return true;
}

const MBOX_LINE = /^>?From /;
/** `From ann@example.com Mon Nov 23 20:27:56 2026` */
const MBOX_DATE = /\d\d:\d\d.* \d{4}\s*$/;

/**
 * Where the mbox lines at the top end. A text that begins with "From here …" is none: a field has
 * to follow, or a date to stand in the line.
 */
function mboxLinesEnd(octets: Buffer): number {
  const first = octets[0];
  // Nearly every message is done here.
  if (first !== 0x46 && first !== 0x3e) return 0;
  let position = 0;
  let last = "";
  for (;;) {
    const lineFeed = octets.indexOf(LF, position);
    const end = lineFeed < 0 ? octets.length : lineFeed - 1;
    const line = octets.toString("latin1", position, Math.min(end, position + MAX_LINE));
    if (lineFeed < 0 || !MBOX_LINE.test(line) || colonOf(octets, position, end) >= 0) {
      const field = colonOf(octets, position, end) >= 0;
      return field || MBOX_DATE.test(last) ? position : 0;
    }
    last = line;
    position = lineFeed + 1;
  }
}
