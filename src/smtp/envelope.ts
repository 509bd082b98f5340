// The arguments of MAIL and RCPT: an address, and parameters.
//
// SIZE (RFC 1870), BODY (RFC 6152), SMTPUTF8 (RFC 6531), AUTH (RFC 4954).

import { Buffer } from "node:buffer";
import { ownText } from "../octets.ts";
import { type Mailbox, parsePathArgument, type PathArgument, type PathError } from "./path.ts";
import { REPLIES, type Reply, reply } from "./reply.ts";

/** The argument of MAIL. */
export interface Sender {
  /** Reverse-path, or "" for the null one (RFC 5321 §4.5.5). */
  readonly from: string;
  readonly smtputf8: boolean;
  /** Octets that the client announces (SIZE); 0 where it does not. */
  readonly size: number;
}

/**
 * @param maxMessageSize octets
 * @param bare whether a name without a domain is accepted, because the account's address replaces it
 */
export function readSender(
  argument: string,
  maxMessageSize: number,
  bare = false,
): Sender | Reply {
  const path = readPath(argument, /^FROM *:/i, "MAIL FROM", "5.1.7", bare);
  if ("code" in path) return path;
  const parameters = checkMailParameters(path.parameters, maxMessageSize);
  if ("code" in parameters) return parameters;
  const { mailbox } = path;
  // `postmaster` alone is a recipient (RFC 5321 §4.5.1), not a sender.
  if (mailbox?.domain === "" && !bare) return pathRefusal("address", "MAIL FROM", "5.1.7");
  const from = mailbox === undefined ? "" : addressFrom(mailbox, argument);
  const { smtputf8, size } = parameters;
  return smtputf8 || isAscii(from) ? { from, smtputf8, size } : needsSmtputf8();
}

/** @param smtputf8 whether MAIL asked for RFC 6531 */
export function readRecipient(argument: string, smtputf8: boolean): string | Reply {
  const path = readPath(argument, /^TO *:/i, "RCPT TO", "5.1.3");
  if ("code" in path) return path;
  if (path.mailbox === undefined) return pathRefusal("address", "RCPT TO", "5.1.3");
  const [parameter] = path.parameters;
  if (parameter !== undefined) {
    return reply(555, "5.5.4", `RCPT parameter ${parameter.keyword} is not supported`);
  }
  const address = addressFrom(path.mailbox, argument);
  return smtputf8 || isAscii(address) ? address : needsSmtputf8();
}

/** Characters of a command that may stay in memory with its address, besides as many as that has. */
const MAX_KEPT = 64;

/** The address: of a long argument, such as one with many spaces, a text of its own. */
function addressFrom({ address }: Mailbox, argument: string): string {
  return argument.length > 2 * address.length + MAX_KEPT ? ownText(address) : address;
}

function readPath(
  argument: string,
  beginning: RegExp,
  command: string,
  enhanced: string,
  bare = false,
): PathArgument | Reply {
  if (!beginning.test(argument)) return pathRefusal("syntax", command, enhanced);
  const text = utf8(argument.slice(argument.indexOf(":") + 1));
  if (text === undefined) return reply(553, "5.6.7", "Address is not valid UTF-8");
  const path = parsePathArgument(text, bare);
  return typeof path === "string" ? pathRefusal(path, command, enhanced) : path;
}

type MailParameters = Pick<Sender, "smtputf8" | "size">;

/** Of most clients. */
const NO_PARAMETERS: MailParameters = { smtputf8: false, size: 0 };

/** Checks the parameters; a refusal names the one at fault. */
function checkMailParameters(
  parameters: PathArgument["parameters"],
  maxMessageSize: number,
): MailParameters | Reply {
  if (parameters.length === 0) return NO_PARAMETERS;
  const seen = new Set<string>();
  let smtputf8 = false;
  let size = 0;
  for (const { keyword, value } of parameters) {
    if (seen.has(keyword)) return reply(501, "5.5.4", `MAIL parameter ${keyword} is given twice`);
    seen.add(keyword);
    switch (keyword) {
      case "SIZE":
        if (value === undefined || !/^\d{1,20}$/.test(value)) {
          return reply(501, "5.5.4", "SIZE needs a number of octets");
        }
        size = Number(value);
        if (size > maxMessageSize) return REPLIES.tooBig;
        break;
      case "BODY":
        if (!/^(?:7BIT|8BITMIME)$/i.test(value ?? "")) {
          return reply(501, "5.5.4", "BODY must be 7BIT or 8BITMIME");
        }
        break;
      case "SMTPUTF8":
        if (value !== undefined) return reply(501, "5.5.4", "SMTPUTF8 takes no value");
        smtputf8 = true;
        break;
      case "AUTH":
        // RFC 4954 §5: who first submitted the message. It is not verified, and Graph has no place for
        // it, so it is ignored.
        if (value === undefined) return reply(501, "5.5.4", "AUTH needs a value");
        break;
      default:
        return reply(555, "5.5.4", `MAIL parameter ${keyword} is not supported`);
    }
  }
  return { smtputf8, size };
}

function pathRefusal(error: PathError, command: string, enhanced: string): Reply {
  switch (error) {
    case "syntax":
      return reply(501, "5.5.4", `Syntax: ${command}:<address>`);
    case "tooLong":
      return reply(501, enhanced, "Address is too long");
    case "address":
      return reply(501, enhanced, `${command} has no valid address`);
  }
}

function needsSmtputf8(): Reply {
  return reply(553, "5.6.7", "A non-ASCII address needs MAIL with SMTPUTF8");
}

function isAscii(text: string): boolean {
  // deno-lint-ignore no-control-regex -- the whole ASCII range is meant
  return /^[\x00-\x7f]*$/.test(text);
}

/** Reads a Latin-1 string's octets as UTF-8; undefined if they are not valid. */
export function utf8(text: string): string | undefined {
  if (isAscii(text)) return text;
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(
      Buffer.from(text, "latin1"),
    );
  } catch {
    return undefined;
  }
}
