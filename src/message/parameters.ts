// Field bodies of the form `value; name=value; …` (RFC 2045 §5.1, RFC 2183 §2), with the extended
// and continued parameters of RFC 2231 and names in encoded words (RFC 2047), which many write.

import { Buffer } from "node:buffer";

export interface Parameterized {
  /** What stands before the first semicolon, in lower case, without comments. */
  readonly value: string;
  /** By names in lower case; of several with one name the first. An octet is a character. */
  readonly parameters: ReadonlyMap<string, string>;
  /** Whether a name stands there more than once with different values: readers do not agree then. */
  readonly ambiguous: boolean;
}

/** Parameters that are looked at; nobody needs more. */
const MAX_PARAMETERS = 200;
/** Octets of one that is read as text. */
const MAX_TEXT = 8 * 1024;

/** @param body a field body with its folding, one character an octet */
export function parseParameterized(body: string): Parameterized {
  const [value = "", ...rest] = splitParameters(body);
  const parameters = new Map<string, string>();
  let ambiguous = false;
  for (const text of rest) {
    const equals = text.indexOf("=");
    if (equals < 0) continue;
    const name = text.slice(0, equals).trim().toLowerCase();
    const content = unquoted(text.slice(equals + 1).trim());
    const known = parameters.get(name);
    if (known === undefined) parameters.set(name, content);
    else if (known !== content) ambiguous = true;
  }
  return { value: value.trim().toLowerCase(), parameters, ambiguous };
}

/** The pieces between semicolons that are in no quoted string. */
function splitParameters(body: string): string[] {
  // Of folding (RFC 5322 §2.2.3) the white space behind it counts, the line end does not.
  const text = withoutComments(body).replace(/[\r\n]+/g, "");
  const found: string[] = [];
  let start = 0;
  for (const { index, 0: match } of text.matchAll(/;|"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?$)/gs)) {
    if (match !== ";") continue;
    found.push(text.slice(start, index));
    if (found.length > MAX_PARAMETERS) return found;
    start = index + 1;
  }
  found.push(text.slice(start));
  return found;
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

/**
 * The value of a quoted string. A backslash goes only before a quote or a backslash: programs that
 * write a Windows path as a file name do not double it.
 */
function unquoted(text: string): string {
  if (!text.startsWith('"')) return text;
  const end = /(?<!\\)(?:\\\\)*"/.exec(text.slice(1));
  const inner = end === null ? text.slice(1) : text.slice(1, 1 + end.index + end[0].length - 1);
  return inner.replace(/\\(["\\])/g, "$1");
}

/**
 * A parameter as text for people: RFC 2231 §3 and §4, RFC 2047, raw UTF-8 or, failing all of these,
 * windows-1252. Undefined where there is none.
 */
export function textParameter({ parameters }: Parameterized, name: string): string | undefined {
  const single = parameters.get(`${name}*`);
  if (single !== undefined) {
    const { charset, octets } = extendedValue(single);
    return decoded(octets, charset);
  }
  const continued = joinedSegments(parameters, name);
  if (continued !== undefined) return continued;
  const plain = parameters.get(name);
  return plain === undefined ? undefined : decodedWords(plain.slice(0, MAX_TEXT));
}

/** RFC 2231 §3: `name*0`, `name*1*`, …; those with a second asterisk are percent-encoded. */
function joinedSegments(
  parameters: ReadonlyMap<string, string>,
  name: string,
): string | undefined {
  let charset = "";
  let octets = "";
  let extended = false;
  for (let i = 0; i <= MAX_PARAMETERS; i++) {
    const encoded = parameters.get(`${name}*${i}*`);
    const segment = encoded ?? parameters.get(`${name}*${i}`);
    if (segment === undefined) {
      if (i === 0) return undefined;
      break;
    }
    if (encoded === undefined) {
      octets += segment;
    } else if (i === 0) {
      extended = true;
      ({ charset, octets } = extendedValue(encoded));
    } else {
      octets += percentDecoded(encoded);
    }
  }
  return extended ? decoded(octets, charset) : decodedWords(octets.slice(0, MAX_TEXT));
}

/** RFC 2231 §4: `charset'language'percent-encoded` */
function extendedValue(value: string): { charset: string; octets: string } {
  const [, charset = "", rest = value] = /^([^']*)'[^']*'(.*)$/s.exec(value) ?? [];
  return { charset, octets: percentDecoded(rest) };
}

function percentDecoded(text: string): string {
  return text.replace(
    /%([0-9A-Fa-f]{2})/g,
    (_, hex: string) => String.fromCharCode(parseInt(hex, 16)),
  );
}

const ENCODED_WORD = /=\?([^?*\s]+)(?:\*[^?\s]*)?\?([BbQq])\?([^?]*)\?=/g;

/** RFC 2047 §2: white space between two encoded words does not count (§6.2). */
function decodedWords(text: string): string {
  if (!text.includes("=?")) return decoded(text, "");
  const joined = text.replace(/(\?=)\s+(?==\?)/g, "$1");
  let result = "";
  let at = 0;
  for (const match of joined.matchAll(ENCODED_WORD)) {
    const [whole, charset = "", encoding = "", content = ""] = match;
    result += decoded(joined.slice(at, match.index), "");
    const octets = encoding.toLowerCase() === "b"
      ? Buffer.from(content, "base64").toString("latin1")
      : content.replaceAll("_", " ").replace(
        /=([0-9A-Fa-f]{2})/g,
        (_, hex: string) => String.fromCharCode(parseInt(hex, 16)),
      );
    result += decoded(octets, charset);
    at = match.index + whole.length;
  }
  return result + decoded(joined.slice(at), "");
}

/** @param octets a character each */
function decoded(octets: string, charset: string): string {
  // deno-lint-ignore no-control-regex -- all of ASCII
  if (/^[\x00-\x7f]*$/.test(octets) && !/^(?:utf-?(?:16|32|7)|iso-2022|hz)/i.test(charset)) {
    return octets;
  }
  const bytes = Buffer.from(octets, "latin1");
  for (const label of [charset || "utf-8", "utf-8"]) {
    try {
      return new TextDecoder(label, { fatal: true }).decode(bytes);
    } catch {
      // An unknown charset, or octets that are not in it: the next guess.
    }
  }
  return new TextDecoder("windows-1252").decode(bytes);
}
