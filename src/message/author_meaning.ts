// Interprets a From or Sender field that breaks the rules: the addresses in it, and the words
// beside each.

import { Buffer } from "node:buffer";
import { addressKey, isAddress, isAmbiguous, isNormalized } from "./addresses.ts";
import type { Author } from "./author.ts";
import { hasAtSign, nameOf, shownName } from "./author_name.ts";
import { type Token, tokenize } from "./author_tokens.ts";
import { decodedWords } from "./author_words.ts";

export type Meaning =
  /** One or more authors, beyond doubt. */
  | { readonly type: "repaired"; readonly authors: readonly Author[] }
  | { readonly type: "none"; readonly name: string }
  | { readonly type: "ambiguous" };

const AMBIGUOUS = { type: "ambiguous" } as const;

/** Octets of a possible address, with white space and a route. */
const MAX_ADDRESS = 512;

/**
 * Addresses in brackets take precedence over bare ones. The text beside an address is its name,
 * even with a comma in it (`Doe, John <j@x.test>`). An encoded word is read as an address only if
 * there is no other.
 *
 * @param octets UTF-8 if that is known, one character an octet
 * @param decoded whether they are the field's octets after decoding
 * @param strict see `AuthorsOptions`
 */
export function meaningOf(octets: string, decoded: boolean, strict: boolean): Meaning {
  const { tokens, balanced } = tokenize(octets, !decoded);
  const found: { readonly address: string; readonly name: Token[] }[] = [];
  let words: Token[] = [];
  // Whether other readers may find an address where this one finds words.
  let hidden = tokens.some(({ type, text }) => type === "encoded" && text.includes("@"));
  for (const piece of piecesOf(tokens)) {
    const address = addressIn(piece, decoded);
    if (typeof address === "object") return AMBIGUOUS;
    if (address === undefined) {
      const shown = shownName(piece, decoded);
      hidden ||= shown === undefined || hasAtSign(shown);
      for (const token of piece) words.push(token);
      continue;
    }
    const name = [...words, ...piece].filter((token) => !isAddressIn(token, address));
    found.push({ address, name });
    words = [];
  }
  const last = found.at(-1);
  if (last === undefined) return withoutAddress(tokens, octets, decoded, strict);
  if (hidden || (found.length > 1 && !balanced)) return AMBIGUOUS;
  for (const token of words) last.name.push(token);
  const authors = found.map(({ address, name }) => ({
    address,
    name: nameOf(name, decoded, strict),
  }));
  return { type: "repaired", authors };
}

function withoutAddress(
  tokens: readonly Token[],
  octets: string,
  decoded: boolean,
  strict: boolean,
): Meaning {
  if (!decoded && tokens.some(({ type }) => type === "encoded")) {
    const text = decodedWords(octets);
    if (text !== undefined && hasAtSign(text)) {
      return meaningOf(Buffer.from(text, "utf8").toString("latin1"), true, strict);
    }
  }
  const words = tokens.filter(({ type, text }) =>
    type !== "address" && !(type === "text" && text.includes("@"))
  );
  const name = nameOf(words, decoded, strict);
  if (name !== "") return { type: "none", name };
  // `<scanner>` is a name too.
  const inner = words.filter(({ type, text }) => type === "bracket" && !text.includes("@"))
    .map(({ text }): Token => ({ type: "text", text: text.slice(1, -1) }));
  return { type: "none", name: nameOf(inner, decoded, strict) };
}

/** The pieces between separators; each piece after the first begins with its separator. */
function* piecesOf(tokens: readonly Token[]): Generator<readonly Token[]> {
  let piece: Token[] = [];
  for (const token of tokens) {
    if (token.type === "separator") {
      yield piece;
      piece = [];
    }
    piece.push(token);
  }
  yield piece;
}

/** The one address of the piece, if there is any. */
function addressIn(piece: readonly Token[], decoded: boolean): Found {
  const bracketed = oneOf(piece.map(inBrackets));
  if (bracketed !== undefined) return bracketed;
  const address = oneOf(piece.map(bare));
  if (typeof address !== "string") return address;
  // Without brackets, nothing distinguishes the author from an address in a name.
  const names = piece.filter(({ type }) => type === "quoted" || type === "encoded");
  return hasAtSign(shownName(names, decoded) ?? "") ? AMBIGUOUS : address;
}

function bare({ type, text }: Token, i: number, piece: readonly Token[]): Found {
  if (type !== "address") return undefined;
  const glued = [piece[i - 1]?.type, piece[i + 1]?.type];
  // A reader that decodes these may see another address.
  return glued.includes("encoded") || glued.includes("quoted") ? AMBIGUOUS : judged(text);
}

type Found = string | undefined | typeof AMBIGUOUS;

function oneOf(found: readonly Found[]): Found {
  let one: string | undefined;
  for (const address of found) {
    if (address === undefined) continue;
    if (typeof address === "object") return AMBIGUOUS;
    if (one !== undefined && addressKey(one) !== addressKey(address)) return AMBIGUOUS;
    one ??= address;
  }
  return one;
}

/** A route, which is obsolete (§4.4), or the scheme before an address in a URL. */
const BEFORE_ADDRESS = /^(?:(?:[\s,]*@[\w.-]+)+\s*:|(?:mailto|smtp):)\s*/i;

function inBrackets({ type, text }: Token): Found {
  if (type !== "bracket" || !text.includes("@")) return undefined;
  if (text.length > MAX_ADDRESS) return AMBIGUOUS;
  const address = text.slice(1, -1).trim().replace(BEFORE_ADDRESS, "");
  // White space around dots and at signs is an obsolete form of §4.4, too.
  return judged(address.includes('"') ? address : address.replace(/\s*([.@])\s*/g, "$1"));
}

/** @returns undefined for a text that is not an address, such as `scanner@` */
function judged(text: string): Found {
  const [local, domain, ...others] = text.length > MAX_ADDRESS ? [text, text, ""] : text.split("@");
  if (local === "" || domain === undefined || domain === "") {
    return others.length === 0 ? undefined : AMBIGUOUS;
  }
  // Some programs put it into apostrophes; and the root's dot belongs to DNS, not to mail.
  const bare = /^'(.+)'$/s.exec(text)?.[1] ?? text;
  const address = Buffer.from(bare.replace(/\.$/, ""), "latin1").toString("utf8");
  if (isAddress(address)) {
    return isNormalized(address) && !isAmbiguous(address) ? address : AMBIGUOUS;
  }
  return others.length === 0 ? undefined : AMBIGUOUS;
}

/** Whether the token is a bracket, or the address once more: neither is part of its name. */
function isAddressIn({ type, text }: Token, address: string): boolean {
  if (type === "bracket") return true;
  if (type !== "address") return false;
  const found = judged(text);
  return typeof found === "string" && addressKey(found) === addressKey(address);
}
