// The header section of a message, on octets (RFC 5322 §2.2, §3.6).

import { Buffer } from "node:buffer";
import type { Content } from "../smtp/content.ts";
import { asBuffer } from "../octets.ts";

/** One header field where it stands. */
export interface HeaderField {
  /** In lower case. */
  readonly name: string;
  /** The body after the colon, folding and octets untouched, without the last line end. */
  readonly body: Buffer;
  /** Where the field begins in the header section, octets. */
  readonly start: number;
  /** Where its body ends, before the last line end. */
  readonly end: number;
}

export interface HeaderSection {
  /** The octets of the fields, the empty line behind them left out. */
  readonly octets: Buffer;
  readonly fields: readonly HeaderField[];
}

/** Octets; Exchange takes 256 KB of header at most, so what is longer is not looked at. */
const MAX_HEADER = 512 * 1024;
const LF = 10;
const CR = 13;
const COLON = 58;
const SPACE = 32;
const TAB = 9;

/**
 * Reads the fields at the beginning of a message with CRLF line ends. The section ends before the
 * first line that is no field: mostly the empty one.
 */
export function readHeader(content: Content): HeaderSection {
  const octets = beginning(content);
  const fields: { name: string; start: number; colon: number; end: number }[] = [];
  let position = 0;
  while (position < octets.length) {
    const lineFeed = octets.indexOf(LF, position);
    const next = lineFeed < 0 ? octets.length : lineFeed + 1;
    const end = lineFeed < 0 ? octets.length : lineFeed - 1;
    const first = octets[position]!;
    if ((first === SPACE || first === TAB) && fields.length > 0) {
      fields.at(-1)!.end = end;
    } else {
      const colon = nameEnd(octets, position, end);
      if (colon < 0) break;
      const name = octets.toString("latin1", position, colon).trimEnd().toLowerCase();
      fields.push({ name, start: position, colon, end });
    }
    position = next;
  }
  return {
    octets: octets.subarray(0, position),
    fields: fields.map(({ name, start, colon, end }) => ({
      name,
      start,
      end,
      body: octets.subarray(colon + 1, end),
    })),
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
function nameEnd(octets: Buffer, start: number, end: number): number {
  for (let i = start; i < end; i++) {
    const octet = octets[i]!;
    if (octet === COLON) return i > start ? i : -1;
    // RFC 5322 §4.5 lets white space stand before the colon; it is accepted in no other place.
    if (octet === SPACE || octet === TAB) {
      const rest = octets.toString("latin1", i, end).trimStart();
      return i > start && rest.startsWith(":") ? octets.indexOf(COLON, i) : -1;
    }
    if (octet < 33 || octet > 126 || octet === CR) return -1;
  }
  return -1;
}
