// Reads the MIME fields of a part's header (RFC 2045 §3), and their positions. Line ends may be LF
// or CR CR LF too; header.ts reads the header of a whole message once they are repaired.

import { HEADER_LOOK } from "./header.ts";
import type { ContentView } from "./content_view.ts";

export interface Field {
  /** In lower case. */
  readonly name: string;
  /** The text after the colon, with its folding, one character an octet. */
  readonly body: string;
  /** Position where the field begins. */
  readonly start: number;
  /** Position where the body begins. */
  readonly bodyStart: number;
  /** Position after the last line end. */
  readonly end: number;
}

export interface PartHeader {
  readonly fields: readonly Field[];
  /** Position after the last field, before the empty line. */
  readonly end: number;
  /** Position after the empty line; without one, the end of the part. */
  readonly bodyStart: number;
  /** A line is not a field, or the header is too long: its meaning is unclear. */
  readonly malformed: boolean;
}

const FIRST_LOOK = 2 * 1024;

/** @param isMessage whether this is the message's own header, before which there may be mbox lines */
export function readPartHeader(
  pieces: ContentView,
  start: number,
  end: number,
  isMessage: boolean,
): PartHeader {
  const { text, length, bodyLength, malformed } = headerText(pieces, start, end);
  const bodyStart = start + bodyLength;
  if (malformed) return { fields: [], end: start + length, bodyStart, malformed };
  const fields: Field[] = [];
  let isField = true;
  for (let at = isMessage ? mboxLinesEnd(text) : 0; at < length;) {
    const next = fieldEnd(text, at, length);
    const match = /^([!-9;-~]+)[ \t\r]*:/.exec(text.slice(at, next));
    if (match === null) {
      isField = false;
    } else if (/^(?:content-|mime-version$)/i.test(match[1]!)) {
      const afterColon = at + match[0].length;
      fields.push({
        name: match[1]!.toLowerCase(),
        body: text.slice(afterColon, next),
        start: start + at,
        bodyStart: start + afterColon,
        end: start + next,
      });
    }
    at = next;
  }
  return { fields, end: start + length, bodyStart, malformed: !isField };
}

/** Index after the lines of an mbox file (RFC 4155) that some programs leave at the top. */
function mboxLinesEnd(text: string): number {
  return /^(?:>?From (?![ \t\r]*:)[^\n]*\n)*/.exec(text)![0].length;
}

/** Index after the field that begins at `at`: that of the next line that does not continue it. */
function fieldEnd(text: string, at: number, length: number): number {
  for (let next = text.indexOf("\n", at) + 1; next > 0; next = text.indexOf("\n", next) + 1) {
    if (next >= length) return length;
    const c = text[next];
    // A CR here is a stray one, because an empty line ends the header: it becomes a space.
    if (c !== " " && c !== "\t" && c !== "\r") return next;
  }
  return length;
}

/** The header's text, its length, and its length with the empty line. */
function headerText(
  pieces: ContentView,
  start: number,
  end: number,
): { text: string; length: number; bodyLength: number; malformed: boolean } {
  const available = end - start;
  for (let look = FIRST_LOOK;; look *= 4) {
    const text = pieces.text(start, start + Math.min(look, available));
    const match = /^\r*\n|\n\r*\n/.exec(text);
    if (match !== null) {
      const length = match.index === 0 ? 0 : match.index + 1;
      return { text, length, bodyLength: match.index + match[0].length, malformed: false };
    }
    if (text.length === available) {
      return { text, length: available, bodyLength: available, malformed: false };
    }
    if (look > HEADER_LOOK) {
      return { text, length: text.length, bodyLength: text.length, malformed: true };
    }
  }
}
