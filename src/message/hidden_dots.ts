// Lines that would be one dot, the end of a message's data (RFC 5321 §4.1.1.4), if it were not for
// NULs in them. A server that doubles the dots sees none at the line's beginning; the next one may drop
// NULs before it looks for the end, and take what follows for commands.

import type { Content } from "../smtp/content.ts";
import { hasNul } from "./inspect.ts";

const NUL = 0;
const LF = 10;
const CR = 13;
const SPACE = 32;
const DOT = 46;

/**
 * The content with spaces for the NULs in such lines. Mostly there are no NULs left when this is asked:
 * no mail may have them (RFC 5322 §2.2), and what could be encoded is. Then it is handed back as it is.
 *
 * @param content with CRLF line ends
 */
export function withoutHiddenDots(content: Content): Content {
  if (!hasNul(content)) return content;
  const pieces = [...content];
  const copied = new Set<number>();
  /** Where the line began, and what it has had so far. */
  let first = { piece: 0, offset: 0 };
  let nuls = false;
  let dots = 0;
  let plain = true;
  const mend = (last: number, end: number) => {
    for (let index = first.piece; index <= last; index++) {
      if (!copied.has(index)) {
        pieces[index] = new Uint8Array(pieces[index]!);
        copied.add(index);
      }
      const piece = pieces[index]!;
      const to = index === last ? end : piece.length;
      for (let i = index === first.piece ? first.offset : 0; i < to; i++) {
        if (piece[i] === NUL) piece[i] = SPACE;
      }
    }
  };
  for (let index = 0; index < pieces.length; index++) {
    const piece = pieces[index]!;
    for (let i = 0; i < piece.length; i++) {
      const octet = piece[i]!;
      if (octet === LF) {
        if (nuls && plain && dots === 1) mend(index, i);
        first = { piece: index, offset: i + 1 };
        nuls = false;
        dots = 0;
        plain = true;
      } else if (octet === NUL) nuls = true;
      else if (octet === DOT) dots++;
      else if (octet !== CR) plain = false;
    }
  }
  if (nuls && plain && dots === 1) mend(pieces.length - 1, pieces.at(-1)!.length);
  return pieces;
}
