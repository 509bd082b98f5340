// Lines that would be one dot, the end of a message's data (RFC 5321 §4.1.1.4), if it were not for
// NULs in them. A server that doubles the dots sees none at the line's beginning; the next one may drop
// NULs before it looks for the end, and take what follows for commands.

import { CR, DOT, LF, SPACE } from "../octets.ts";
import { type LazyContent, LazyPiece, octetsIn, octetsOf, type Piece } from "./lazy_piece.ts";
import { chunks } from "./transfer_encoding.ts";

const NUL = 0;

/** What a line has had so far. */
interface Line {
  nuls: boolean;
  dots: number;
  plain: boolean;
}

/**
 * The content with spaces for the NULs in such lines. To be asked for where there are NULs: mostly
 * there are none, for no mail may have them (RFC 5322 §2.2), and what could be encoded is.
 *
 * @param content with CRLF line ends
 */
export function withoutHiddenDots(content: LazyContent): LazyContent {
  /** Of each piece, whether there is such a line in it. */
  const found: boolean[] = [];
  /** Of each piece, whether the line that goes on after its end is such a line; undefined for none. */
  const goesOn: (boolean | undefined)[] = [];
  let line = begun();
  /** The piece in which the line began. */
  let first = 0;
  let index = 0;
  const settle = () => {
    const hidden = isHidden(line);
    for (let at = first; at < index; at++) goesOn[at] = hidden;
    for (let at = first; hidden && at <= index; at++) found[at] = true;
  };
  const pieces = content.flatMap((piece): Piece[] =>
    piece instanceof LazyPiece ? [piece] : [...chunks([piece])]
  );
  for (const octets of octetsIn(pieces, true)) {
    for (let i = 0; i < octets.length; i++) {
      if (look(octets[i]!, line)) continue;
      settle();
      line = begun();
      // Where the line feed is the piece's last octet, the next line begins in the next one.
      first = i + 1 < octets.length ? index : index + 1;
    }
    index++;
  }
  index--;
  settle();
  return pieces.map((piece, at): Piece =>
    found[at] === true
      ? new LazyPiece({
        length: piece.length,
        write: (out) => write(piece, goesOn[at - 1], goesOn[at], out),
      })
      : piece
  );
}

/**
 * @param before whether the line that began before the piece is such a line; undefined for none
 * @param after the same of the line that goes on after the piece
 */
function write(
  piece: Piece,
  before: boolean | undefined,
  after: boolean | undefined,
  out: Uint8Array,
): void {
  const octets = octetsOf(piece);
  out.set(octets);
  let start = 0;
  let known = before;
  let line = begun();
  for (let i = 0; i < octets.length; i++) {
    if (look(octets[i]!, line)) continue;
    if (known ?? isHidden(line)) spaces(out, start, i);
    known = undefined;
    line = begun();
    start = i + 1;
  }
  if (known ?? after ?? isHidden(line)) spaces(out, start, octets.length);
}

function begun(): Line {
  return { nuls: false, dots: 0, plain: true };
}

/** @returns false at the line's end */
function look(octet: number, line: Line): boolean {
  if (octet === LF) return false;
  if (octet === NUL) line.nuls = true;
  else if (octet === DOT) line.dots++;
  else if (octet !== CR) line.plain = false;
  return true;
}

function isHidden({ nuls, dots, plain }: Line): boolean {
  return nuls && plain && dots === 1;
}

function spaces(out: Uint8Array, start: number, end: number): void {
  for (let i = start; i < end; i++) if (out[i] === NUL) out[i] = SPACE;
}
