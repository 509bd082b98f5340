// Field bodies of the form `value; name=value; …` (RFC 2045 §5.1, RFC 2183 §2), with the extended
// and continued parameters of RFC 2231: the one reader of them for all.
//
// Many programs write names of files as they are. So what no reader could take for syntax is a part of
// the value: a parenthesis that does not stand after white space, a quote that nothing ends.

import { charsetOf, decoded, guessed } from "./charsets.ts";
import { decodedWords } from "./encoded_words.ts";

/** What is given for a parameter. */
export interface Value {
  /** One character an octet, percent-encoding undone. */
  readonly octets: string;
  /** The label that an extended value begins with (RFC 2231 §4); undefined for others. */
  readonly charset: string | undefined;
}

/** All that a field says of one parameter. */
interface Given {
  /** Different values of `name=`, in their order. */
  readonly plain: string[];
  /** `name*=` */
  extended: string | undefined;
  /** `name*0=`, `name*1*=`, …; those with a second asterisk are percent-encoded. */
  readonly segments: Map<number, Segment>;
}

interface Segment {
  readonly text: string;
  readonly encoded: boolean;
}

export interface Parameterized {
  /** What stands before the first semicolon, in lower case, without comments. */
  readonly value: string;
  /** By names in lower case, without asterisks. */
  readonly given: ReadonlyMap<string, Given>;
}

/** Parameters that are looked at; no message needs more. */
const MAX_PARAMETERS = 200;
/** Octets of one that is read as text. */
const MAX_TEXT = 8 * 1024;

/** @param body a field body with its folding, one character an octet */
export function parseParameterized(body: string): Parameterized {
  const given = new Map<string, Given>();
  const reader = new Reader(body);
  const value = reader.value();
  for (let count = 0; count < MAX_PARAMETERS; count++) {
    const parameter = reader.parameter();
    if (parameter === undefined) break;
    const { name, text } = parameter;
    // RFC 2231 §3, §4
    const [, base = "", section, encoded] = /^([^*]+)(?:\*(\d{1,4}))?(\*)?$/.exec(name) ?? [];
    if (base === "") continue;
    let known = given.get(base);
    if (known === undefined) {
      known = { plain: [], extended: undefined, segments: new Map() };
      given.set(base, known);
    }
    const number = Number(section);
    if (section !== undefined) {
      if (known.segments.has(number)) continue;
      known.segments.set(number, { text, encoded: encoded !== undefined });
    } else if (encoded !== undefined) {
      known.extended ??= text;
    } else if (!known.plain.includes(text)) {
      known.plain.push(text);
    }
  }
  return { value: value.trim().toLowerCase(), given };
}

/**
 * What a parameter may be, what says most of it first: the extended value, the segments where none is
 * missing, plain values, and what there is of segments.
 */
export function valuesOf({ given }: Parameterized, name: string): Value[] {
  const found = given.get(name);
  if (found === undefined) return [];
  const { plain, extended, segments } = found;
  const numbers = [...segments.keys()].sort((a, b) => a - b);
  const all = numbers.map((number) => segments.get(number)!);
  // Some programs count from 1.
  const first = numbers[0] === 1 ? 1 : 0;
  const gap = numbers.findIndex((number, i) => number !== first + i);
  return [
    ...(extended === undefined ? [] : [extendedValue(extended)]),
    ...(gap < 0 && all.length > 0 ? [joined(all)] : []),
    ...plain.map((text) => looksExtended(text) ? extendedValue(text) : asItIs(text)),
    ...(gap < 0 ? [] : [joined(all)]),
    ...(gap < 1 ? [] : [joined(all.slice(0, gap))]),
  ];
}

/** What a parameter most likely is, one character an octet; undefined where it is not given. */
export function parameter(parameterized: Parameterized, name: string): string | undefined {
  return valuesOf(parameterized, name)[0]?.octets;
}

/** Whether a plain `name=` stands there more than once with different values. */
export function isAmbiguous({ given }: Parameterized, name: string): boolean {
  return (given.get(name)?.plain.length ?? 0) > 1;
}

/**
 * The values of a parameter as texts for people: RFC 2231, RFC 2047, or raw octets.
 *
 * @param nearby charset labels for what has none of its own
 */
export function textsOf(
  parameterized: Parameterized,
  name: string,
  nearby: readonly string[],
): string[] {
  return valuesOf(parameterized, name).map(({ octets, charset }) => {
    const text = octets.slice(0, MAX_TEXT);
    if (charset === undefined) return decodedWords(text, nearby);
    const known = charsetOf(charset);
    return (known === undefined ? undefined : decoded(text, known)) ?? guessed(text, nearby);
  });
}

function asItIs(octets: string): Value {
  return { octets, charset: undefined };
}

/** RFC 2231 §4: `charset'language'percent-encoded`; some programs leave out what is before, or a quote. */
function extendedValue(text: string): Value {
  const [, charset = "", language, rest = ""] =
    /^([\w.:+-]*)'(?:([A-Za-z0-9-]*)')?(.*)$/s.exec(text) ?? [];
  const isLabel = language === "" || charsetOf(charset) !== undefined ||
    /^us-ascii$/i.test(charset);
  return isLabel
    ? { octets: percentDecoded(rest), charset }
    : { octets: percentDecoded(text), charset: undefined };
}

/** Whether a program has left out the asterisk that says so. */
function looksExtended(text: string): boolean {
  return /^(?:utf-8|iso-8859-\d+|windows-\d+|us-ascii)'[A-Za-z-]*'\S*%[0-9A-Fa-f]{2}/i.test(text);
}

function joined(segments: readonly Segment[]): Value {
  const [first, ...others] = segments;
  const { octets: beginning, charset } = first!.encoded
    ? extendedValue(first!.text)
    : asItIs(first!.text);
  let octets = beginning;
  for (const { text, encoded } of others) octets += encoded ? percentDecoded(text) : text;
  return charset === undefined && looksExtended(octets)
    ? extendedValue(octets)
    : { octets, charset };
}

function percentDecoded(text: string): string {
  return text.replace(
    /%([0-9A-Fa-f]{2})/g,
    (_, hex: string) => String.fromCharCode(parseInt(hex, 16)),
  );
}

/** What may stand after a quoted string: nothing more, a comment, or a parameter without semicolon. */
const BEHIND_QUOTE = /[ \t]*(?:$|;|[ \t]\(|[ \t][\w*-]{1,40}[ \t]?=)/y;
const WITHOUT_SEMICOLON = /[\w*-]{1,40}[ \t]?=/y;

/** What ends a piece of the body, or a comment that may begin there. */
const SEMICOLON = /[;(]/g;
const EQUALS_OR_SEMICOLON = /[=;(]/g;

/** Takes a field body apart, in one go from its beginning to its end. */
class Reader {
  readonly #text: string;
  #at = 0;
  /** Whether there may be comments: once one does not end, no parenthesis begins another. */
  #comments: boolean;
  /** Whether a quote from here on may end a value beyond doubt: once there is none, none is looked for. */
  #quotesEnd = true;

  constructor(body: string) {
    // Of folding (RFC 5322 §2.2.3) the white space after it counts, the line end does not. A CR that
    // is none becomes a space, as it does in the message (line_endings.ts).
    this.#text = body.replace(
      /\r+\n?|\n/g,
      (end) => end.endsWith("\n") ? "" : " ".repeat(end.length),
    );
    this.#comments = this.#text.includes("(");
  }

  /** What stands before the parameters. */
  value(): string {
    const text = this.#upTo(SEMICOLON);
    this.#at++;
    // What is open to the end.
    const [open = ""] = /^[^(]*/.exec(text) ?? [];
    return open;
  }

  /** The next parameter; undefined after the last one. */
  parameter(): { name: string; text: string } | undefined {
    while (this.#at < this.#text.length) {
      const name = this.#upTo(EQUALS_OR_SEMICOLON).trim().toLowerCase();
      const separator = this.#text[this.#at++];
      if (separator === "=") return { name, text: this.#content() };
    }
    return undefined;
  }

  /** The text, with white space for comments, up to one of these characters or the end. */
  #upTo(ends: RegExp): string {
    const text = this.#text;
    let found = "";
    let from = this.#at;
    for (let at = from;;) {
      ends.lastIndex = at;
      at = ends.exec(text)?.index ?? text.length;
      const end = this.#commentEnd(at);
      if (end >= 0) {
        found += `${text.slice(from, at)} `;
        from = end;
      } else if (text[at] !== "(") {
        this.#at = at;
        return found + text.slice(from, at);
      }
      at = end < 0 ? at + 1 : end;
    }
  }

  /** What stands after the equals sign; goes to after the semicolon. */
  #content(): string {
    const text = this.#text;
    this.#skipWhite();
    while (isWhite(text[this.#at - 1])) {
      const end = this.#commentEnd(this.#at);
      if (end < 0 || !isWhite(text[end])) break;
      this.#at = end;
      this.#skipWhite();
    }
    return text[this.#at] === '"' ? this.#quoted() : this.#unquoted();
  }

  /** Everything up to the semicolon, but comments at the end: what has text after it is none. */
  #unquoted(): string {
    const text = this.#text;
    const start = this.#at;
    if (!this.#comments) {
      const value = this.#upTo(SEMICOLON);
      this.#at++;
      return value.trimEnd();
    }
    let end = start;
    let at = start;
    while (at < text.length && text[at] !== ";") {
      const comment = isWhite(text[at - 1]) ? this.#commentEnd(at) : -1;
      const isComment = comment >= 0 && (isWhite(text[comment]) || isEnd(text[comment]));
      at = comment < 0 ? at + 1 : comment;
      if (!isComment && !isWhite(text[at - 1])) end = at;
    }
    this.#at = at + 1;
    return text.slice(start, end);
  }

  #quoted(): string {
    const text = this.#text;
    const start = this.#at + 1;
    let end = -1;
    /** Quotes that might be the last: the first within the name, and the first after a backslash. */
    let inner = -1;
    let escaped = -1;
    for (let at = start; at < text.length && end < 0; at++) {
      const escapes = this.#escapes(at);
      if (escapes) at++;
      if (text[at] !== '"' || (escapes && escaped >= 0)) continue;
      BEHIND_QUOTE.lastIndex = at + 1;
      const isLast = BEHIND_QUOTE.test(text);
      if (isLast && escapes) escaped = at;
      else if (isLast) end = at;
      else if (!escapes && inner < 0) inner = at;
      if (inner >= 0 && !this.#quotesEnd) break;
    }
    this.#quotesEnd &&= end >= 0;
    if (end < 0) end = inner >= 0 ? inner : escaped >= 0 ? escaped : text.length;
    let content = "";
    for (let at = start; at < end; at++) {
      content += text[at + 1 < end && this.#escapes(at) ? ++at : at];
    }
    this.#at = end + 1;
    this.#skipWhite();
    WITHOUT_SEMICOLON.lastIndex = this.#at;
    if (!WITHOUT_SEMICOLON.test(text)) {
      this.#upTo(SEMICOLON);
      this.#at++;
    }
    return content;
  }

  /**
   * Whether a backslash here is one of a quoted pair. It goes only before a quote or a backslash:
   * programs that write a Windows path as a file name do not double it. After an octet that is no
   * UTF-8 it is half a character of Shift_JIS, GBK or Big5.
   */
  #escapes(at: number): boolean {
    const text = this.#text;
    if (text[at] !== "\\" || (text[at + 1] !== '"' && text[at + 1] !== "\\")) return false;
    if (at === 0 || text.charCodeAt(at - 1) < 0x81) return true;
    return UTF_8_END.test(text.slice(Math.max(0, at - 4), at));
  }

  #skipWhite(): void {
    while (isWhite(this.#text[this.#at])) this.#at++;
  }

  /** After the comment (RFC 5322 §3.2.2) that begins here; -1 where none does, or it does not end. */
  #commentEnd(start: number): number {
    const text = this.#text;
    if (text[start] !== "(" || !this.#comments) return -1;
    let depth = 0;
    for (let at = start; at < text.length; at++) {
      const c = text[at];
      if (c === "\\") at++;
      else if (c === "(") depth++;
      else if (c === ")" && --depth === 0) return at + 1;
    }
    this.#comments = false;
    return -1;
  }
}

const UTF_8_END = /(?:[\xc2-\xdf]|[\xe0-\xef][\x80-\xbf]|[\xf0-\xf4][\x80-\xbf]{2})[\x80-\xbf]$/;

function isWhite(c: string | undefined): boolean {
  return c === " " || c === "\t";
}

function isEnd(c: string | undefined): boolean {
  return c === undefined || c === ";";
}

/** The body with spaces in the place of comments (RFC 5322 §3.2.2), as long as before. */
export function withoutComments(body: string): string {
  if (!body.includes("(")) return body;
  let result = "";
  let depth = 0;
  let quoted = false;
  for (let i = 0; i < body.length; i++) {
    const c = body[i]!;
    const escaped = c === "\\" && (quoted || depth > 0) && i + 1 < body.length;
    if (quoted) {
      quoted = c !== '"';
    } else if (c === "(") {
      depth++;
    } else if (c === '"' && depth === 0) {
      quoted = true;
    }
    const kept = depth === 0;
    if (c === ")" && depth > 0) depth--;
    const length = escaped ? 2 : 1;
    result += kept ? body.slice(i, i + length) : " ".repeat(length);
    i += length - 1;
  }
  return result;
}
