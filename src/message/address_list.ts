// Parses an address field (RFC 5322 §3.4) into items, each with its range of octets.
//
// Exchange parses the same octets with its own parser, and sends to the addresses that it finds. So
// an item is `unambiguous` only if every correct parser finds exactly that address in it. The
// obsolete forms of §4.4 (routes, white space or comments inside an address) are ambiguous, and so
// is anything that a parser without nested comments or escapes would split differently.

import { Buffer } from "node:buffer";
import { GREATER, LESS } from "../octets.ts";
import { addressKey, isNormalized, MAX_ADDRESS } from "./addresses.ts";

/** A range of octets of the field body. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

export type Item =
  | (Range & {
    readonly type: "mailbox";
    /**
     * Whether every parser finds this address in it and no other; `angle` if that holds for the
     * address in its brackets, but the text before them is not a valid display name.
     */
    readonly unambiguous: boolean | "angle";
    readonly address: string;
    /** The range of the display name, if there is one; all before the brackets for an `angle`. */
    readonly phrase: Range | undefined;
  })
  | (Range & {
    readonly type: "group";
    /** Where the members begin, after the colon. */
    readonly membersStart: number;
    readonly members: readonly Item[];
    /** The semicolon. */
    readonly membersEnd: number;
  })
  | (Range & {
    readonly type: "unknown";
    /** The part of it that looks like an address. */
    readonly candidate: string | undefined;
  })
  /** Only white space, as between two commas (§4.4). */
  | (Range & { readonly type: "empty" });

export interface AddressList {
  readonly items: readonly Item[];
  /** Whether items are separated by exactly one comma. */
  readonly regular: boolean;
}

// Kinds of octets.
const OTHER = 0;
const WORD = 1;
const WHITE = 2;
const CONTROL = 3;
const KINDS = new Uint8Array(256).fill(CONTROL, 0, 32).fill(CONTROL, 127, 128);
for (const octet of Buffer.from(" \t\r\n")) KINDS[octet] = WHITE;
// §3.2.3 atext, and the dots and at signs of addresses; RFC 6532 §3.2 allows all octets above 127.
KINDS.fill(WORD, 48, 58).fill(WORD, 65, 91).fill(WORD, 97, 123).fill(WORD, 128);
for (const octet of Buffer.from("_!#$%&'*+/=?^`{|}~.@-")) KINDS[octet] = WORD;
const AT = 64;
const QUOTE = 34;
const BACKSLASH = 92;
const COMMA = 44;
const COLON = 58;
const SEMICOLON = 59;
const OPEN_PAREN = 40;
const CLOSE_PAREN = 41;
const OPEN_BRACKET = 91;
const CLOSE_BRACKET = 93;

/** Octets of a domain literal at most; a longer one does not count as one. */
const MAX_LITERAL = 256;

/** Parses a field body. For any octets, the items cover all but the separators. */
export function parseAddressList(body: Buffer): AddressList {
  return new Parser(body).list();
}

/** What has been found of an item so far. */
class ItemParts {
  readonly start: number;
  /** Something is where it must not be, or other parsers read it differently. */
  bad = false;
  /** … but only before the brackets. */
  oddName = false;
  commented = false;
  ambiguousComment = false;
  /** The first address without brackets. */
  bare: Range | undefined = undefined;
  /** The first address in angle brackets. */
  angle: Range | undefined = undefined;
  /** An angle bracket has come, with an address in it or without. */
  bracketed = false;
  /** Index of the first angle bracket, or -1. */
  angleStart = -1;
  /** The words of the display name, with all between them; -1 if there are none. */
  phraseStart = -1;
  phraseEnd = -1;

  constructor(start: number) {
    this.start = start;
  }

  /** Whether a colon after these parts begins the members of a group. */
  get isGroupName(): boolean {
    return this.phraseStart >= 0 && this.bare === undefined && !this.bracketed &&
      !this.ambiguousComment && !this.bad && !this.oddName;
  }

  /** Whether nothing has come but white space, if no address has. */
  get isEmpty(): boolean {
    return this.phraseStart < 0 && !this.commented && !this.bad && !this.oddName;
  }

  /** Something has come that is not allowed here. */
  odd(): void {
    if (this.bracketed) this.bad = true;
    else this.oddName = true;
  }

  addToPhrase(from: number, to: number): void {
    if (this.bare !== undefined || this.bracketed) this.odd();
    if (this.phraseStart < 0) this.phraseStart = from;
    this.phraseEnd = to;
  }
}

class Parser {
  readonly #octets: Buffer;
  #regular = true;
  /** A quoted string or comment of the group has a semicolon, at which some parsers end the group. */
  #hiddenSemicolon = false;
  /** Some parsers end the last comment early, or look into it, … */
  #ambiguous = false;
  /** … and what they find there has a meaning for them. */
  #misleading = false;
  /** Index of the at sign in the last word, or -1. */
  #at = -1;

  constructor(octets: Buffer) {
    this.#octets = octets;
  }

  list(): AddressList {
    const { length } = this.#octets;
    const items: Item[] = [];
    let position = 0;
    for (;;) {
      const item = this.#item(position, false);
      items.push(item);
      position = item.end;
      if (position >= length) break;
      if (this.#octets[position] === COMMA) {
        position++;
      } else {
        this.#regular = false;
        // Mail programs show semicolons between addresses, so people type them.
        if (this.#octets[position] === SEMICOLON) position++;
      }
      if (position >= length) break;
    }
    return { items, regular: this.#regular };
  }

  /** The item that begins at `start`, up to its separator or the end. */
  #item(start: number, inGroup: boolean): Item {
    const octets = this.#octets;
    const { length } = octets;
    const item = new ItemParts(start);
    let i = start;
    while (i < length) {
      const octet = octets[i]!;
      const kind = KINDS[octet];
      if (kind === WHITE) i++;
      else if (kind === WORD) {
        const end = this.#wordEnd(i);
        if (this.#at < 0) item.addToPhrase(i, end);
        i = this.#at < 0 ? end : this.#bareAddress(item, i, end);
      } else if (octet === OPEN_PAREN) i = this.#comment(item, i);
      else if (octet === QUOTE) i = this.#quoted(item, i);
      else if (octet === LESS) i = this.#bracketed(item, i);
      else if (octet === COMMA || octet === SEMICOLON) break;
      else if (octet === COLON) {
        if (!inGroup && item.isGroupName) return this.#group(start, i + 1);
        item.bad = true;
        i++;
      } else if (octet === OPEN_BRACKET || octet === CLOSE_BRACKET) {
        item.odd();
        i++;
      } else {
        // A control character, or a closing sign without an opening one: the rest is undefined.
        i = -1;
      }
      if (i < 0) return this.#unknown(item, length);
    }
    return this.#finish(item, i);
  }

  // Each kind of token adds what it is to the item. The result is the index after it, or -1 if it does
  // not end.

  /** An address without brackets, whose word ends at `end`. */
  #bareAddress(item: ItemParts, start: number, end: number): number {
    const address = { start, end: this.#literalEnd(end) };
    if (item.bare !== undefined || item.bracketed || item.phraseStart >= 0) item.odd();
    // Some parsers take a bare literal with colons for a group.
    if (address.end > end && this.#octets.subarray(end, address.end).includes(COLON)) {
      item.bad = true;
    }
    item.bare ??= address;
    return address.end;
  }

  #comment(item: ItemParts, start: number): number {
    const end = this.#commentEnd(start);
    if (end < 0) return -1;
    item.commented = true;
    item.ambiguousComment ||= this.#ambiguous;
    if (this.#misleading) item.bad = true;
    return end;
  }

  /** A quoted string of a display name, or a quoted local part with its domain. */
  #quoted(item: ItemParts, start: number): number {
    const end = this.#quotedEnd(start);
    if (end < 0) return -1;
    if (this.#octets[end] !== AT) {
      if (this.#misleading) item.bad = true;
      item.addToPhrase(start, end);
      return end;
    }
    if (item.bare !== undefined || item.angle !== undefined || item.phraseStart >= 0) {
      item.bad = true;
    }
    if (!this.#plainLocalPart(start, end)) item.bad = true;
    const domainEnd = this.#literalEnd(this.#wordEnd(end));
    item.bare ??= { start, end: domainEnd };
    return domainEnd;
  }

  /** An address in angle brackets. */
  #bracketed(item: ItemParts, start: number): number {
    if (item.bracketed) item.bad = true;
    else item.angleStart = start;
    item.bracketed = true;
    const octets = this.#octets;
    const address = this.#angleAddress(start);
    let next = start;
    if (address !== undefined) {
      item.angle ??= address;
      next = address.end;
      while (KINDS[octets[next]!] === WHITE) next++;
      if (octets[next] === GREATER) return next + 1;
    }
    item.bad = true;
    const end = octets.indexOf(GREATER, next);
    return end < 0 ? -1 : end + 1;
  }

  /** The item of these parts, which ends at `end`. */
  #finish(item: ItemParts, end: number): Item {
    const { start, angle, bare, phraseStart, phraseEnd } = item;
    const found = angle ?? bare;
    if (found === undefined) {
      return item.isEmpty ? { type: "empty", start, end } : this.#unknown(item, end);
    }
    const address = this.#text(found);
    if (item.bad || (item.oddName && angle === undefined) || address === undefined) {
      return this.#unknown(item, end);
    }
    if (
      item.oddName || (angle !== undefined && bare !== undefined && !this.#isSame(bare, address))
    ) {
      return {
        type: "mailbox",
        start,
        end,
        unambiguous: isNormalized(address) && "angle",
        address,
        phrase: { start, end: item.angleStart },
      };
    }
    return {
      type: "mailbox",
      start,
      end,
      // A parser without nested comments takes the rest of one for a part of the address.
      unambiguous: !(item.ambiguousComment && angle === undefined) && isNormalized(address),
      address,
      phrase: phraseStart < 0 || angle === undefined
        ? undefined
        : { start: phraseStart, end: phraseEnd },
    };
  }

  /** An address as its own display name is not a phrase (§3.2.5), but common. */
  #isSame(name: Range, address: string): boolean {
    const text = this.#text(name);
    return text !== undefined && addressKey(text) === addressKey(address);
  }

  #unknown({ start, angle, bare }: ItemParts, end: number): Item {
    const found = angle ?? bare;
    const candidate = found === undefined ? undefined : this.#text(found);
    return { type: "unknown", start, end, candidate };
  }

  #group(start: number, membersStart: number): Item {
    const octets = this.#octets;
    const { length } = octets;
    this.#hiddenSemicolon = false;
    const members: Item[] = [];
    let position = membersStart;
    for (;;) {
      const member = this.#item(position, true);
      members.push(member);
      position = member.end;
      if (position >= length) return { type: "unknown", start, end: length, candidate: undefined };
      if (octets[position] === SEMICOLON) break;
      position++;
    }
    const membersEnd = position;
    let end = membersEnd + 1;
    while (end < length && KINDS[octets[end]!] === WHITE) end++;
    if (this.#hiddenSemicolon) return { type: "unknown", start, end, candidate: undefined };
    return { type: "group", start, membersStart, members, membersEnd, end };
  }

  #wordEnd(start: number): number {
    const octets = this.#octets;
    this.#at = -1;
    let i = start;
    for (; i < octets.length && KINDS[octets[i]!] === WORD; i++) {
      if (octets[i] === AT) this.#at = i;
    }
    return i;
  }

  /** Index after the domain literal that begins at `start` (§3.4.1), or `start` if none does. */
  #literalEnd(start: number): number {
    const octets = this.#octets;
    if (octets[start] !== OPEN_BRACKET || octets[start - 1] !== AT) return start;
    for (let i = start + 1; i < octets.length && i < start + MAX_LITERAL; i++) {
      const octet = octets[i]!;
      if (octet === CLOSE_BRACKET) return i + 1;
      if (octet !== COLON && KINDS[octet] !== WORD) break;
    }
    return start;
  }

  /** The address directly after the bracket at `start`, if there is one. */
  #angleAddress(start: number): Range | undefined {
    const octets = this.#octets;
    let i = start + 1;
    while (KINDS[octets[i]!] === WHITE) i++;
    const addressStart = i;
    if (octets[i] === QUOTE) {
      const end = this.#quotedEnd(i);
      if (end < 0 || octets[end] !== AT || !this.#plainLocalPart(i, end)) return undefined;
      i = end;
    }
    const end = this.#literalEnd(this.#wordEnd(i));
    return end > addressStart ? { start: addressStart, end } : undefined;
  }

  /** Index after the comment that begins at `start` (§3.2.2), or -1 if it does not end. */
  #commentEnd(start: number): number {
    const octets = this.#octets;
    let depth = 0;
    let nested = false;
    /** Something in it would have a meaning outside of a comment. */
    let meaningful = false;
    let address = false;
    this.#ambiguous = this.#misleading = false;
    for (let i = start; i < octets.length; i++) {
      const octet = octets[i]!;
      if (octet === OPEN_PAREN) {
        if (++depth > 1) nested = true;
      } else if (octet === CLOSE_PAREN) {
        if (--depth > 0) continue;
        this.#ambiguous = nested || address;
        this.#misleading = nested && meaningful;
        return i + 1;
      } else if (KINDS[octet] === CONTROL) {
        return -1;
      } else if (octet === BACKSLASH) {
        nested = meaningful = true;
        i++;
        if (KINDS[octets[i]!] === CONTROL) return -1;
      } else if (octet === AT || KINDS[octet] === OTHER) {
        meaningful = true;
        if (octet === AT) address = true;
        if (octet === SEMICOLON) this.#hiddenSemicolon = true;
      }
    }
    return -1;
  }

  /** Index after the quoted string that begins at `start` (§3.2.4), or -1 if it does not end. */
  #quotedEnd(start: number): number {
    const octets = this.#octets;
    let escaped = false;
    let address = false;
    let high = false;
    this.#misleading = false;
    for (let i = start + 1; i < octets.length; i++) {
      const octet = octets[i]!;
      if (octet === QUOTE) {
        // A parser without escapes ends the string early, and one that reads another charset may
        // take the backslash for half a character.
        this.#misleading = escaped && (address || (high && !this.#isUtf8(start, i)));
        return i + 1;
      }
      if (octet === BACKSLASH) {
        escaped = true;
        if (octets[++i] === SEMICOLON) this.#hiddenSemicolon = true;
        if (KINDS[octets[i]!] === CONTROL) return -1;
      } else if (KINDS[octet] === CONTROL) {
        return -1;
      } else if (octet === AT || octet === LESS) {
        address = true;
      } else if (octet > 127) {
        high = true;
      } else if (octet === SEMICOLON) {
        this.#hiddenSemicolon = true;
      }
    }
    return -1;
  }

  #isUtf8(start: number, end: number): boolean {
    const octets = this.#octets.subarray(start, end);
    return octets.equals(Buffer.from(octets.toString("utf8"), "utf8"));
  }

  /** Whether a quoted local part means the same without its quotes, apart from spaces. */
  #plainLocalPart(start: number, end: number): boolean {
    const local = this.#octets.toString("latin1", start + 1, end - 1);
    return /^[\w!#$%&'*+/=?^`{|}~.\x80-\xff-]+(?: [\w!#$%&'*+/=?^`{|}~.\x80-\xff-]+)*$/.test(local);
  }

  /** The text of an address, or undefined if it is not one. */
  #text({ start, end }: Range): string | undefined {
    if (end - start > MAX_ADDRESS) return undefined;
    const text = this.#octets.toString("utf8", start, end);
    const at = text.indexOf("@");
    return at > 0 && at < text.length - 1 && at === text.lastIndexOf("@") ? text : undefined;
  }
}
