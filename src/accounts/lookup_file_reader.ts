// Reads the text of LOOKUP_FILE entry by entry, so that a large file stops nothing else for long. Strict
// JSON (RFC 8259), and each name at most once: of two entries with one id, no one could say which counts.

import { createScanner, type JSONScanner } from "jsonc-parser";
import type { Row } from "./entry.ts";

/** For editors; it is no entry. https://json-schema.org/draft/2020-12/json-schema-core#section-8.1.1 */
export const SCHEMA_KEY = "$schema";

/** Why a file is not used. No part of it is quoted but ids and names of columns. */
export class LookupFileError extends Error {
  override readonly name = "LookupFileError";
}

/** The scanner's numbers (`SyntaxKind`, which is a const enum and so not there at run time). */
const TOKEN = {
  ...{ openBrace: 1, closeBrace: 2, openBracket: 3, closeBracket: 4, comma: 5, colon: 6 },
  ...{ null: 7, true: 8, false: 9, text: 10, number: 11 },
  ...{ lineComment: 12, blockComment: 13, lineBreak: 14, space: 15, unknown: 16, end: 17 },
} as const;
const SPACE = 0x20;
/** Stands for a column's value that is neither text nor true or false. */
const OTHER_VALUE: object = Object.freeze({});
/** Of values inside of one another, in columns that the relay does not know. */
const MAX_DEPTH = 64;
/** Characters of one entry: a table allows 1 MiB, too. */
const MAX_ENTRY = 1024 * 1024;
/** Characters of a name in an error. */
const MAX_SHOWN = 128;

export class LookupFileReader {
  readonly #scanner: JSONScanner;
  readonly #ids = new Set<string>();
  #hasSchema = false;
  readonly #text: string;
  #token: number = TOKEN.unknown;
  #state: "before" | "inside" | "after" = "before";
  #entryFrom = 0;

  /** @param text without a byte order mark */
  constructor(text: string) {
    this.#scanner = createScanner(text, false);
    this.#text = text;
  }

  /** Characters that have been read. */
  get position(): number {
    return this.#scanner.getPosition();
  }

  /**
   * @returns the next entry, in the file's order; undefined after the last one
   * @throws LookupFileError with line and column
   */
  next(): Row | undefined {
    if (this.#state === "before") this.#begin();
    while (this.#state === "inside") {
      const row = this.#property();
      if (this.#token === TOKEN.comma) this.#advance();
      else if (this.#token === TOKEN.closeBrace) this.#end();
      else this.#fail("a comma or } is missing before this");
      if (row !== undefined) return row;
    }
    return undefined;
  }

  #begin(): void {
    this.#advance();
    if (this.#token === TOKEN.end) this.#fail("the file is empty; without entries, it is {}");
    if (this.#token !== TOKEN.openBrace) {
      this.#fail("the file must be one object, which begins with {");
    }
    this.#state = "inside";
    this.#advance();
    if (this.#isAt(TOKEN.closeBrace)) this.#end();
  }

  #end(): void {
    this.#state = "after";
    this.#advance();
    if (this.#token !== TOKEN.end) this.#fail("the file must end after the } of its first {");
  }

  /** An entry, or `$schema`, which is undefined. Then the token after it is the current one. */
  #property(): Row | undefined {
    const id = this.#name("an entry's id");
    if (id === SCHEMA_KEY ? this.#hasSchema : this.#ids.has(id)) {
      const what = id === SCHEMA_KEY ? id : `the id ${shown(id)}`;
      this.#fail(`${what} is there twice: remove one`);
    }
    this.#entryFrom = this.#scanner.getTokenOffset();
    this.#colon();
    if (id === SCHEMA_KEY) {
      this.#hasSchema = true;
      if (!this.#isAt(TOKEN.text)) this.#fail(`${SCHEMA_KEY} must be a text`);
      this.#advance();
      return undefined;
    }
    this.#ids.add(id);
    if (!this.#isAt(TOKEN.openBrace)) {
      this.#fail(`entry ${shown(id)} must be an object, which begins with {`);
    }
    const columns: Record<string, unknown> = {};
    this.#advance();
    if (!this.#isAt(TOKEN.closeBrace)) this.#columns(id, columns);
    this.#advance();
    return { id, columns };
  }

  #columns(id: string, columns: Record<string, unknown>): void {
    for (;;) {
      const name = this.#name("a column's name");
      if (Object.hasOwn(columns, name)) {
        this.#fail(`entry ${shown(id)} has the column ${shown(name)} twice: remove one`);
      }
      this.#colon();
      const value = this.#value();
      if (name !== "__proto__") columns[name] = value;
      // An assignment would set the object's prototype.
      else Object.defineProperty(columns, name, { value, enumerable: true });
      if (this.position - this.#entryFrom > MAX_ENTRY) {
        this.#fail(`entry ${shown(id)} is over 1 MiB`);
      }
      if (this.#isAt(TOKEN.closeBrace)) return;
      if (!this.#isAt(TOKEN.comma)) {
        this.#fail(`a comma or } is missing before this, in entry ${shown(id)}`);
      }
      this.#advance();
    }
  }

  #name(what: string): string {
    if (this.#isAt(TOKEN.closeBrace)) this.#fail("a comma may not be the last before }");
    if (!this.#isAt(TOKEN.text)) this.#fail(`${what} in double quotes is missing`);
    return this.#scanner.getTokenValue();
  }

  #colon(): void {
    this.#advance();
    if (!this.#isAt(TOKEN.colon)) this.#fail("a colon is missing before this");
    this.#advance();
  }

  /** A column's value. Then the token after it is the current one. */
  #value(): unknown {
    const text = this.#scanner.getTokenValue();
    switch (this.#token) {
      case TOKEN.text:
        this.#advance();
        return text;
      case TOKEN.true:
      case TOKEN.false:
        this.#advance();
        return text === "true";
      default:
        this.#skipValue();
        return OTHER_VALUE;
    }
  }

  /** Goes past a value of any kind, without recursion. */
  #skipValue(): void {
    /** What closes each object and array that is open. */
    const closing: number[] = [];
    do {
      const closes = CLOSING.get(this.#token);
      if (closes !== undefined) {
        if (closing.push(closes) > MAX_DEPTH) {
          this.#fail(`values are more than ${MAX_DEPTH} deep inside of one another`);
        }
        this.#advance();
        if (!this.#isAt(closes)) {
          this.#memberName(closes);
          continue;
        }
        closing.pop();
      } else if (!SCALARS.has(this.#token)) this.#fail("a value is missing");
      this.#advance();
      while (closing.length > 0) {
        const closes = closing.at(-1)!;
        if (this.#isAt(TOKEN.comma)) {
          this.#advance();
          this.#memberName(closes);
          break;
        }
        if (!this.#isAt(closes)) {
          this.#fail(`a comma or ${SIGNS.get(closes)} is missing before this`);
        }
        closing.pop();
        this.#advance();
      }
    } while (closing.length > 0);
  }

  #memberName(closes: number): void {
    if (closes !== TOKEN.closeBrace) return;
    this.#name("a name");
    this.#colon();
  }

  #isAt(token: number): boolean {
    return this.#token === token;
  }

  /** To the next token that is not white space. */
  #advance(): void {
    const scanner = this.#scanner;
    let token: number = scanner.scan();
    while (token === TOKEN.space || token === TOKEN.lineBreak) {
      this.#skipSpace();
      token = scanner.scan();
    }
    this.#token = token;
    if (
      token === TOKEN.lineComment || token === TOKEN.blockComment
    ) {
      this.#fail("JSON has no comments; use a column description");
    }
    const error: number = scanner.getTokenError();
    if (error !== 0) this.#fail(SCAN_ERRORS[error] ?? "this is not JSON");
  }

  /** The scanner would build a text of each indent. */
  #skipSpace(): void {
    const text = this.#text;
    const from = this.position;
    let at = from;
    while (text.charCodeAt(at) === SPACE) at++;
    if (at > from) this.#scanner.setPosition(at);
  }

  #fail(problem: string): never {
    const scanner = this.#scanner;
    const line = scanner.getTokenStartLine() + 1;
    const column = scanner.getTokenStartCharacter() + 1;
    // A half-written file ends in the middle of a token, too.
    const isCut = scanner.getTokenError() !== 0 || this.#token === TOKEN.unknown;
    const ended = this.#state === "inside" &&
      (this.#token === TOKEN.end || isCut && this.position >= this.#text.length);
    const what = ended ? "the file ends too early: is it complete?" : problem;
    throw new LookupFileError(`line ${line}, column ${column}: ${what}`);
  }
}

const CLOSING: ReadonlyMap<number, number> = new Map([
  [TOKEN.openBrace, TOKEN.closeBrace],
  [TOKEN.openBracket, TOKEN.closeBracket],
]);

const SIGNS: ReadonlyMap<number, string> = new Map([
  [TOKEN.closeBrace, "}"],
  [TOKEN.closeBracket, "]"],
]);

const SCALARS: ReadonlySet<number> = new Set([
  ...[TOKEN.text, TOKEN.number],
  ...[TOKEN.true, TOKEN.false, TOKEN.null],
]);

/** By the scanner's numbers (`ScanError`). */
const SCAN_ERRORS: Readonly<Record<number, string>> = {
  1: "JSON has no comments",
  2: "this text has no closing quote on its line",
  3: "this number is not complete",
  4: "\\u needs four hexadecimal digits after it",
  5: "a backslash in a text is written \\\\",
  6: "a text may not have a control character in it",
};

function shown(name: string): string {
  return JSON.stringify(name.length > MAX_SHOWN ? `${name.slice(0, MAX_SHOWN)}…` : name);
}
