// Command lines (RFC 5321 §4.1.1) and how long they may be (§4.5.3.1.4).

import { REPLIES, type Reply } from "./reply.ts";

export interface Command {
  /** In upper case. */
  readonly verb: string;
  /** Without the spaces around it; octets as Latin-1 characters. */
  readonly argument: string;
}

/** RFC 5321 §4.5.3.1.4, octets with the CRLF. */
const MAX_COMMAND_LINE = 512;
/** MAIL and RCPT have parameters, whose extensions add to the 512 (RFC 1870, RFC 4954, RFC 6531). */
const MAX_PATH_LINE = 4096;
/** RFC 4954 §4: an AUTH exchange's lines. */
export const MAX_SASL_LINE = 12288;

/** How long the command line that begins with these octets may be, octets with the CRLF. */
export function commandLimit(input: Uint8Array): number {
  switch (input[0]! | 0x20) {
    case 0x61: // a: AUTH, or an unknown command
      return isAuth(input) ? MAX_SASL_LINE : MAX_COMMAND_LINE;
    // The first letter is enough: no other verb begins with these.
    case 0x6d: // m: MAIL
    case 0x72: // r: RCPT
      return MAX_PATH_LINE;
    default:
      return MAX_COMMAND_LINE;
  }
}

/** Whether the octets begin with `AUTH` in any case. Fewer than four are under each limit anyway. */
function isAuth(input: Uint8Array): boolean {
  return (input[1]! | 0x20) === 0x75 && (input[2]! | 0x20) === 0x74 && (input[3]! | 0x20) === 0x68;
}

/** Splits a line, without its end, at the first space. */
export function parseCommand(line: string): Command | Reply {
  const isPlain = !CONTROL_OR_TAB.test(line);
  const text = trimSpaces(isPlain ? line : withoutControls(line));
  if (text === "") return REPLIES.empty;
  if (!isPlain && CONTROLS.test(text) && !HELLO.test(text)) return REPLIES.badCharacter;
  const space = text.indexOf(" ");
  if (space < 0) return { verb: verbIn(text, text.length), argument: "" };
  return { verb: verbIn(text, space), argument: trimSpaces(text.slice(space + 1)) };
}

/** As most clients write them, in the order of how often they come. */
const VERBS = ["MAIL", "RCPT", "DATA", "RSET", "EHLO", "AUTH", "QUIT", "STARTTLS", "HELO"];

/** The text up to `end` in upper case; mostly one that is there already, and no new text. */
function verbIn(text: string, end: number): string {
  for (const verb of VERBS) if (verb.length === end && text.startsWith(verb)) return verb;
  return text.slice(0, end).toUpperCase();
}

// deno-lint-ignore no-control-regex -- finds control characters; a tab is a space
const CONTROLS = /[\x00-\x08\x0a-\x1f\x7f]/;
// deno-lint-ignore no-control-regex -- finds control characters
const CONTROL_OR_TAB = /[\x00-\x1f\x7f]/;
/** The name of a client may hold control characters: it decides nothing. */
const HELLO = /^(?:EHLO|HELO) /i;

/** Makes tabs spaces, and removes NULs at the end, which programs in C send. */
function withoutControls(line: string): string {
  let end = line.length;
  while (end > 0 && (line[end - 1] === "\0" || isSpace(line[end - 1]!))) end--;
  return line.slice(0, end).replaceAll("\t", " ");
}

function isSpace(c: string): boolean {
  return c === " " || c === "\t";
}

/** `trim` would remove the octet A0 as well, which ends letters like `à` in UTF-8. */
export function trimSpaces(text: string): string {
  if (!text.startsWith(" ") && !text.endsWith(" ")) return text;
  let start = 0;
  let end = text.length;
  while (text[start] === " ") start++;
  while (end > start && text[end - 1] === " ") end--;
  return text.slice(start, end);
}
