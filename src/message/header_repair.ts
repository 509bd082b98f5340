// Repairs a header so that every program reads it in the same way (RFC 5322 §2.1.1, §2.2, §4).

import { Buffer } from "node:buffer";
import type { Content } from "../smtp/content.ts";
import { applyEdits } from "./edits.ts";
import { asBuffer, CR, CRLF, LF, SPACE } from "../octets.ts";
import { boundariesOf } from "./boundary.ts";
import { refolded } from "./folding.ts";
import { colonOf, HEADER_LOOK, isBlank, isWhite, MAX_LINE } from "./header.ts";
import { parseParameterized } from "./parameters.ts";

/** The result for a message whose header is not regular. */
export type Repair =
  | { readonly type: "repaired"; readonly message: Content }
  /** A line is not a field, and it is unclear whether the header goes on after it. */
  | { readonly type: "broken"; readonly line: string }
  /** All lines end in CR alone, which no mail reader takes for a line end. */
  | { readonly type: "crOnly" }
  /** The header is over the limit. */
  | {
    readonly type: "tooLong";
    /** Octets that the header has at least. */
    readonly octets: number;
  };

/** Lines of an mbox file (RFC 4155), and their escaped form. */
const MBOX_LINE = /^>?From /;
/** `From ann@example.com Mon Nov 23 20:27:56 2026` */
const MBOX_DATE = /\d\d:\d\d.* \d{4}\s*$/;
/** Fields that prove that the header continues: they are about people, or how to read the body. */
const TELLING =
  /^(?:to|cc|bcc|from|sender|reply-to|resent-[a-z-]+|mime-version|content-[a-z-]+)[ \t\0\r]*:/gim;
/** A line that was meant as a field, but has a space or non-ASCII letters in its name. */
const NEARLY_FIELD = /^[^:]{1,76}:/;
const ENCODING = /^content-transfer-encoding$/i;
const BASE64_LINE = /^[A-Za-z0-9+/=]+$/;

/**
 * The message with a regular header, for any line ends; the body does not change. Where programs
 * disagree, an attacker could have Exchange read a field that is text to the relay. So mbox lines,
 * a byte order mark and white space before a colon are removed; so are continuation lines of white
 * space alone (some programs take them for the empty line). NULs and stray CRs become spaces, long
 * lines are folded, and an empty line separates header and text.
 *
 * A line that is not a field ends the header, and the rest is text. But if fields follow that prove
 * that the header continues, or if the body is base64 and the line is not, the line cannot be text:
 * it is left out if it has a colon or is before base64; any other line breaks the header. The
 * header never continues after a delimiter line of its own boundary.
 *
 * @param limit octets of the repaired header at most; fields beyond them are not read
 */
export function repairHeader(message: Content, limit = HEADER_LOOK): Repair {
  if (hasCrsOnly(message)) return { type: "crOnly" };
  const raw = firstOctets(message);
  const text = raw.toString("latin1");
  const empty = /^\r*\n|\n\r*\n/.exec(text);
  // The first of the two line ends belongs to the last field.
  const end = empty === null ? raw.length : empty.index === 0 ? 0 : empty.index + 1;
  const textStart = empty === null ? raw.length : empty.index + empty[0].length;

  const fields: Buffer[][] = [];
  const delimiters = new OwnDelimiters(text);
  /** Index of the text. */
  let bodyStart = empty === null ? undefined : textStart;
  let lastTelling: { readonly before: number; readonly at: number } | undefined;
  let encoding: readonly Buffer[] = [];
  /** Whether the body is base64, once that was read: no line continues a field after an omitted one. */
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
      // Without a field before it, there is no header that it could break.
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

/** The delimiter lines (RFC 2046 §5.1.1) of the multipart that the header declares. */
class OwnDelimiters {
  readonly #text: string;
  /** How many fields were searched for a Content-Type, and how many were one. */
  #fields = 0;
  #types = 0;
  readonly #boundaries = new Set<string>();
  /** Index of the first delimiter line after the last Content-Type. */
  #first: number | undefined;

  /** @param text the message's beginning, one character an octet */
  constructor(text: string) {
    this.#text = text;
  }

  /** Index of the first delimiter line from `at` on, if there is one. */
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

/** Content-Type fields that are read; valid messages have one. */
const MAX_TYPES = 3;
const END_OF_DELIMITER = /(?:--)?[ \t\r\0]*(?:\n|$)/y;

/** Whether lines end in CR, and there is no LF except perhaps at the very end. */
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
 * Index of the first field, after a byte order mark or mbox lines. A text that begins with "From
 * here …" is not an mbox line: a field must follow, or the line must have a date.
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

/** The line without its line end, as `withCrlf` reads it; a NUL becomes a space too. */
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
