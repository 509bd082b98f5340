// What a session asks of the owner of its connection.

import type { Content } from "./content.ts";
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
}

export type Effect =
  | { readonly type: "reply"; readonly text: string }
  /** Begin TLS after the replies before this have left; then call {@link Session.tlsStarted}. */
  | { readonly type: "startTls" }
  | { readonly type: "authenticate"; readonly credentials: Credentials }
  | {
    readonly type: "submit";
    readonly envelope: Envelope;
    readonly content: Content;
    readonly facts: SessionFacts;
  }
  /** End the connection after the replies before this have left. */
  | { readonly type: "close"; readonly reason: string };
