// The options of a session, and the reply to EHLO, which announces some of them.

import type { Reply } from "./reply.ts";
import { type Mechanism, STANDARD_MECHANISMS } from "./sasl.ts";

/** The reply that refuses a reverse-path (null: "") in MAIL, or undefined. Does no I/O. */
export type SenderCheck = (from: string) => Reply | undefined;

export interface SessionOptions {
  /** The name in the greeting and in the reply to EHLO. */
  readonly hostname: string;
  /** The text of the greeting (220) after the name. */
  readonly greeting: string;
  /** Octets; announced as SIZE (RFC 1870). */
  readonly maxMessageSize: number;
  /** Recipients of one message; announced as LIMITS RCPTMAX (RFC 9422). */
  readonly maxRecipients: number;
  /** Whether STARTTLS is offered: there is a certificate. */
  readonly offerTls: boolean;
  /** Whether mail and AUTH are refused before TLS. */
  readonly requireTls: boolean;
  /** The mechanisms of AUTH, in the order of EHLO; LOGIN and PLAIN when left out. */
  readonly mechanisms?: readonly Mechanism[];
  /** The reply that refuses an address in RCPT, or undefined. Does no I/O. */
  readonly checkRecipient?: (address: string) => Reply | undefined;
  /** Refused commands that end a session; unlimited when left out. */
  readonly maxErrors?: number;
  /** Commands in a row without progress before a login that end a session; unlimited when left out. */
  readonly maxIdleCommands?: number;
}

/** The reply to EHLO (RFC 5321 §4.1.1.1). @param secure whether the connection is on TLS */
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
