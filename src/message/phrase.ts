// Writes a display name for a header field (RFC 5322 §3.2.5, RFC 2047).

import { Buffer } from "node:buffer";

/** Octets of UTF-8 in one encoded word: 60 of base64, and 75 in all (RFC 2047 §2). */
const MAX_ENCODED = 45;

/**
 * The name as words, a quoted string, or encoded words, folded if there are several of these.
 * Control characters become spaces. "" for a name of white space only.
 */
export function phrase(name: string): string {
  const text = name.replace(/[\p{Cc}\u2028\u2029\s]+/gu, " ").trim().toWellFormed();
  if (text === "") return "";
  // deno-lint-ignore no-control-regex -- all of ASCII
  const ascii = /^[\x00-\x7f]*$/.test(text);
  // A reader would decode text that looks like an encoded word.
  if (!ascii || text.includes("=?")) return encodedWords(text);
  if (/^[\w!#$%&'*+/=?^`{|}~-]+(?: [\w!#$%&'*+/=?^`{|}~-]+)*$/.test(text)) return text;
  return `"${text.replace(/["\\]/g, "\\$&")}"`;
}

const ENCODED_WORD = /^=\?[^?\s]+\?[bq]\?[^?\s]*\?=$/i;
/** Octets outside of ASCII have always been used here; RFC 6532 reads them as UTF-8. */
const ATOM = /^[\w!#$%&'*+/=?^`{|}~\x80-\xff-]+$/;

/**
 * Makes a valid display name out of the text in its position: quotes everything but words, and
 * keeps encoded words.
 *
 * @param text one character an octet, like the result
 */
export function repairedPhrase(text: string): string {
  // deno-lint-ignore no-control-regex -- all of ASCII's control characters
  const words = withoutQuotes(text.replace(/[\x00-\x20\x7f]+/g, " ").trim());
  if (words === "") return "";
  const all = words.split(" ").filter((word) => word !== "");
  if (all.every((word) => ATOM.test(word))) return all.join(" ");
  const pieces: string[] = [];
  let plain: string[] = [];
  const close = () => {
    if (plain.length > 0) pieces.push(`"${plain.join(" ").replace(/["\\]/g, "\\$&")}"`);
    plain = [];
  };
  for (const word of all) {
    if (ENCODED_WORD.test(word)) {
      close();
      pieces.push(word);
    } else {
      plain.push(word);
    }
  }
  close();
  return pieces.join(" ");
}

/**
 * Removes the quotes and escapes of quoted strings (RFC 5322 §3.2.4). A string that does not end
 * stays, with all that follows. Not by a pattern, which would try each quote again and take hours.
 */
function withoutQuotes(text: string): string {
  let result = "";
  let from = 0;
  for (let open = text.indexOf('"'); open >= 0; open = text.indexOf('"', from)) {
    let end = open + 1;
    while (end < text.length && text[end] !== '"') end += text[end] === "\\" ? 2 : 1;
    if (end >= text.length) break;
    result += text.slice(from, open) + text.slice(open + 1, end).replace(/\\(.)/g, "$1");
    from = end + 1;
  }
  return result + text.slice(from);
}

/** Any text as encoded words of UTF-8, folded where there are several of them. */
export function encodedWords(text: string): string {
  const words: string[] = [];
  let piece = "";
  let length = 0;
  // A character is never split between two words (RFC 2047 §5).
  for (const character of text) {
    const octets = Buffer.byteLength(character, "utf8");
    if (length + octets > MAX_ENCODED) {
      words.push(piece);
      piece = "";
      length = 0;
    }
    piece += character;
    length += octets;
  }
  words.push(piece);
  return words.map((word) => `=?utf-8?B?${Buffer.from(word, "utf8").toString("base64")}?=`)
    .join("\r\n ");
}
