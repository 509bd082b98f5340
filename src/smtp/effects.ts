// The effects of a session, which the owner of its connection carries out.

import type { LimitReached } from "./session_limits.ts";
import type { Secret } from "../secret.ts";
import type { Content } from "./content.ts";
import type { Reply } from "./reply.ts";
import type { Reservation } from "./reservation.ts";
import type { Credentials } from "./sasl.ts";

/** The envelope of a message, as the client declared it. */
export interface Envelope {
  /** Reverse-path, or "" for the null one (RFC 5321 §4.5.5). */
  readonly from: string;
  /** Forward-paths in the client's order and spelling, at least one; doubles are kept. */
  readonly recipients: readonly string[];
}

/** The facts about the session for a message's Received field. */
export interface SessionFacts {
  /** The argument of EHLO or HELO; "" when there was none. */
  readonly helo: string;
  readonly esmtp: boolean;
  readonly tls: boolean;
  readonly smtputf8: boolean;
  /** Sent without a login, as the account of the trusted networks. Left out otherwise. */
  readonly trusted?: true;
}

/**
 * A login or a message that the session itself has refused, so that the rest of the relay does not
 * see it. Commands out of order (503) are left out, because they follow from an earlier refusal.
 */
export interface Refusal {
  readonly command: "AUTH" | "MAIL" | "RCPT" | "DATA" | "BDAT";
  readonly reply: Reply;
  /** Whether the client had logged in; otherwise the refusal is logged at a lower level. */
  readonly authenticated: boolean;
  /** AUTH: the credentials, if it is a failed login. */
  readonly tried?: Secret;
  /** MAIL, RCPT: the command's argument. Left out for AUTH, where it is secret. */
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
    /** Release it once the message is no longer in memory, sent or not. */
    readonly reservation: Reservation;
  }
  /** For the log: the reply is among the replies. */
  | { readonly type: "refused"; readonly refusal: Refusal }
  /** End the connection after the replies before this have left. */
  | {
    readonly type: "close";
    readonly reason: string;
    /** The setting whose limit has ended the session. */
    readonly limit?: LimitReached["setting"];
  };
