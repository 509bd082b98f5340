// Encodes and decodes quoted-printable and base64 (RFC 2045 §6.7, §6.8), piece by piece: no content
// is held as a whole. The decoders accept invalid input as mail readers do, without an error.

import { CR, EQUALS, LF, SPACE, TAB } from "../octets.ts";
import type { Content } from "../smtp/content.ts";
import { type LazyContent, LazyPiece, type Piece, PieceReader } from "./lazy_piece.ts";
import { ContentView } from "./content_view.ts";

/** Octets that are processed at once; somewhat more for encoded lines. */
const CHUNK = 64 * 1024;
/** Octets that one line of base64, 76 characters, encodes (RFC 2045 §6.8). */
const LINE = 57;
const LINE_CHARACTERS = 76;
/** Lines that are made at once. */
const LINES = 1024;

/**
 * Encodes octets in lines of 76 characters, with CRLF between them and, if `lastLineEnd`, at the
 * end. An empty content stays empty.
 */
export function encodeBase64(content: LazyContent, lastLineEnd: boolean): LazyPiece[] {
  return inLines(content, LINE, lastLineEnd, true, (octets, start, end, out, at) => {
    return writeBase64(octets, start, end, out, at);
  });
}

/**
 * Encodes octets. A loop, not the native encoder, which makes strings: those of a large content
 * pile up as garbage.
 *
 * @returns index after the last character
 */
function writeBase64(
  octets: Uint8Array,
  start: number,
  end: number,
  out: Uint8Array,
  at: number,
): number {
  let to = at;
  let i = start;
  for (; i + 2 < end; i += 3) {
    const a = octets[i]!;
    const b = octets[i + 1]!;
    const c = octets[i + 2]!;
    out[to] = CHARACTERS[a >> 2]!;
    out[to + 1] = CHARACTERS[(a & 3) << 4 | b >> 4]!;
    out[to + 2] = CHARACTERS[(b & 15) << 2 | c >> 6]!;
    out[to + 3] = CHARACTERS[c & 63]!;
    to += 4;
  }
  if (i < end) {
    const both = i + 1 < end;
    const bits = octets[i]! << 16 | (both ? octets[i + 1]! << 8 : 0);
    out[to++] = CHARACTERS[bits >> 18]!;
    out[to++] = CHARACTERS[bits >> 12 & 63]!;
    out[to++] = both ? CHARACTERS[bits >> 6 & 63]! : EQUALS;
    out[to++] = EQUALS;
  }
  return to;
}

/**
 * Breaks base64 into new lines without changing its characters. Undefined if it has characters that
 * are not base64.
 */
export function rewrapBase64(content: Content, lastLineEnd: boolean): LazyPiece[] | undefined {
  const characters: Piece[] = [];
  for (const chunk of chunks(content)) {
    let length = 0;
    for (let i = 0; i < chunk.length; i++) {
      if (BASE64[chunk[i]!]! >= 0) length++;
      else if (!isSpace(chunk[i]!)) return undefined;
    }
    if (length === chunk.length) characters.push(chunk);
    else if (length > 0) {
      characters.push(new LazyPiece({ length, write: (out) => withoutSpaces(chunk, out) }));
    }
  }
  return inLines(characters, LINE_CHARACTERS, lastLineEnd, false, (octets, start, end, out, at) => {
    // A loop: a native copy costs more for so few octets.
    for (let i = start; i < end; i++) out[at + i - start] = octets[i]!;
    return at + end - start;
  });
}

function withoutSpaces(chunk: Uint8Array, out: Uint8Array): void {
  let used = 0;
  for (let i = 0; i < chunk.length; i++) {
    if (!isSpace(chunk[i]!)) out[used++] = chunk[i]!;
  }
}

/** White space in Latin-1, including line ends. */
function isSpace(octet: number): boolean {
  return octet === SPACE || octet >= TAB && octet <= CR || octet === 0xa0;
}

/** Writes the characters of one line. @returns index after the last one */
type WriteLine = (
  octets: Uint8Array,
  start: number,
  end: number,
  out: Uint8Array,
  at: number,
) => number;

/**
 * A content in lines of base64, which are made when they are read.
 *
 * @param width octets of the content for each line; the last one may have fewer
 * @param encodes whether the content is to be encoded; else it is base64 already
 */
function inLines(
  content: LazyContent,
  width: number,
  lastLineEnd: boolean,
  encodes: boolean,
  writeLine: WriteLine,
): LazyPiece[] {
  const source = new ContentView(content);
  const made: LazyPiece[] = [];
  for (let start = 0; start < source.length; start += LINES * width) {
    const end = Math.min(start + LINES * width, source.length);
    const slice = source.slice(start, end);
    const count = Math.ceil((end - start) / width);
    const characters = encodes ? 4 * Math.ceil((end - start) / 3) : end - start;
    const ends = end === source.length && !lastLineEnd ? count - 1 : count;
    made.push(
      new LazyPiece({
        length: characters + 2 * ends,
        write: (out) => writeLines(slice, width, writeLine, out),
        base64: true,
        ...(encodes ? { decoded: slice } : {}),
      }),
    );
  }
  return made;
}

/** Reads the content of lines. */
const reader = new PieceReader();

function writeLines(
  slice: LazyContent,
  width: number,
  writeLine: WriteLine,
  out: Uint8Array,
): void {
  let used = 0;
  const write = (octets: Uint8Array, start: number, end: number) => {
    used = writeLine(octets, start, end, out, used);
    // The last line's CRLF may be out of range: that write has no effect.
    out[used++] = CR;
    out[used++] = LF;
  };
  /** The line begun by the pieces before. */
  const begun = new Uint8Array(width);
  let length = 0;
  for (const source of slice) {
    const piece = reader.read(source);
    let at = 0;
    if (length > 0) {
      at = Math.min(width - length, piece.length);
      begun.set(piece.subarray(0, at), length);
      length += at;
      if (length < width) continue;
      write(begun, 0, width);
    }
    for (; at + width <= piece.length; at += width) write(piece, at, at + width);
    begun.set(piece.subarray(at));
    length = piece.length - at;
  }
  if (length > 0) write(begun, 0, length);
}

/** The value of each base64 character, that of padding, and -1 for other octets. */
const PADDING = 64;
const NOTHING = new Uint8Array();
const BASE64 = new Int8Array(256).fill(-1);
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const CHARACTERS = new TextEncoder().encode(ALPHABET);
for (let i = 0; i < 64; i++) {
  BASE64[CHARACTERS[i]!] = i;
}
BASE64[EQUALS] = PADDING;

/**
 * Decodes base64. Skips line ends and all characters outside of base64 (RFC 2045 §6.8). Decodes
 * what follows padding too, because some programs encode a content in several runs. A loop, not the
 * native decoder, which needs strings: those of a large attachment pile up as garbage.
 *
 * @param scratch reuse the same memory for all pieces: each is valid until the next
 */
export function* decodeBase64(
  octets: Iterable<Uint8Array>,
  scratch = false,
): Generator<Uint8Array> {
  let memory = NOTHING;
  /** The bits of an incomplete quantum, and how many characters it has. */
  let bits = 0;
  let characters = 0;
  for (const piece of chunks(octets)) {
    // Room for the piece and for the quantum begun before it.
    const most = Math.ceil(piece.length / 4) * 3 + 3;
    if (!scratch || memory.length < most) memory = new Uint8Array(most);
    const out = memory;
    let used = 0;
    for (let i = 0; i < piece.length; i++) {
      if (characters === 0) {
        const quanta = decodeQuanta(piece, i, out, used);
        i += 4 * quanta;
        used += 3 * quanta;
      }
      if (i === piece.length) break;
      const value = BASE64[piece[i]!]!;
      if (value < 0) continue;
      if (value < PADDING) {
        bits = bits << 6 | value;
        if (++characters < 4) continue;
        out[used++] = bits >> 16;
        out[used++] = bits >> 8;
        out[used++] = bits;
      } else {
        for (const octet of partial(bits, characters)) out[used++] = octet;
      }
      bits = characters = 0;
    }
    if (used > 0) yield out.subarray(0, used);
  }
  const last = partial(bits, characters);
  if (last.length > 0) yield last;
}

/**
 * Decodes whole quanta, which nearly all are: up to the first character that is no base64, such as a
 * line end. A function of its own: within a generator, the loop takes up to twice as long on V8.
 *
 * @returns how many
 */
function decodeQuanta(piece: Uint8Array, start: number, out: Uint8Array, at: number): number {
  let from = start;
  let to = at;
  for (const last = piece.length - 4; from <= last; from += 4, to += 3) {
    const a = BASE64[piece[from]!]!;
    const b = BASE64[piece[from + 1]!]!;
    const c = BASE64[piece[from + 2]!]!;
    const d = BASE64[piece[from + 3]!]!;
    if ((a | b | c | d) & -PADDING) break;
    out[to] = a << 2 | b >> 4;
    out[to + 1] = b << 4 | c >> 2;
    out[to + 2] = c << 6 | d;
  }
  return (from - start) >> 2;
}

/** Characters of base64 from `start` on, by fours, up to the first other octet. */
function charactersIn(piece: Uint8Array, start: number): number {
  let at = start;
  for (const last = piece.length - 4; at <= last; at += 4) {
    const four = BASE64[piece[at]!]! | BASE64[piece[at + 1]!]! | BASE64[piece[at + 2]!]! |
      BASE64[piece[at + 3]!]!;
    if (four & -PADDING) break;
  }
  return at - start;
}

/** The octets of a final quantum of fewer than four characters. */
function partial(bits: number, characters: number): Uint8Array {
  if (characters === 2) return Uint8Array.of(bits >> 4);
  if (characters === 3) return Uint8Array.of(bits >> 10, bits >> 2);
  return NOTHING;
}

/** How many octets {@link decodeBase64} would return. */
export function decodedLength(octets: Iterable<Uint8Array>): number {
  let length = 0;
  /** Characters since the last padding. */
  let stretch = 0;
  for (const piece of octets) {
    for (let i = 0; i < piece.length; i++) {
      const characters = charactersIn(piece, i);
      stretch += characters;
      i += characters;
      if (i === piece.length) break;
      const value = BASE64[piece[i]!]!;
      if (value < PADDING) {
        if (value >= 0) stretch++;
        continue;
      }
      length += Math.floor(stretch * 3 / 4);
      stretch = 0;
    }
  }
  return length + Math.floor(stretch * 3 / 4);
}

/** The value of each hexadecimal digit, -1 for other octets. Lower case is accepted (§6.7). */
const HEX = new Int8Array(256).fill(-1);
for (const digit of "0123456789abcdefABCDEF") HEX[digit.charCodeAt(0)] = parseInt(digit, 16);

/**
 * Decodes quoted-printable (RFC 2045 §6.7). Line ends become CRLF. White space before them is
 * dropped (rule 3). `=` before anything but two hexadecimal digits or a line end stays (the notes
 * after rule 5). `=` at the very end is a soft line break, whose line end belongs to the delimiter.
 */
export function decodeQuotedPrintable(content: LazyContent): LazyPiece[] {
  const made: LazyPiece[] = [];
  const add = (stretch: LazyContent, last: boolean) => {
    const length = decodeLines(inOne(stretch), last);
    if (length === 0) return;
    const write = (out: Uint8Array) => void decodeLines(inOne(stretch), last, out);
    made.push(new LazyPiece({ length, write }));
  };
  /** Pieces that wait for the rest of their line. */
  let held: Piece[] = [];
  let heldLength = 0;
  for (const piece of lazyChunks(content)) {
    const lines = source.read(piece).lastIndexOf(LF) + 1;
    const open = piece.length - lines + (lines === 0 ? heldLength : 0);
    held.push(piece);
    heldLength += piece.length;
    if (lines === 0 && open <= MAX_HELD) continue;
    const cut = open <= MAX_HELD ? heldLength - open : quotedPrintableCut(inOne(held));
    const all = new ContentView(held);
    add(all.slice(0, cut), false);
    held = [...all.slice(cut, all.length)];
    heldLength -= cut;
  }
  if (heldLength > 0) add(held, true);
  return made;
}

/** The octets in one piece, which is valid until the next call. */
function inOne(stretch: LazyContent): Uint8Array {
  const [only] = stretch;
  if (stretch.length === 1) return source.read(only!);
  let length = 0;
  for (const piece of stretch) length += piece.length;
  if (joined.length < length) joined = new Uint8Array(length);
  let used = 0;
  for (const piece of stretch) {
    joined.set(source.read(piece), used);
    used += piece.length;
  }
  return joined.subarray(0, length);
}

/** Reads the content to be decoded. */
const source = new PieceReader();
/** Memory in which its pieces are joined. */
let joined = new Uint8Array(0);

/** Octets of an incomplete line that are held back at most; valid lines have 76 (§6.7 rule 5). */
const MAX_HELD = 64 * 1024;

/** Where to cut a chunk so that each part can be decoded alone: mostly after a line. */
function quotedPrintableCut(chunk: Uint8Array): number {
  const lines = chunk.lastIndexOf(LF) + 1;
  if (chunk.length - lines <= MAX_HELD) return lines;
  let cut = chunk.length;
  while (cut > lines && isWhiteOrCr(chunk[cut - 1]!)) cut--;
  // Not inside of an escape.
  for (let back = 1; back <= 2 && cut - back >= lines; back++) {
    if (chunk[cut - back] === EQUALS) return cut - back;
  }
  // A whole chunk of white space is not padding that a mail system added.
  return cut > lines ? cut : chunk.length;
}

function isWhiteOrCr(octet: number): boolean {
  return octet === SPACE || octet === TAB || octet === CR;
}

/**
 * @param last whether nothing follows: white space at the end is dropped then
 * @param out where the octets are written; left out to only count them
 * @returns how many octets they are
 */
function decodeLines(octets: Uint8Array, last: boolean, out = scratchFor(octets)): number {
  const { length } = octets;
  let used = 0;
  for (let i = 0; i < length;) {
    const octet = octets[i]!;
    if (octet === EQUALS) {
      const high = i + 2 < length ? HEX[octets[i + 1]!]! : -1;
      const low = i + 2 < length ? HEX[octets[i + 2]!]! : -1;
      if (high >= 0 && low >= 0) {
        out[used++] = high << 4 | low;
        i += 3;
        continue;
      }
      const end = blanksEnd(octets, i + 1);
      if (octets[end] === LF) {
        i = end + 1;
      } else if (end === length && last) {
        i = length;
      } else {
        out[used++] = octet;
        i++;
      }
    } else if (octet === LF) {
      out[used++] = CR;
      out[used++] = LF;
      i++;
    } else if (isWhiteOrCr(octet)) {
      const end = blanksEnd(octets, i);
      if (octets[end] !== LF && !(end === length && last)) {
        for (let at = i; at < end; at++) out[used++] = octets[at] === CR ? SPACE : octets[at]!;
      }
      i = end;
    } else {
      out[used++] = octet;
      i++;
    }
  }
  return used;
}

/** Takes the octets that are only counted. */
let scratch = new Uint8Array(0);

/** LF becomes CRLF, every other octet one octet at most. */
function scratchFor({ length }: Uint8Array): Uint8Array {
  if (scratch.length < 2 * length) scratch = new Uint8Array(2 * length);
  return scratch;
}

/** Index after the white space, including CRs, that begins at `start`. */
function blanksEnd(octets: Uint8Array, start: number): number {
  let end = start;
  while (end < octets.length && isWhiteOrCr(octets[end]!)) end++;
  return end;
}

/** The same octets in pieces of a bounded size; lazy pieces already are. */
function* lazyChunks(content: LazyContent): Generator<Piece> {
  for (const piece of content) {
    if (piece instanceof LazyPiece) yield piece;
    else yield* chunks([piece]);
  }
}

/** The same octets in pieces of a bounded size. */
export function* chunks(octets: Iterable<Uint8Array>): Generator<Uint8Array> {
  for (const piece of octets) {
    for (let at = 0; at < piece.length; at += CHUNK) {
      yield at === 0 && piece.length <= CHUNK ? piece : piece.subarray(at, at + CHUNK);
    }
  }
}
