// Finds the authors in a From or Sender field (RFC 5322 §3.6.2), and a form in which every reader
// finds the same ones.
//
// Mail readers disagree about invalid fields, and some about valid ones: of `boss@corp.example
// <ann@sender.example>` two take the first address for the author. So a field stays only if it can
// be read in one way. Otherwise it is rewritten: the address in brackets, after a name that is not
// an address.

import { Buffer } from "node:buffer";
import { GREATER, LESS, SPACE } from "../octets.ts";
import { type Item, parseAddressList } from "./address_list.ts";
import { addressKey, isAddress, isAmbiguous, isSimple } from "./addresses.ts";
import type { Author, Authors } from "./author.ts";
import { meaningOf } from "./author_meaning.ts";
import { hasAtSign, nameOf, shownName } from "./author_name.ts";
import { type Token, tokenize } from "./author_tokens.ts";
import { decodedOctets, isProper, isUtf8 } from "./author_words.ts";

export interface AuthorsOptions {
  /**
   * Whether the account may send as some addresses only. Then no name may have an at sign, even
   * where RFC 5322 allows it: a reader may show the name alone.
   */
  readonly strict: boolean;
  /** Charset of octets that are not UTF-8, from the message's Content-Type; or "". */
  readonly charset: string;
}

/** @param body a field body with its folding */
export function readAuthors(body: Buffer, { strict, charset }: AuthorsOptions): Authors {
  const list = parseAddressList(body);
  // A comma may follow the last item.
  const whole = list.regular && list.items.at(-1)?.end === body.length;
  const clear = whole ? unambiguousAuthors(body, list.items, strict) : undefined;
  if (clear !== undefined) return { type: "unambiguous", authors: clear };
  const octets = body.toString("latin1");
  const decoded = otherCharset(body, octets, charset);
  const meaning = meaningOf(decoded ?? octets, decoded !== undefined, strict);
  if (meaning.type !== "ambiguous") return meaning;
  return { type: "ambiguous", candidates: candidatesOf(list.items).filter(isAddress) };
}

/** The well-formed addresses, or if there are none, texts that look like addresses. */
function candidatesOf(items: readonly Item[]): string[] {
  const mailboxes = (list: readonly Item[]): string[] =>
    list.flatMap((item) => {
      if (item.type === "mailbox") return [item.address];
      return item.type === "group" ? mailboxes(item.members) : [];
    });
  const addresses = mailboxes(items);
  if (addresses.length > 0) return addresses;
  return items.flatMap((item) =>
    item.type === "unknown" && item.candidate !== undefined ? [item.candidate] : []
  );
}

/** The body in UTF-8, one character an octet, if it is in another known charset. */
function otherCharset(body: Buffer, octets: string, charset: string): string | undefined {
  // The escape sequences of ISO-2022-JP (RFC 1468).
  // deno-lint-ignore no-control-regex -- an escape sequence
  const label = /\x1b[$(][@-J]/.test(octets) ? "iso-2022-jp" : isUtf8(octets) ? "" : charset;
  const text = label === "" ? undefined : decodedOctets(body, label);
  return text === undefined ? undefined : Buffer.from(text, "utf8").toString("latin1");
}

function unambiguousAuthors(
  body: Buffer,
  items: readonly Item[],
  strict: boolean,
): Author[] | undefined {
  const authors: Author[] = [];
  for (const item of items) {
    if (item.type === "mailbox") {
      const author = unambiguousAuthor(body, item, strict);
      if (author === undefined) return undefined;
      authors.push(author);
    } else if (item.type === "group" && !strict) {
      // RFC 6854 allows groups in From; not every reader supports them there.
      if (body.subarray(item.start, item.membersStart).includes("@")) return undefined;
      const found = unambiguousAuthors(body, item.members, strict);
      if (found === undefined) return undefined;
      authors.push(...found);
    } else {
      return undefined;
    }
  }
  return authors.length > 0 ? authors : undefined;
}

function unambiguousAuthor(
  body: Buffer,
  { start, end, unambiguous, address, phrase }: Item & { readonly type: "mailbox" },
  strict: boolean,
): Author | undefined {
  if (unambiguous !== true || !isAddress(address) || isAmbiguous(address)) return undefined;
  // As most devices write it. Tokens would tell no more, and were an eighth of a message's objects.
  if (isAlone(body, start, end, address)) return { address, name: "" };
  const { tokens, balanced } = tokenize(body.toString("latin1", start, end), true);
  const brackets = tokens.filter(({ type }) => type === "bracket").length;
  const addresses = tokens.filter(({ type }) => type === "address").length;
  if (!balanced || brackets > 1 || addresses !== 1 - brackets) return undefined;
  const rest = tokens.filter(({ type }) => type !== "bracket" && type !== "address");
  if (!rest.every(isLegal)) return undefined;
  const shown = shownName(rest, false);
  if (strict && hasOther(shown, address)) return undefined;
  // The account's address may replace this one: its name must not show this one.
  const name = shown === undefined || hasAtSign(shown)
    ? ""
    : phrase === undefined
    ? nameOf(rest, false, strict)
    : body.toString("latin1", phrase.start, phrase.end);
  return { address, name };
}

/** Whether the item is this address, with or without brackets, and nothing else but one space before it. */
function isAlone(body: Buffer, start: number, end: number, address: string): boolean {
  let from = body[start] === SPACE ? start + 1 : start;
  let to = end;
  if (body[from] === LESS && body[to - 1] === GREATER) {
    from++;
    to--;
  }
  if (to - from !== address.length) return false;
  for (let i = 0; i < address.length; i++) {
    if (body[from + i] !== address.charCodeAt(i)) return false;
  }
  return isSimple(address);
}

function isLegal({ type, text }: Token): boolean {
  return type === "encoded" ? isProper(text) : type !== "text" || !text.includes("@");
}

/** Characters of an address at most. */
const MAX_ADDRESS = 320;

/** Whether a reader may see another address in this name than the one it belongs to. */
function hasOther(shown: string | undefined, address: string): boolean {
  if (shown === undefined) return true;
  if (!hasAtSign(shown)) return false;
  return shown.length > MAX_ADDRESS || addressKey(shown) !== addressKey(address);
}
