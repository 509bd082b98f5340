// Decides which parts of an SMTP dialogue may be shown. A secret is not always after AUTH: a client
// that does not wait for the reply to AUTH sends its SASL responses as commands.

import { parseCommand, trimSpaces } from "./command_line.ts";
import { type Content, lengthOf } from "./content.ts";
import { utf8 } from "./envelope.ts";
import type { LineTooLong } from "./line_reader.ts";
import type { Reply } from "./reply.ts";

/** Observes the dialogue of one session, in order. */
export interface SessionObserver {
  /** @param shown the command, as far as it may be shown, or in brackets what the client did */
  command(shown: string): void;
  /** @param text all lines as they are sent, each with its CRLF */
  reply(text: string): void;
}

/** The verbs whose arguments hold no secret. */
const SHOWN = new Set(
  "EHLO HELO STARTTLS MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT".split(" "),
);
/** The mechanisms: any other word after AUTH may be a secret. */
const MECHANISM = /^(?:PLAIN|LOGIN|XOAUTH2|OAUTHBEARER|CRAM-MD5|DIGEST-MD5|NTLM|GSSAPI|EXTERNAL)$/i;

/** A command line as it may be shown: the mechanism of AUTH, the length of an unknown command. */
export function shownCommand(line: string | LineTooLong): string {
  if (typeof line !== "string") return `(a line of more than ${line.limit} octets)`;
  const command = parseCommand(line);
  if ("verb" in command) {
    const { verb, argument } = command;
    if (SHOWN.has(verb)) return utf8(trimSpaces(line)) ?? line;
    if (verb === "AUTH") {
      const [mechanism = "", ...more] = argument.split(" ");
      if (!MECHANISM.test(mechanism)) return argument === "" ? "AUTH" : "AUTH (left out)";
      return `AUTH ${mechanism}${more.length > 0 ? " (left out)" : ""}`;
    }
  }
  return `(${line.length} octets that are no command)`;
}

/** The content after DATA. */
export function shownContent(content: Content | Reply): string {
  return "code" in content ? "(the message)" : `(the message: ${lengthOf(content)} octets)`;
}
