// Makes a header one that every program reads alike (RFC 5322 §2.1.1, §2.2, §4).

import { Buffer } from "node:buffer";
import type { Content } from "../smtp/content.ts";
import { applyEdits } from "./edits.ts";
import { colonOf, type HeaderSection, isBlank, MAX_LINE } from "./header.ts";

const LF = 10;
const SPACE = 32;
const TAB = 9;
const CRLF = Buffer.from("\r\n");

/**
 * The message with a regular header. What programs disagree about is what a stranger could use to
 * have a field read by Exchange that was text to us: so mbox lines and white space before a colon
 * go, continuation lines of white space alone go (some take them for the empty line), long lines
 * are folded at their white space, and an empty line stands between header and text.
 */
export function repairHeader(message: Content, header: HeaderSection): Content {
  const pieces: Uint8Array[] = [];
  for (const { start, colon, end } of header.fields) {
    let nameEnd = colon;
    while (isWhite(header.octets[nameEnd - 1]!)) nameEnd--;
    const field = Buffer.concat([
      header.octets.subarray(start, nameEnd),
      header.octets.subarray(colon, end),
    ]);
    pieces.push(refolded(withoutBlankLines(field)), CRLF);
  }
  if (header.ending !== "emptyLine") pieces.push(CRLF);
  const edit = { start: 0, end: header.octets.length, octets: Buffer.concat(pieces) };
  return applyEdits(message, [edit]);
}

function withoutBlankLines(field: Buffer): Buffer {
  const kept: Uint8Array[] = [];
  for (const line of linesOf(field)) {
    if (kept.length > 0 && isBlank(line, 0, line.length)) continue;
    if (kept.length > 0) kept.push(CRLF);
    kept.push(line);
  }
  return Buffer.concat(kept);
}

/** The field, or body of one, with lines over 998 octets folded where they have white space. */
export function refolded(field: Buffer): Buffer {
  if (field.length <= MAX_LINE) return field;
  const out: Uint8Array[] = [];
  for (const line of linesOf(field)) {
    let rest = line;
    for (let at = foldingPoint(rest); at > 0; at = foldingPoint(rest)) {
      out.push(rest.subarray(0, at), CRLF);
      rest = rest.subarray(at);
    }
    out.push(rest, CRLF);
  }
  out.pop();
  return Buffer.concat(out);
}

/** Index of the white space before which to fold (§2.2.3), or -1: no line becomes blank by it. */
function foldingPoint(line: Buffer): number {
  if (line.length <= MAX_LINE) return -1;
  let last = line.length - 1;
  while (last > 0 && isWhite(line[last]!)) last--;
  const folds = (i: number) => isWhite(line[i]!) && !isWhite(line[i - 1]!);
  for (let i = Math.min(MAX_LINE, last); i > 0; i--) if (folds(i)) return i;
  // Too late, but the lines behind are within the limit then.
  for (let i = MAX_LINE; i < last; i++) if (folds(i)) return i;
  return -1;
}

function* linesOf(field: Buffer): Generator<Buffer> {
  let position = 0;
  for (;;) {
    const lineFeed = field.indexOf(LF, position);
    if (lineFeed < 0) break;
    yield field.subarray(position, lineFeed - 1);
    position = lineFeed + 1;
  }
  yield field.subarray(position);
}

function isWhite(octet: number): boolean {
  return octet === SPACE || octet === TAB;
}

/** Fields that say that a header goes on: their text is addresses, or how to read the body. */
const TELLING =
  /^(?:(?:to|cc|bcc|from|resent-bcc)[ \t]*:.*@|(?:mime-version|content-[a-z-]+)[ \t]*:)/i;
/** Octets of what follows a broken line that are looked at. */
const LOOK_AHEAD = 64 * 1024;

/**
 * The line that breaks a header into two, or undefined where only text follows. A program that
 * skips such a line reads the fields behind it, one that ends the header there shows them as text:
 * the Bcc field, too. Where no such field follows, it is a text that lacks its empty line.
 */
export function breakingLine(message: Content, header: HeaderSection): string | undefined {
  if (header.ending !== "noField") return undefined;
  const rest = lookAhead(message, header.octets.length);
  let broken: string | undefined;
  for (const line of linesOf(rest)) {
    if (line.length === 0) return undefined;
    if (broken === undefined) {
      broken = line.toString("latin1", 0, 80);
      continue;
    }
    const colon = colonOf(line, 0, line.length);
    if (colon > 0 && TELLING.test(line.toString("latin1", 0, MAX_LINE))) return broken;
  }
  return undefined;
}

function lookAhead(message: Content, start: number): Buffer {
  const pieces: Uint8Array[] = [];
  let blockStart = 0;
  for (const block of message) {
    if (blockStart > start + LOOK_AHEAD) break;
    const from = Math.max(0, start - blockStart);
    if (from < block.length) pieces.push(block.subarray(from, start + LOOK_AHEAD - blockStart));
    blockStart += block.length;
  }
  return Buffer.concat(pieces);
}
