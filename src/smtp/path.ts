// Reverse-path and forward-path with their parameters (RFC 5321 §4.1.2, §3.3; RFC 6531 §3.3).

import { Buffer } from "node:buffer";
import { trimSpaces } from "./command_line.ts";

/** A mailbox as the client spelled it, without angle brackets or source route. */
export interface Mailbox {
  /** Empty for the bare `postmaster` of RFC 5321 §4.5.1, and for a bare name where it is accepted. */
  readonly domain: string;
  /** `local@domain`, or the local part alone; `"john doe"` stays quoted. */
  readonly address: string;
}

export interface PathArgument {
  /** `undefined` for the null reverse-path `<>`. */
  readonly mailbox: Mailbox | undefined;
  /** Parameters in order, keywords in upper case; `value` is undefined if there is no `=`. */
  readonly parameters: readonly { readonly keyword: string; readonly value: string | undefined }[];
}

/** Why a path is refused; each has its own reply. */
export type PathError = "syntax" | "address" | "tooLong";

// RFC 5321 §4.5.3.1.1–3, octets.
const MAX_LOCAL_PART = 64;
const MAX_DOMAIN = 255;
const MAX_PATH = 256;

const NO_WORDS: readonly string[] = [];

/**
 * Parses what follows `MAIL FROM:` or `RCPT TO:`.
 *
 * Tolerated, because devices send it and it cannot be misread: spaces after the colon and inside the
 * angle brackets, a path without these, parameters right after the bracket, trailing spaces, a source
 * route (parsed and dropped, §4.1.1.3).
 *
 * @param bare whether a local part alone is accepted, such as `scanner`
 */
export function parsePathArgument(text: string, bare = false): PathArgument | PathError {
  const rest = trimSpaces(text);
  let path: string;
  let tail: string;
  if (rest.startsWith("<")) {
    const end = closingBracket(rest);
    if (end < 0) return "syntax";
    path = trimSpaces(rest.slice(1, end));
    tail = rest.slice(end + 1);
  } else {
    const end = unquotedSpace(rest);
    path = rest.slice(0, end);
    tail = rest.slice(end);
    if (path === "") return "syntax";
  }

  const parameters: { keyword: string; value: string | undefined }[] = [];
  for (const word of tail === "" ? NO_WORDS : tail.split(" ")) {
    if (word === "") continue;
    // deno-lint-ignore no-control-regex -- RFC 5321 §4.1.2: esmtp-value has none
    const match = /^([A-Za-z0-9][A-Za-z0-9-]*)(?:=([^=\s\x00-\x1f\x7f]+))?$/.exec(word);
    // xtext values (AUTH=) hold no `=`; RFC 5321 §4.1.2 esmtp-value has none either.
    if (match === null) return "syntax";
    parameters.push({ keyword: match[1]!.toUpperCase(), value: match[2] });
  }

  if (path === "") return { mailbox: undefined, parameters };
  if (octets(path) > MAX_PATH - 2) return "tooLong";
  const mailbox = parseMailbox(withoutSourceRoute(path), bare);
  return typeof mailbox === "string" ? mailbox : { mailbox, parameters };
}

/** Octets of the text in UTF-8. */
function octets(text: string): number {
  return Buffer.byteLength(text, "utf8");
}

/** Index of the `>` that ends a path; one inside a quoted string does not. */
function closingBracket(text: string): number {
  let quoted = false;
  for (let i = 1; i < text.length; i++) {
    const c = text[i];
    if (c === "\\" && quoted) i++;
    else if (c === '"') quoted = !quoted;
    else if (c === ">" && !quoted) return i;
  }
  return -1;
}

function unquotedSpace(text: string): number {
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (c === "\\" && quoted) i++;
    else if (c === '"') quoted = !quoted;
    else if (c === " " && !quoted) return i;
  }
  return text.length;
}

function withoutSourceRoute(path: string): string {
  if (!path.startsWith("@")) return path;
  const colon = path.indexOf(":");
  return colon < 0 ? path : path.slice(colon + 1);
}

// RFC 5321 §4.1.2 Dot-string and RFC 6531 §3.3: any non-ASCII character counts as atext.
const DOT_STRING =
  /^[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~\u0080-\u{10ffff}]+(?:\.[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~\u0080-\u{10ffff}]+)*$/u;
const QUOTED_STRING = /^"(?:[\x20\x21\x23-\x5b\x5d-\x7e\u0080-\u{10ffff}]|\\[\x20-\x7e])*"$/u;
// Underscores are not allowed in host names, but names with them are in use.
const DOMAIN =
  /^[A-Za-z0-9_\u0080-\u{10ffff}](?:[A-Za-z0-9_\-\u0080-\u{10ffff}]*[A-Za-z0-9_\u0080-\u{10ffff}])?(?:\.[A-Za-z0-9_\u0080-\u{10ffff}](?:[A-Za-z0-9_\-\u0080-\u{10ffff}]*[A-Za-z0-9_\u0080-\u{10ffff}])?)*$/u;
/**
 * Not allowed in addresses, though RFC 6531 §3.3 counts them as atext: invisible and unassigned
 * characters (RFC 8264 §8, §9). The ASCII space is for quoted strings.
 */
const INVISIBLE = /(?! )[\p{C}\p{Z}]/u;

/** RFC 5321 §4.1.3: `[192.0.2.1]` or `[IPv6:2001:db8::1]`; no other kind is registered. */
function isAddressLiteral(domain: string): boolean {
  const [, ipv6] = /^\[IPv6:([\da-f:.]{2,45})\]$/i.exec(domain) ?? [];
  if (ipv6 !== undefined) return URL.canParse(`http://[${ipv6}]/`);
  const [, ...octets] = /^\[(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\]$/.exec(domain) ?? [];
  return octets.length === 4 && octets.every((octet) => Number(octet) <= 255);
}

function parseMailbox(text: string, bare: boolean): Mailbox | PathError {
  if (/^postmaster$/i.test(text)) return { address: text, domain: "" };
  const at = text.lastIndexOf("@");
  if (bare && at < 0 && octets(text) <= MAX_LOCAL_PART && DOT_STRING.test(text)) {
    return INVISIBLE.test(text) ? "address" : { address: text, domain: "" };
  }
  if (at < 1 || at === text.length - 1) return "address";
  const localPart = text.slice(0, at);
  // The trailing dot of DNS's root is not part of a mail domain (RFC 5321 §2.3.5).
  const domain = text.slice(at + 1).replace(/\.$/, "");
  if (octets(localPart) > MAX_LOCAL_PART || octets(domain) > MAX_DOMAIN) return "tooLong";
  if (octets(text) !== text.length && INVISIBLE.test(text)) return "address";
  if (!DOT_STRING.test(localPart) && !QUOTED_STRING.test(localPart)) return "address";
  if (!DOMAIN.test(domain) && !isAddressLiteral(domain)) return "address";
  return { address: text.endsWith(".") ? `${localPart}@${domain}` : text, domain };
}
