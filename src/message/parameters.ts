// Parses field bodies of the form `value; name=value; …` (RFC 2045 §5.1, RFC 2183 §2), with the
// extended and continued parameters of RFC 2231.
//
// Many programs write file names without quotes or escapes. So a character that no reader could
// take for syntax is a part of the value: a parenthesis that does not follow white space, a quote
// that is not closed.

import { charsetOf, decoded, guessed } from "./charsets.ts";
import { decodedWords } from "./encoded_words.ts";

/** One value of a parameter. */
export interface Value {
  /** One character an octet, percent-encoding undone. */
  readonly octets: string;
  /** The label that an extended value begins with (RFC 2231 §4); undefined for others. */
  readonly charset: string | undefined;
}

/** All values that a field gives for one parameter. */
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
  /** The text before the first semicolon, in lower case, without comments. */
  readonly value: string;
  /** By names in lower case, without asterisks. */
  readonly given: ReadonlyMap<string, Given>;
}

/** Parameters that are read; no message needs more. */
const MAX_PARAMETERS = 200;
/** Octets of a value that are decoded as text. */
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
 * The possible values of a parameter, best first: the extended value, the segments if none is
 * missing, plain values, and incomplete segments.
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

/** The most likely value of a parameter, one character an octet; undefined if it is not given. */
export function parameter(parameterized: Parameterized, name: string): string | undefined {
  return valuesOf(parameterized, name)[0]?.octets;
}

/** Whether a plain `name=` is given more than once with different values. */
export function isAmbiguous({ given }: Parameterized, name: string): boolean {
  return (given.get(name)?.plain.length ?? 0) > 1;
}

/**
 * The values of a parameter, decoded: from RFC 2231, RFC 2047, or raw octets.
 *
 * @param nearby charset labels for values without one of their own
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

/** RFC 2231 §4: `charset'language'percent-encoded`. Some programs omit the prefix, or one quote. */
function extendedValue(text: string): Value {
  const [, charset = "", language, rest = ""] =
    /^([\w.:+-]*)'(?:([A-Za-z0-9-]*)')?(.*)$/s.exec(text) ?? [];
  const isLabel = language === "" || charsetOf(charset) !== undefined ||
    /^us-ascii$/i.test(charset);
  return isLabel
    ? { octets: percentDecoded(rest), charset }
    : { octets: percentDecoded(text), charset: undefined };
}

/** Whether it is an extended value whose program has left out the asterisk. */
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

/** What may follow a quoted string: the end, a comment, or a parameter without a semicolon. */
const AFTER_QUOTE = /[ \t]*(?:$|;|[ \t]\(|[ \t][\w*-]{1,40}[ \t]?=)/y;
const WITHOUT_SEMICOLON = /[\w*-]{1,40}[ \t]?=/y;

/** The end of a piece of the body, or the beginning of a comment. */
const SEMICOLON = /[;(]/g;
const EQUALS_OR_SEMICOLON = /[=;(]/g;

/** Parses a field body in one pass. */
class Reader {
  readonly #text: string;
  #at = 0;
  /** Whether there may be comments. Once one does not end, no other parenthesis begins one. */
  #comments: boolean;
  /** Whether a quote from here on may clearly end a value. Once one does not, none is searched for. */
  #quotesEnd = true;

  constructor(body: string) {
    // Unfolding (RFC 5322 §2.2.3) removes the line end and keeps the white space after it. A stray
    // CR becomes a space, as in the message (line_endings.ts).
    this.#text = body.replace(
      /\r+\n?|\n/g,
      (end) => end.endsWith("\n") ? "" : " ".repeat(end.length),
    );
    this.#comments = this.#text.includes("(");
  }

  /** The text before the parameters. */
  value(): string {
    const text = this.#upTo(SEMICOLON);
    this.#at++;
    // Without a comment that does not end.
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

  /** The text up to one of these characters or the end, with a space for each comment. */
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

  /** The value after the equals sign. Moves to after the semicolon. */
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

  /** Everything up to the semicolon, without comments at the end. In the middle they are text. */
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
    /** Possible closing quotes: the first within the name, and the first after a backslash. */
    let inner = -1;
    let escaped = -1;
    for (let at = start; at < text.length && end < 0; at++) {
      const escapes = this.#escapes(at);
      if (escapes) at++;
      if (text[at] !== '"' || (escapes && escaped >= 0)) continue;
      AFTER_QUOTE.lastIndex = at + 1;
      const isLast = AFTER_QUOTE.test(text);
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
   * Whether a backslash here begins a quoted pair. It does so only before a quote or a backslash:
   * programs that write a Windows path as a file name do not double it. After an octet that is not
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

  /** Index after the comment (RFC 5322 §3.2.2) that begins here; -1 if none does, or it does not end. */
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

/** The body with its comments (RFC 5322 §3.2.2) replaced by spaces; the length stays. */
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
