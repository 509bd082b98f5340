// Folds header fields with long lines (RFC 5322 §2.2.3, §3.2.2): before white space, and where
// white space can be added without changing the field's meaning.

import { Buffer } from "node:buffer";
import { EQUALS, LF } from "../octets.ts";
import { charsetOf, decoded } from "./charsets.ts";
import { decodedWords, octetsOf } from "./encoded_words.ts";
import { isWhite, MAX_LINE } from "./header.ts";
import { encodedWords } from "./phrase.ts";

const CRLF = "\r\n";

/** Characters after and before which a line may end, outside of brackets, quotes and comments. */
interface Syntax {
  readonly after: string;
  readonly before: string;
}

const ADDRESSES: Syntax = { after: ",;", before: "<" };
const IDENTIFIERS: Syntax = { after: ",", before: "<" };
const LIST: Syntax = { after: ",", before: "" };
const PARAMETERS: Syntax = { after: ";", before: "" };

/** By name in lower case. In other fields, white space may be added only between encoded words. */
const SYNTAX: readonly (readonly [name: RegExp, syntax: Syntax])[] = [
  [/^(?:resent-)?(?:from|sender|to|cc|bcc|reply-to)$/, ADDRESSES],
  [/^x-original-(?:to|cc)$|^(?:errors|disposition-notification|return-receipt)-to$/, ADDRESSES],
  [/^mail-(?:followup|reply)-to$|^(?:delivered|apparently)-to$/, ADDRESSES],
  [/^(?:references|in-reply-to|(?:resent-)?message-id)$/, IDENTIFIERS],
  [/^(?:list-.*|keywords)$/, LIST],
  [
    /^(?:content-(?:type|disposition)|received|dkim-signature|arc-.*|authentication-results)$/,
    PARAMETERS,
  ],
];
const NO_SYNTAX: Syntax = { after: "", before: "" };

/** Unstructured fields (RFC 5322 §2.2.1), whose whole text may become encoded words. */
const TEXT = /^(?:subject|comments|content-description|thread-topic)$/;

/** An encoded word longer than this cannot stand in a line of its own. */
const LONGEST_WORD = MAX_LINE - 1;
const ENCODED_WORD = /=\?([^?\s]{1,80})\?([bq])\?([^?\s]*)\?=/giy;

/**
 * The field with its lines over 998 octets folded. A line that cannot be folded stays as it is,
 * with two exceptions: a long encoded word becomes several, and an unstructured text becomes
 * encoded words.
 */
export function refolded(field: Buffer): Buffer {
  if (field.length <= MAX_LINE || !hasLongLine(field)) return field;
  const text = field.toString("latin1");
  const colon = text.indexOf(":");
  const name = text.slice(0, colon).toLowerCase();
  const folded = fold(withShortWords(text), SYNTAX.find(([names]) => names.test(name))?.[1]);
  const octets = Buffer.from(folded, "latin1");
  if (!TEXT.test(name) || !hasLongLine(octets)) return octets;
  const words = decodedWords(text.slice(colon + 1).replace(/\r\n/g, "").trim());
  return Buffer.from(`${text.slice(0, colon)}: ${encodedWords(words)}`, "latin1");
}

function hasLongLine(field: Buffer): boolean {
  for (let start = 0; field.length - start > MAX_LINE;) {
    const end = field.indexOf(LF, start);
    if (end < 0 || end - 1 - start > MAX_LINE) return true;
    start = end + 1;
  }
  return false;
}

/** A fold before the character at `at`, which is white space or gets a space before it. */
interface FoldPoint {
  readonly at: number;
  readonly isWhite: boolean;
}

/** @param text a field, one character an octet */
function fold(text: string, syntax = NO_SYNTAX): string {
  const points = foldPointsIn(text, syntax);
  let result = "";
  let next = 0;
  for (let start = 0; start < text.length;) {
    const lineEnd = text.indexOf(CRLF, start);
    const end = lineEnd < 0 ? text.length : lineEnd;
    /** Where the output line begins in the text, and how many spaces were added to it. */
    let from = start;
    let added = 0;
    let point: FoldPoint | undefined;
    const foldBefore = (limit: number) => {
      if (point === undefined || limit - from + added <= MAX_LINE) return;
      result += text.slice(from, point.at) + (point.isWhite ? CRLF : `${CRLF} `);
      from = point.at;
      added = point.isWhite ? 0 : 1;
      point = undefined;
    };
    for (; next < points.length && points[next]!.at < end; next++) {
      foldBefore(points[next]!.at);
      point = points[next]!;
    }
    foldBefore(end);
    start = lineEnd < 0 ? text.length : end + CRLF.length;
    result += text.slice(from, start);
  }
  return result;
}

/** All possible folds in order, in one pass. */
function foldPointsIn(text: string, { after, before }: Syntax): FoldPoint[] {
  const points: FoldPoint[] = [];
  /** The end of a line without its trailing white space: no line may become blank. */
  let last = -1;
  let lineEnd = -1;
  let quoted = false;
  let depth = 0;
  let bracket = "";
  const colon = text.indexOf(":");
  const add = (at: number) => {
    if (at < last && !isWhite(text.charCodeAt(at)) && !isWhite(text.charCodeAt(at - 1))) {
      points.push({ at, isWhite: false });
    }
  };
  for (let i = 0; i < text.length; i++) {
    if (i > lineEnd) {
      const next = text.indexOf(CRLF, i);
      lineEnd = next < 0 ? text.length : next + 1;
      last = next < 0 ? text.length : next;
      while (last > i && isWhite(text.charCodeAt(last - 1))) last--;
    }
    const code = text.charCodeAt(i);
    if (isWhite(code)) {
      const isPoint = i > 0 && i < last && text[i - 1] !== "\n" && !isWhite(text.charCodeAt(i - 1));
      if (isPoint) points.push({ at: i, isWhite: true });
      continue;
    }
    if (i <= colon) continue;
    if (code === EQUALS && text[i + 1] === "?") {
      ENCODED_WORD.lastIndex = i;
      const length = ENCODED_WORD.exec(text)?.[0].length;
      if (length !== undefined) {
        i += length - 1;
        if (text.startsWith("=?", i + 1)) add(i + 1);
        continue;
      }
    }
    const c = text[i]!;
    if (c === "\\") i++;
    else if (quoted) quoted = c !== '"';
    else if (c === "(") depth++;
    else if (depth > 0) depth -= c === ")" ? 1 : 0;
    else if (c === '"') quoted = true;
    else {
      if (bracket === "" && before.includes(c)) add(i);
      if (c === "<") bracket = ">";
      else if (c === "[") bracket ||= "]";
      else if (c === bracket) bracket = "";
      if (bracket === "" && after.includes(c)) add(i + 1);
    }
  }
  return points;
}

/** The field with each encoded word that is too long for a line split into several (RFC 2047 §2). */
function withShortWords(text: string): string {
  if (!text.includes("=?")) return text;
  let result = "";
  let from = 0;
  for (let at = text.indexOf("=?"); at >= 0; at = text.indexOf("=?", at)) {
    ENCODED_WORD.lastIndex = at;
    const match = ENCODED_WORD.exec(text);
    if (match === null) {
      at += 2;
      continue;
    }
    const [whole, charset = "", encoding = "", encoded = ""] = match;
    if (whole.length > LONGEST_WORD) {
      result += text.slice(from, at) + shortWords(charset, encoding, encoded);
      from = at + whole.length;
    }
    at += whole.length;
  }
  return result + text.slice(from);
}

function shortWords(label: string, encoding: string, encoded: string): string {
  const octets = octetsOf({ encoding, encoded });
  const charset = charsetOf(label.replace(/\*.*/s, ""));
  const text = charset === undefined ? undefined : decoded(octets, charset);
  if (text !== undefined) return encodedWords(text);
  const words: string[] = [];
  for (let at = 0; at < octets.length; at += 45) {
    const piece = Buffer.from(octets.slice(at, at + 45), "latin1").toString("base64");
    words.push(`=?${label}?B?${piece}?=`);
  }
  return words.join("\r\n ");
}
