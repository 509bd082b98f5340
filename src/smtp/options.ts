// How a session is set up, and what of it EHLO tells the client.

import type { Reply } from "./reply.ts";
import { type Mechanism, STANDARD_MECHANISMS } from "./sasl.ts";

/** Why MAIL is refused for a reverse-path, "" for the null one; undefined where not. Does no I/O. */
export type SenderCheck = (from: string) => Reply | undefined;

export interface SessionOptions {
  /** The name in the greeting and in the answer to EHLO. */
  readonly hostname: string;
  /** The text of the 220 line behind the name. */
  readonly greeting: string;
  /** Octets; announced as SIZE (RFC 1870). */
  readonly maxMessageSize: number;
  /** Recipients of one message; announced as LIMITS RCPTMAX (RFC 9422). */
  readonly maxRecipients: number;
  /** Whether a certificate is there to start TLS with. */
  readonly offerTls: boolean;
  /** Whether mail and AUTH have to wait for TLS. */
  readonly requireTls: boolean;
  /** The mechanisms of AUTH, in the order of EHLO; PLAIN and LOGIN when left out. */
  readonly mechanisms?: readonly Mechanism[];
  /** What RCPT is refused with for an address; undefined where it is not. Does no I/O. */
  readonly checkRecipient?: (address: string) => Reply | undefined;
  /** Refused commands that end a session; unlimited when left out. */
  readonly maxErrors?: number;
  /** Commands in a row that bring a client no further before its login; unlimited when left out. */
  readonly maxIdleCommands?: number;
}

/** The answer to EHLO (RFC 5321 §4.1.1.1). @param secure whether the connection is on TLS */
export function ehloReply(options: SessionOptions, secure: boolean): Reply {
  const { hostname, maxMessageSize, maxRecipients, offerTls, requireTls } = options;
  const { mechanisms = STANDARD_MECHANISMS } = options;
  const lines = [
    hostname,
    `SIZE ${maxMessageSize}`,
    "8BITMIME",
    "SMTPUTF8",
    "PIPELINING",
    "CHUNKING",
    "ENHANCEDSTATUSCODES",
    `LIMITS RCPTMAX=${maxRecipients}`,
  ];
  if (offerTls && !secure) lines.push("STARTTLS");
  if (secure || !requireTls) lines.push(`AUTH ${mechanisms.join(" ")}`);
  // Last, so that the lines before begin with `250-`: some clients search for `250-STARTTLS`.
  lines.push("HELP");
  return { code: 250, text: lines };
}
