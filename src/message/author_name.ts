// The display name in a From or Sender field: as readers show it, and in a valid form.

import { Buffer } from "node:buffer";
import type { Token } from "./author_tokens.ts";
import { decodedWords, isProper, isUtf8 } from "./author_words.ts";
import { phrase, repairedPhrase } from "./phrase.ts";

/** Octets of a name that is rewritten; a longer one is left out. */
const MAX_NAME = 1000;

/** Whether it has an at sign, or a character that is shown or normalized as one. */
export function hasAtSign(text: string): boolean {
  return /[@\ufe6b\uff20]/.test(text);
}

/**
 * The name as readers show it: without quotes, and with all encoded words decoded, even where they
 * are not allowed. Undefined if one of them cannot be decoded.
 *
 * @param decoded whether its encoded words have been decoded already
 */
export function shownName(tokens: readonly Token[], decoded: boolean): string | undefined {
  const plain = plainText(tokens);
  return (decoded ? utf8(plain) : decodedWords(plain))?.trim();
}

/**
 * The name as a phrase (RFC 5322 §3.2.5), one character an octet. "" if it has an at sign, because
 * a reader might find an address in it, or if nothing is left.
 *
 * @param decoded whether its characters are the field's after decoding: it is encoded again then
 * @param strict whether an encoded word that cannot be decoded here may be an address
 */
export function nameOf(tokens: readonly Token[], decoded: boolean, strict: boolean): string {
  const words = trimmed(tokens);
  let length = 0;
  for (const { text } of words) length += text.length;
  if (length > MAX_NAME) return "";
  const shown = shownName(words, decoded);
  if (shown === undefined ? strict || plainText(words).includes("@") : hasAtSign(shown)) return "";
  const plain = plainText(words);
  if (!/[A-Za-z0-9\x80-\xff]/.test(plain) || SCHEME.test(plain)) return "";
  if (decoded) return phrase(utf8(plain));
  // Escapes are for octets, which may be halves of characters here.
  if (/["\\]/.test(plain) && !isUtf8(plain)) return "";
  return repairedPhrase(words.map(legal).join(""));
}

/** The scheme before an address in a URL; some address books write it too. */
const SCHEME = /^[[\s]*(?:mailto|smtp)[\]\s:]*$/i;

/** Without the separators at its ends. */
function trimmed(tokens: readonly Token[]): Token[] {
  let words = tokens.filter(({ type }) => type !== "bracket");
  words = words.filter(({ type }, i) => type !== "blank" || words[i + 1]?.type !== "separator");
  const isSign = ({ type, text }: Token) =>
    type === "blank" || type === "separator" || text === ":";
  const first = words.findIndex((token) => !isSign(token));
  words = first < 0 ? [] : words.slice(first, words.findLastIndex((token) => !isSign(token)) + 1);
  const [only] = words;
  // Before RFC 822, a name was given as `ann@x.test (Ann)`.
  if (words.length === 1 && only?.type === "comment") {
    return [{ type: "text", text: unescaped(only.text.slice(1, -1)) }];
  }
  return words;
}

function plainText(tokens: readonly Token[]): string {
  return tokens.map(({ type, text }) => {
    return type === "quoted" ? unescaped(text.slice(1, -1)) : text;
  }).join("");
}

function unescaped(text: string): string {
  return text.replace(/\\(.)/gs, "$1");
}

/** A token as repairedPhrase() expects it; encoded words get a form that a phrase may hold. */
function legal({ type, text }: Token): string {
  if (type !== "encoded") return text;
  if (isProper(text)) return ` ${text} `;
  const decoded = decodedWords(text);
  return decoded === undefined ? " " : ` ${phrase(decoded)} `;
}

function utf8(text: string): string {
  return Buffer.from(text, "latin1").toString("utf8");
}
