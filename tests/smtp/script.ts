// Parses dialogue scripts; tests/smtp/dialogues/README.md describes what they look like.

import { readdirSync, readFileSync } from "node:fs";
import { DIALOGUE_OPTIONS, type DialogueOptions } from "./options.ts";
import { unescapeOctets, unescapeText } from "./escapes.ts";

/** What the authenticator answers; the reply's code. */
export type AuthAnswer = 235 | 535 | 454 | 421;

export type Action =
  | { readonly type: "send"; readonly octets: Uint8Array }
  | { readonly type: "expect"; readonly line: ExpectedLine }
  | { readonly type: "tls" }
  | { readonly type: "closed" }
  | { readonly type: "connect" }
  | {
    readonly type: "auth";
    readonly username: string;
    readonly password: string;
    readonly answer: AuthAnswer;
  }
  | { readonly type: "trusted"; readonly refusal: string | undefined }
  | { readonly type: "submit"; readonly answer: string }
  | { readonly type: "envelope"; readonly from: string; readonly recipients: readonly string[] }
  | { readonly type: "content"; readonly octets: Uint8Array }
  | {
    readonly type: "facts";
    readonly esmtp: boolean;
    readonly helo: string;
    readonly tls: boolean;
    readonly smtputf8: boolean;
    readonly trusted: boolean;
  };

/** An action and the line of the script that wants it. */
export type Step = Action & { readonly at: string };

export interface ExpectedLine {
  /** As the script has it. */
  readonly source: string;
  readonly pattern: RegExp;
}

export interface Dialogue {
  /** The script's first comment: what it shows, and the RFC sections that say so. */
  readonly title: string;
  readonly options: DialogueOptions;
  /** Whether TLS stands before the greeting (RFC 8314 §3.3). */
  readonly implicitTls: boolean;
  readonly steps: readonly Step[];
}

const FOLDER = new URL("./dialogues/", import.meta.url);

/** The names of all scripts, without `.txt`, sorted. */
export function scriptNames(): string[] {
  return readdirSync(FOLDER).filter((name) => name.endsWith(".txt"))
    .map((name) => name.slice(0, -".txt".length)).sort();
}

/** Reads and parses one script. */
export function readDialogue(name: string): Dialogue {
  return parseDialogue(name, readFileSync(new URL(`${name}.txt`, FOLDER), "utf8"));
}

/**
 * Parses a script.
 *
 * @throws {SyntaxError} that begins with `name:line`
 */
export function parseDialogue(name: string, text: string): Dialogue {
  const parser = new Parser();
  parser.lines(name, text);
  const title = titleOf(text);
  if (!/RFC \d+ §\d|CVE-\d/.test(title)) {
    throw new SyntaxError(`${name}:1: the first comment has to name an RFC section: ${title}`);
  }
  if (parser.steps.at(-1)?.type !== "closed") {
    throw new SyntaxError(`${name}: a script has to end with "! closed"`);
  }
  const { options, implicitTls, steps } = parser;
  return { title, options, implicitTls, steps };
}

/** The comment at the very top, up to an empty `#`, an empty line, or anything else. */
function titleOf(text: string): string {
  const words: string[] = [];
  for (const line of text.split("\n")) {
    if (!line.startsWith("# ")) break;
    words.push(line.slice(2).trim());
  }
  return words.join(" ").replace(/\.$/, "");
}

class Parser {
  options: DialogueOptions = DIALOGUE_OPTIONS;
  implicitTls = false;
  readonly steps: Step[] = [];
  /** Octets of the C-PIPELINE group that is open. */
  #group: Uint8Array[] | undefined;
  #groupAt = "";

  lines(name: string, text: string): void {
    for (const [index, line] of text.split("\n").entries()) {
      const at = `${name}:${index + 1}`;
      try {
        this.#line(line, at);
      } catch (error) {
        if (!(error instanceof SyntaxError) || /^[\w/]+:\d+: /.test(error.message)) throw error;
        throw new SyntaxError(`${at}: ${error.message}`);
      }
    }
    this.#endGroup();
  }

  #line(line: string, at: string): void {
    if (line === "" || line.startsWith("#")) return;
    const client = /^C(|-LF|-RAW): ?(.*)$/.exec(line);
    if (client !== null) {
      return this.#send(unescapeOctets(client[2]! + LINE_ENDS[client[1]!]!), at);
    }
    this.#endGroup();
    if (line === "C-PIPELINE") {
      this.#group = [];
      this.#groupAt = at;
    } else if (line.startsWith("S: ")) {
      this.steps.push({ type: "expect", line: expectedLine(line.slice(3)), at });
    } else if (line.startsWith("@include ")) {
      const name = `include/${line.slice("@include ".length)}`;
      this.lines(name, readFileSync(new URL(`${name}.txt`, FOLDER), "utf8"));
    } else if (line.startsWith("! ")) {
      this.#directive(line.slice(2), at);
    } else {
      throw new SyntaxError(`unknown kind of line: ${line}`);
    }
  }

  #send(octets: Uint8Array, at: string): void {
    if (this.#group === undefined) this.steps.push({ type: "send", octets, at });
    else this.#group.push(octets);
  }

  #endGroup(): void {
    if (this.#group === undefined) return;
    const octets = joinOctets(this.#group);
    this.#group = undefined;
    if (octets.length === 0) throw new SyntaxError("C-PIPELINE without C lines behind it");
    this.steps.push({ type: "send", octets, at: this.#groupAt });
  }

  #directive(text: string, at: string): void {
    const option = /^option (\w+) (\S+)$/.exec(text);
    if (option !== null) {
      this.options = withOption(this.options, option[1]!, option[2]!);
    } else if (text === "implicit-tls") {
      this.implicitTls = true;
    } else {
      this.steps.push({ ...action(text), at });
    }
  }
}

/** What a kind of C line ends in, escaped. */
const LINE_ENDS: Readonly<Record<string, string>> = { "": "\\r\\n", "-LF": "\\n", "-RAW": "" };

function action(text: string): Action {
  if (text === "tls" || text === "closed" || text === "connect") return { type: text };

  const auth = /^auth (\S+) (\S+) -> (235|535|454|421)$/.exec(text);
  if (auth !== null) {
    const [username, password] = [word(auth[1]!), word(auth[2]!)];
    return { type: "auth", username, password, answer: Number(auth[3]) as AuthAnswer };
  }

  const trusted = /^trusted-login -> (?:235|([45]\d\d \d\.\d{1,3}\.\d{1,3} .+))$/.exec(text);
  if (trusted !== null) {
    const refusal = trusted[1];
    return { type: "trusted", refusal: refusal === undefined ? undefined : unescapeText(refusal) };
  }

  const submit = /^submit -> ([245]\d\d \d\.\d{1,3}\.\d{1,3} .+)$/.exec(text);
  if (submit !== null) return { type: "submit", answer: unescapeText(submit[1]!) };

  const envelope = /^envelope <(.*)> -> <(.+)>$/.exec(text);
  if (envelope !== null) {
    const recipients = envelope[2]!.split("> <").map(unescapeText);
    return { type: "envelope", from: unescapeText(envelope[1]!), recipients };
  }

  const content = /^content "(.*)"$/.exec(text);
  if (content !== null) return { type: "content", octets: unescapeOctets(content[1]!) };

  const facts = /^facts (EHLO|HELO) "(.*)"( TLS)?( SMTPUTF8)?( TRUSTED)?$/.exec(text);
  if (facts !== null) {
    return {
      type: "facts",
      esmtp: facts[1] === "EHLO",
      helo: unescapeText(facts[2]!),
      tls: facts[3] !== undefined,
      smtputf8: facts[4] !== undefined,
      trusted: facts[5] !== undefined,
    };
  }
  throw new SyntaxError(`unknown directive: ${text}`);
}

/** A word of a directive; `""` is the empty one. */
function word(text: string): string {
  return text === '""' ? "" : unescapeText(text);
}

function withOption(options: DialogueOptions, name: string, value: string): DialogueOptions {
  const known = Object.hasOwn(options, name) ? options[name as keyof DialogueOptions] : undefined;
  switch (typeof known) {
    case "boolean":
      if (value !== "true" && value !== "false") break;
      return { ...options, [name]: value === "true" };
    case "number":
      if (!/^\d+$/.test(value)) break;
      return { ...options, [name]: Number(value) };
    case "string":
      return { ...options, [name]: unescapeText(value) };
  }
  throw new SyntaxError(`no such option or value: ${name} ${value}`);
}

/**
 * What an S line asks for: the line itself; or its beginning, where it ends in `…`; or, where
 * `/regex/` takes the place of the text, that. Neither may stand for a code or an enhanced code.
 */
function expectedLine(source: string): ExpectedLine {
  const regex = /^(\d{3}[ -](?:\d\.\d{1,3}\.\d{1,3} )?)\/(.+)\/$/.exec(source);
  if (regex !== null) {
    return { source, pattern: new RegExp(`^${literal(regex[1]!)}(?:${regex[2]!})$`) };
  }
  if (source.endsWith("…")) {
    const start = source.slice(0, -1);
    if (!/^\d{3}[ -](?:relay\.example|\d\.\d{1,3}\.\d{1,3}) /.test(start)) {
      throw new SyntaxError(`… may only stand for the text of a reply: ${source}`);
    }
    return { source, pattern: new RegExp(`^${literal(start)}`) };
  }
  return { source, pattern: new RegExp(`^${literal(unescapeText(source))}$`) };
}

function literal(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
}

/** One array of all these octets. */
export function joinOctets(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
