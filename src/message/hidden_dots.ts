// Replaces NULs in lines that consist of one dot and NULs. Without the NULs, such a line ends a
// message's data (RFC 5321 §4.1.1.4). A server that doubles leading dots may not see this one; the
// next server may drop the NULs, find the end of the message, and take the following lines for
// commands.

import { CR, DOT, LF, SPACE } from "../octets.ts";
import { type LazyContent, LazyPiece, octetsIn, octetsOf, type Piece } from "./lazy_piece.ts";
import { chunks } from "./transfer_encoding.ts";

const NUL = 0;

/** The octets of a line so far. */
interface Line {
  nuls: boolean;
  dots: number;
  plain: boolean;
}

/**
 * The content with spaces for the NULs in such lines. Call it only if there are NULs: most messages
 * have none, because RFC 5322 §2.2 forbids them, and parts that can be encoded are.
 *
 * @param content with CRLF line ends
 */
export function withoutHiddenDots(content: LazyContent): LazyContent {
  /** For each piece, whether it has such a line. */
  const found: boolean[] = [];
  /** For each piece, whether the line that continues after it is such a line; undefined for no line. */
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
      // If the LF is the piece's last octet, the next line begins in the next piece.
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
 * @param after the same for the line that continues after the piece
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
