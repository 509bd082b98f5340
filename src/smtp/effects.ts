// What a session asks of the owner of its connection.

import type { LimitReached } from "./session_limits.ts";
import type { Secret } from "../secret.ts";
import type { Content } from "./content.ts";
import type { Reply } from "./reply.ts";
import type { Reservation } from "./reservation.ts";
import type { Credentials } from "./sasl.ts";

/** What the sender promised about a message, apart from its content. */
export interface Envelope {
  /** Reverse-path, or "" for the null one (RFC 5321 §4.5.5). */
  readonly from: string;
  /** Forward-paths in the client's order and spelling, at least one; doubles are kept. */
  readonly recipients: readonly string[];
}

/** How the session stood when a message was submitted: what a Received field tells. */
export interface SessionFacts {
  /** The argument of EHLO or HELO; "" when there was none. */
  readonly helo: string;
  readonly esmtp: boolean;
  readonly tls: boolean;
  readonly smtputf8: boolean;
  /** It came without a login, as the account of the trusted networks. Left out otherwise. */
  readonly trusted?: true;
}

/**
 * A login or a message that the session has turned away by itself: nobody else hears of it. Commands
 * in the wrong order are none (503): what they follow from has been told.
 */
export interface Refusal {
  readonly command: "AUTH" | "MAIL" | "RCPT" | "DATA" | "BDAT";
  readonly reply: Reply;
  /** Whether the client had logged in: what strangers do is told less loudly. */
  readonly authenticated: boolean;
  /** AUTH: what was tried, where it is a failed login. */
  readonly tried?: Secret;
  /** MAIL, RCPT: what the client gave it. Never AUTH's: it is secret. */
  readonly argument?: string;
  /** RCPT, DATA, BDAT: the reverse-path of the transaction. */
  readonly from?: string;
  /** The client is trusted, and has not logged in itself. Left out otherwise. */
  readonly trusted?: true;
}

export type Effect =
  | { readonly type: "reply"; readonly text: string }
  /** Begin TLS after the replies before this have left; then call {@link Session.tlsStarted}. */
  | { readonly type: "startTls" }
  | { readonly type: "authenticate"; readonly credentials: Credentials }
  /** Log in with the account of the trusted networks; answered like `authenticate`. */
  | { readonly type: "authenticateTrusted" }
  | {
    readonly type: "submit";
    readonly envelope: Envelope;
    readonly content: Content;
    readonly facts: SessionFacts;
    /** To be released once the message is held no longer, whatever became of it. */
    readonly reservation: Reservation;
  }
  /** Tell of it; its reply is among the replies. */
  | { readonly type: "refused"; readonly refusal: Refusal }
  /** End the connection after the replies before this have left. */
  | {
    readonly type: "close";
    readonly reason: string;
    /** The setting whose limit has ended the session. */
    readonly limit?: LimitReached["setting"];
  };
