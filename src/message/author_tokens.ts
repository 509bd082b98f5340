// The tokens of a From or Sender field that may break every rule (RFC 5322 §3.2, §3.4, §4.4).
//
// address_list.ts finds the addresses that every reader finds. This file finds what the author of
// an invalid field meant: a quote, bracket or comment that does not end is just a character of a
// name.

import { encodedWordEnd } from "./author_words.ts";

export interface Token {
  readonly type:
    | "blank"
    /** Plain text. */
    | "text"
    | "quoted"
    | "comment"
    | "encoded"
    /** A word with an at sign. */
    | "address"
    /** Brackets and their content. */
    | "bracket"
    /** A comma or semicolon. */
    | "separator";
  /** As it stands in the field, one character an octet. */
  readonly text: string;
}

export interface Tokens {
  readonly tokens: readonly Token[];
  /** Whether each quote, comment and bracket ends. */
  readonly balanced: boolean;
}

// deno-lint-ignore no-control-regex -- control characters count as white space
const BLANK = /[\x00-\x20\x7f]+/y;
// deno-lint-ignore no-control-regex -- all but control characters and specials
const WORD = /[^\x00-\x20\x7f"(<>,;:\\[\]]+/y;
const LITERAL = /\[[A-Za-z0-9.:-]{1,64}\]/y;

/**
 * Splits a field body into tokens. Each octet belongs to exactly one.
 *
 * @param body one character an octet
 * @param words whether encoded words are tokens of their own; false once they have been decoded
 */
export function tokenize(body: string, words: boolean): Tokens {
  const tokens: Token[] = [];
  // After one that does not end, no other of its kind is searched for: that takes quadratic time.
  let quotes = true;
  let comments = true;
  let brackets = true;
  const matched = (pattern: RegExp, at: number): number => {
    pattern.lastIndex = at;
    return pattern.test(body) ? pattern.lastIndex : -1;
  };
  const add = (type: Token["type"], start: number, end: number): number => {
    tokens.push({ type, text: body.slice(start, end) });
    return end;
  };
  // A run of word characters may be many words, none of which ends after the run.
  let runEnd = 0;
  const endOfRun = (start: number): number => {
    if (start < runEnd) return runEnd;
    const end = matched(WORD, start);
    runEnd = Math.max(runEnd, end);
    return end;
  };
  const wordEnd = (start: number): number => {
    const end = endOfRun(start);
    if (!words || end < 0) return end;
    // An encoded word may begin in the middle of a word.
    const word = body.slice(start, end);
    for (let at = word.indexOf("=?", 1); at >= 0; at = word.indexOf("=?", at + 1)) {
      if (encodedWordEnd(body, start + at) >= 0) return start + at;
    }
    return end;
  };
  /** Adds a word that begins at `start` and is known to reach up to `from` at least. */
  const addWord = (start: number, from: number): number => {
    let end = Math.max(wordEnd(from), from);
    const word = body.slice(start, end);
    if (!word.includes("@")) return add("text", start, end);
    if (word.endsWith("@")) end = Math.max(matched(LITERAL, end), end);
    return add("address", start, end);
  };

  for (let i = 0; i < body.length;) {
    const c = body[i]!;
    const blankEnd = matched(BLANK, i);
    if (blankEnd > 0) {
      i = add("blank", i, blankEnd);
    } else if (c === '"' && quotes) {
      const end = quotedEnd(body, i);
      quotes = end > 0;
      if (!quotes) continue;
      // A local part may be quoted.
      i = body[end] === "@" ? addWord(i, end) : add("quoted", i, end);
    } else if (c === "(" && comments) {
      const end = commentEnd(body, i);
      comments = end > 0;
      if (comments) i = add("comment", i, end);
    } else if (c === "<" && brackets) {
      const end = nextBracket(body, i + 1);
      brackets = end >= 0;
      if (!brackets) continue;
      // In `<<ann@x.test>>` the inner brackets count.
      i = body[end] === ">" ? add("bracket", i, end + 1) : add("blank", i, i + 1);
    } else if (c === "<" || c === ">") {
      i = add("blank", i, i + 1);
    } else if (c === "," || c === ";") {
      i = add("separator", i, i + 1);
    } else {
      const encoded = words && body.startsWith("=?", i) ? encodedWordEnd(body, i) : -1;
      if (encoded > 0) i = add("encoded", i, encoded);
      else i = endOfRun(i) > 0 ? addWord(i, i) : add("text", i, i + 1);
    }
  }
  return { tokens, balanced: quotes && comments && brackets };
}

/** Index after the quoted string that begins at `start` (§3.2.4), or -1 if it does not end. */
function quotedEnd(body: string, start: number): number {
  for (let i = start + 1; i < body.length; i++) {
    if (body[i] === '"') return i + 1;
    if (body[i] === "\\") i++;
  }
  return -1;
}

/** Index after the comment that begins at `start` (§3.2.2), or -1 if it does not end. */
function commentEnd(body: string, start: number): number {
  let depth = 0;
  for (let i = start; i < body.length; i++) {
    if (body[i] === "(") depth++;
    else if (body[i] === ")" && --depth === 0) return i + 1;
    else if (body[i] === "\\") i++;
  }
  return -1;
}

const BRACKET = /[<>]/g;

function nextBracket(body: string, start: number): number {
  BRACKET.lastIndex = start;
  return BRACKET.exec(body)?.index ?? -1;
}
