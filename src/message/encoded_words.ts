// Decodes encoded words (RFC 2047) in all forms that programs write: in file names, where they are
// not allowed (§5), split within a character, and joined without white space.

import { Buffer } from "node:buffer";
import { charsetOf, decoded, guessed } from "./charsets.ts";

/** Charset, encoding, text. RFC 2231 §5 allows a language after the charset. */
const ENCODED_WORD = /=\?([^?*\s]+)(?:\*[^?\s]*)?\?([bq])\?([^?]*)\?=/gi;

interface Word {
  readonly charset: string;
  /** `B` or `Q`, in any case. */
  readonly encoding: string;
  readonly encoded: string;
}

/**
 * Decodes all encoded words in a text. The charset of the rest is guessed.
 *
 * @param text one character an octet
 * @param nearby charset labels for text without one of its own
 */
export function decodedWords(text: string, nearby: readonly string[] = []): string {
  let result = "";
  let at = 0;
  let words: Word[] = [];
  const close = () => {
    result += textOf(words, nearby);
    words = [];
  };
  for (
    const { index, 0: whole, 1: charset = "", 2: encoding = "", 3: encoded = "" } of matches(text)
  ) {
    const between = text.slice(at, index);
    // White space between two encoded words does not count (§6.2).
    if (words.length === 0 || /\S/.test(between)) {
      close();
      result += guessed(between, nearby);
    }
    words.push({ charset, encoding, encoded });
    at = index + whole.length;
  }
  close();
  return result + guessed(text.slice(at), nearby);
}

function matches(text: string): Iterable<RegExpExecArray> {
  return text.includes("=?") ? text.matchAll(ENCODED_WORD) : [];
}

/** Decodes adjacent words: those of one charset belong together. */
function textOf(words: readonly Word[], nearby: readonly string[]): string {
  let text = "";
  for (let i = 0; i < words.length;) {
    const charset = charsetOf(words[i]!.charset);
    let end = i + 1;
    while (end < words.length && charsetOf(words[end]!.charset) === charset) end++;
    text += textOfCharset(words.slice(i, end), charset, nearby);
    i = end;
  }
  return text;
}

/** Some programs split a character between words, although §5 forbids it. */
function textOfCharset(
  words: readonly Word[],
  charset: string | undefined,
  nearby: readonly string[],
): string {
  const octets = words.map(octetsOf);
  if (charset === undefined) return guessed(octets.join(""), nearby);
  const together = decoded(octets.join(""), charset);
  if (together !== undefined) return together;
  // Some programs encode the whole text and split its base64 anywhere.
  const base64 = words.map(({ encoded }) => encoded).join("");
  const cut = words.every(isBase64) && !/=[^=]/.test(base64)
    ? decoded(fromBase64(base64), charset)
    : undefined;
  if (cut !== undefined) return cut;
  return octets.map((word) => decoded(word, charset) ?? guessed(word, nearby)).join("");
}

/** The octets that an encoded word encodes (§4), one character each. */
export function octetsOf({ encoding, encoded }: Pick<Word, "encoding" | "encoded">): string {
  if (isBase64({ encoding })) return fromBase64(encoded);
  return encoded.replaceAll("_", " ").replace(
    /=([0-9A-Fa-f]{2})/g,
    (_, hex: string) => String.fromCharCode(parseInt(hex, 16)),
  );
}

function isBase64({ encoding }: Pick<Word, "encoding">): boolean {
  return encoding.toLowerCase() === "b";
}

function fromBase64(text: string): string {
  return Buffer.from(text, "base64").toString("latin1");
}
