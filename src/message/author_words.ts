// Decodes encoded words (RFC 2047) in an author's display name, strictly: a word that readers may
// decode in different ways is not decoded. encoded_words.ts decodes leniently, for file names.

import { Buffer } from "node:buffer";
import { charsetOf } from "./charsets.ts";

/**
 * One encoded word. Its text may hold what RFC 2047 §5 forbids in a display name (spaces, commas,
 * brackets): programs write such words, and readers decode them.
 */
const ENCODED_WORD = /=\?([^?\s"<>@]{1,60})\?([bq])\?([^?]*)\?=/iy;
/** One that readers of a display name take for a word: it has no specials (§5 (3)). */
const PROPER = /^=\?[\w.+-]+(?:\*[\w-]*)?\?[bq]\?[\w!#$%&'*+/=^`{|}~.-]*\?=$/i;

/** Index after the encoded word that begins at `start`, or -1 if none does. */
export function encodedWordEnd(text: string, start: number): number {
  ENCODED_WORD.lastIndex = start;
  return ENCODED_WORD.test(text) ? ENCODED_WORD.lastIndex : -1;
}

/** Whether a display name may hold this encoded word. */
export function isProper(word: string): boolean {
  return PROPER.test(word);
}

/**
 * The text with its encoded words decoded; white space between two of them does not count (§6.2).
 *
 * @param text one character an octet
 * @returns undefined if a word has an unknown charset, is not valid in its charset, or does not
 *   end: some readers decode such words
 */
export function decodedWords(text: string): string | undefined {
  let result = "";
  let from = 0;
  /** Octets of words of one charset; a character may be split between words. */
  let octets: Buffer[] = [];
  let charset = "";
  const close = () => {
    if (octets.length === 0) return true;
    const decoded = decodedOctets(Buffer.concat(octets), charset);
    octets = [];
    if (decoded === undefined) return false;
    result += decoded;
    return true;
  };
  for (let at = text.indexOf("=?"); at >= 0; at = text.indexOf("=?", at)) {
    const end = encodedWordEnd(text, at);
    if (end < 0) return undefined;
    const [, label = "", encoding = "", content = ""] = match(text, at);
    const between = text.slice(from, at);
    const joins = octets.length > 0 && between.trim() === "";
    const [name = ""] = label.toLowerCase().split("*", 1);
    if (!joins || name !== charset) {
      if (!close()) return undefined;
      if (!joins) result += utf8(between);
      charset = name;
    }
    octets.push(
      encoding.toLowerCase() === "b" ? Buffer.from(content, "base64") : unquoted(content),
    );
    from = at = end;
  }
  return close() ? result + utf8(text.slice(from)) : undefined;
}

function match(text: string, start: number): readonly string[] {
  ENCODED_WORD.lastIndex = start;
  return ENCODED_WORD.exec(text) ?? [];
}

/** The Q encoding (§4.2). */
function unquoted(content: string): Buffer {
  const text = content.replaceAll("_", " ").replace(
    /=([0-9A-Fa-f]{2})/g,
    (_, hex: string) => String.fromCharCode(parseInt(hex, 16)),
  );
  return Buffer.from(text, "latin1");
}

function utf8(text: string): string {
  return Buffer.from(text, "latin1").toString("utf8");
}

/** The octets as text, or undefined if the charset is unknown or they are not valid in it. */
export function decodedOctets(octets: Uint8Array, charset: string): string | undefined {
  const label = charsetOf(charset) ?? charset;
  try {
    return new TextDecoder(label, { fatal: true }).decode(octets);
  } catch {
    return undefined;
  }
}

/** Whether octets, one character each, are UTF-8. */
export function isUtf8(text: string): boolean {
  const octets = Buffer.from(text, "latin1");
  return octets.equals(Buffer.from(octets.toString("utf8"), "utf8"));
}
