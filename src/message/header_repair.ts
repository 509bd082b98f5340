// Makes a header one that every program reads alike (RFC 5322 §2.1.1, §2.2, §4).

import { Buffer } from "node:buffer";
import type { Content } from "../smtp/content.ts";
import { applyEdits } from "./edits.ts";
import { asBuffer, CR, CRLF, LF, SPACE } from "../octets.ts";
import { boundariesOf } from "./boundary.ts";
import { refolded } from "./folding.ts";
import { colonOf, HEADER_LOOK, isBlank, isWhite, MAX_LINE } from "./header.ts";
import { parseParameterized } from "./parameters.ts";

/** What becomes of a message whose header is not regular. */
export type Repair =
  | { readonly type: "repaired"; readonly message: Content }
  /** A line is not a field, and it is unclear whether the header goes on after it. */
  | { readonly type: "broken"; readonly line: string }
  /** No line ends but CRs, which no reader of mail takes for any. */
  | { readonly type: "crOnly" }
  /** More header than is allowed, or than is looked at. */
  | {
    readonly type: "tooLong";
    /** Octets that it has at least. */
    readonly octets: number;
  };

/** Lines of a mailbox file (RFC 4155), and what some programs make of them. */
const MBOX_LINE = /^>?From /;
/** `From ann@example.com Mon Nov 23 20:27:56 2026` */
const MBOX_DATE = /\d\d:\d\d.* \d{4}\s*$/;
/** Fields that say that a header goes on: they are about people, or about how to read the body. */
const TELLING =
  /^(?:to|cc|bcc|from|sender|reply-to|resent-[a-z-]+|mime-version|content-[a-z-]+)[ \t\0\r]*:/gim;
/** A line that was meant as a field: its name has a space in it, or letters that are not ASCII. */
const NEARLY_FIELD = /^[^:]{1,76}:/;
const ENCODING = /^content-transfer-encoding$/i;
const BASE64_LINE = /^[A-Za-z0-9+/=]+$/;

/**
 * The message with a regular header, whatever its line ends; after the header nothing changes. What
 * programs disagree about is what a stranger could use to have a field read by Exchange that was text
 * to us: so mbox lines, a byte order mark and white space before a colon go, continuation lines of
 * white space alone go (some take them for the empty line), NULs and stray CRs become spaces, long
 * lines are folded at their white space, and an empty line stands between header and text.
 *
 * A line that is no field ends the header, and the rest is text. But where fields follow that tell
 * that the header goes on, or where the body is base64 and the line is not, it is no text: a line
 * with a colon, or before base64, is left out, any other breaks the header. Beyond a delimiter line of
 * its own boundary no header goes on.
 *
 * @param limit octets of the repaired header at most: no more fields are read than fit
 */
export function repairHeader(message: Content, limit = HEADER_LOOK): Repair {
  if (hasCrsOnly(message)) return { type: "crOnly" };
  const raw = firstOctets(message);
  const text = raw.toString("latin1");
  const empty = /^\r*\n|\n\r*\n/.exec(text);
  // The first of the two line ends is the last field's.
  const end = empty === null ? raw.length : empty.index === 0 ? 0 : empty.index + 1;
  const behind = empty === null ? raw.length : empty.index + empty[0].length;

  const fields: Buffer[][] = [];
  const delimiters = new OwnDelimiters(text);
  /** Where the text begins. */
  let bodyStart = empty === null ? undefined : behind;
  let lastTelling: { readonly before: number; readonly at: number } | undefined;
  let encoding: readonly Buffer[] = [];
  /** What `encoding` says, once that is asked: no line is added to a field after one left out. */
  let base64: boolean | undefined;
  let leftOut = false;
  /** Octets of the fields so far. */
  let kept = 0;
  for (let at = firstField(raw, end); at < end;) {
    const lineFeed = raw.indexOf(LF, at);
    const next = lineFeed < 0 || lineFeed >= end ? end : lineFeed + 1;
    const line = cleaned(raw.subarray(at, next));
    const colon = colonOf(line, 0, line.length);
    const field = fields.at(-1);
    if (field !== undefined && isBlank(line, 0, 1)) {
      if (!leftOut && !isBlank(line, 0, line.length)) {
        field.push(line);
        kept += line.length + CRLF.length;
      }
    } else if (colon > 0) {
      let nameEnd = colon;
      while (isWhite(line[nameEnd - 1]!)) nameEnd--;
      const lines = [Buffer.concat([line.subarray(0, nameEnd), line.subarray(colon)])];
      fields.push(lines);
      kept += lines[0]!.length + CRLF.length;
      if (ENCODING.test(line.toString("latin1", 0, nameEnd))) {
        encoding = lines;
        base64 = undefined;
      }
      leftOut = false;
    } else {
      const words = line.toString("latin1");
      const before = Math.min(end, delimiters.next(fields, at) ?? end);
      // Where no field stands before it, there is no header that it could break.
      if (field !== undefined && lastTelling?.before !== before) {
        lastTelling = { before, at: lastIndex(TELLING, text.slice(0, before)) };
      }
      if (lastTelling !== undefined && lastTelling.at > at) {
        if (!NEARLY_FIELD.test(words)) return { type: "broken", line: words.slice(0, 80) };
      } else if (
        before < end || empty === null || !(base64 ??= isBase64(encoding)) ||
        BASE64_LINE.test(words)
      ) {
        bodyStart = at;
        break;
      }
      leftOut = true;
    }
    if (kept > limit) return { type: "tooLong", octets: kept };
    at = next;
  }
  if (bodyStart === undefined && raw.length >= HEADER_LOOK) {
    return { type: "tooLong", octets: raw.length };
  }

  const pieces = fields.flatMap((lines) => [refolded(joined(lines)), CRLF]);
  pieces.push(CRLF);
  const octets = Buffer.concat(pieces);
  const edit = { start: 0, end: bodyStart ?? raw.length, octets };
  return { type: "repaired", message: applyEdits(message, [edit]) };
}

/** The delimiter lines (RFC 2046 §5.1.1) of the multipart that a header says its message is. */
class OwnDelimiters {
  readonly #text: string;
  /** How many fields have been looked at for a Content-Type, and how many were one. */
  #fields = 0;
  #types = 0;
  readonly #boundaries = new Set<string>();
  /** Where the first delimiter line after the last Content-Type begins. */
  #first: number | undefined;

  /** @param text the message's beginning, one character an octet */
  constructor(text: string) {
    this.#text = text;
  }

  /** Where the first delimiter line at `at` or after it begins, if there is one. */
  next(fields: readonly Buffer[][], at: number): number | undefined {
    let isNew = false;
    for (; this.#fields < fields.length; this.#fields++) {
      const field = joined(fields[this.#fields]!).toString("latin1");
      const [name] = /^content-type:/i.exec(field) ?? [];
      if (name === undefined || ++this.#types > MAX_TYPES) continue;
      for (const boundary of boundariesOf(parseParameterized(field.slice(name.length)))) {
        this.#boundaries.add(boundary);
        isNew = true;
      }
    }
    if (isNew) this.#first = this.#find(at);
    return this.#first;
  }

  #find(from: number): number | undefined {
    let first: number | undefined;
    for (const boundary of this.#boundaries) {
      const needle = `--${boundary}`;
      for (let at = this.#text.indexOf(needle, from); at >= 0;) {
        END_OF_DELIMITER.lastIndex = at + needle.length;
        if ((at === 0 || this.#text[at - 1] === "\n") && END_OF_DELIMITER.test(this.#text)) {
          first = Math.min(first ?? at, at);
          break;
        }
        at = this.#text.indexOf(needle, at + 1);
      }
    }
    return first;
  }
}

/** Fields Content-Type that are looked at; there may be one. */
const MAX_TYPES = 3;
const END_OF_DELIMITER = /(?:--)?[ \t\r\0]*(?:\n|$)/y;

/** Whether CRs stand where lines end, and LF nowhere but perhaps at the very end. */
function hasCrsOnly(message: Content): boolean {
  let found = false;
  let heldCr = false;
  let ending = false;
  for (const block of message) {
    const octets = asBuffer(block);
    const lineFeed = ending ? 0 : octets.indexOf(LF);
    const before = octets.toString("latin1", 0, lineFeed < 0 ? octets.length : lineFeed);
    if (before !== "") {
      found ||= (heldCr && before[0] !== "\r") || /\r[^\r]/.test(before);
      heldCr = before.endsWith("\r");
    }
    if (lineFeed < 0) continue;
    ending = true;
    if (octets.subarray(lineFeed).some((octet) => octet !== LF && octet !== CR)) return false;
  }
  return found;
}

function firstOctets(message: Content): Buffer {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for (const block of message) {
    if (length >= HEADER_LOOK) break;
    const piece = block.subarray(0, HEADER_LOOK - length);
    pieces.push(piece);
    length += piece.length;
  }
  return Buffer.concat(pieces);
}

/**
 * Where the first field is to stand, after a byte order mark or mbox lines. A text that begins with
 * "From here …" has none of these: a field has to follow, or a date to stand in the line.
 */
function firstField(raw: Buffer, end: number): number {
  if (raw.indexOf(BYTE_ORDER_MARK) === 0) {
    return isField(cleaned(raw.subarray(BYTE_ORDER_MARK.length, end))) ? BYTE_ORDER_MARK.length : 0;
  }
  let position = 0;
  let last = "";
  for (;;) {
    const lineFeed = raw.indexOf(LF, position);
    const next = lineFeed < 0 || lineFeed >= end ? end : lineFeed + 1;
    const line = cleaned(raw.subarray(position, next));
    const words = line.toString("latin1", 0, MAX_LINE);
    if (position >= end || !MBOX_LINE.test(words) || isField(line)) {
      return isField(line) || MBOX_DATE.test(last) ? position : 0;
    }
    last = words;
    position = next;
  }
}

const BYTE_ORDER_MARK = Buffer.from("\ufeff");

function isField(line: Buffer): boolean {
  return colonOf(line, 0, line.length) > 0;
}

/** The line without its line end, as `withCrlf` reads it; a NUL, too, becomes a space. */
function cleaned(line: Buffer): Buffer {
  let end = line.length;
  if (line[end - 1] === LF) end--;
  while (end > 0 && line[end - 1] === CR) end--;
  const text = line.subarray(0, end);
  if (!text.includes(CR) && !text.includes(0)) return text;
  return Buffer.from(text.map((octet) => octet === CR || octet === 0 ? SPACE : octet));
}

function isBase64(encoding: readonly Buffer[]): boolean {
  return /^[^:]*:\s*base64\b/i.test(encoding.join("\r\n"));
}

function lastIndex(pattern: RegExp, text: string): number {
  let last = -1;
  for (const match of text.matchAll(pattern)) last = match.index;
  return last;
}

function joined(lines: readonly Buffer[]): Buffer {
  if (lines.length === 1) return lines[0]!;
  return Buffer.concat(lines.flatMap((line, i) => i === 0 ? [line] : [CRLF, line]));
}
