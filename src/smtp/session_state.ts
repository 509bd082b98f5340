// The states of a session, each with the data that it needs, and what a session knows of its client.

import type { SenderCheck } from "./options.ts";
import type { ChunkReceiver, DataReceiver } from "./receivers.ts";
import type { Reply } from "./reply.ts";
import type { SaslExchange } from "./sasl.ts";
import type { Transaction } from "./transaction.ts";

/** The stages on the way to a login, in order. */
export const enum Stage {
  Greeted,
  Hello,
  StartTls,
  Secure,
  SecureHello,
  Auth,
}

/** What comes next. */
export type State =
  /** A command line. */
  | { readonly mode: "command" }
  /** A SASL response (RFC 4954 §4). */
  | { readonly mode: "sasl"; readonly exchange: SaslExchange }
  /** Content up to CRLF "." CRLF (RFC 5321 §4.1.1.4). */
  | { readonly mode: "data"; readonly receiver: DataReceiver; readonly transaction: Transaction }
  /** The octets of a chunk (RFC 3030 §2). */
  | { readonly mode: "chunk"; readonly chunk: ChunkReceiver }
  /** An answer of the session's owner. */
  | { readonly mode: "busy"; readonly awaited: Awaited }
  /** The end of a TLS handshake (RFC 3207). */
  | { readonly mode: "tls" }
  | { readonly mode: "closed" };

/** The effect whose answer a session waits for. */
export type Awaited =
  | {
    readonly effect: "authenticate";
    /** What the mechanism says before a 535 (RFC 7628 §3.2.2). */
    readonly errorChallenge: Reply | undefined;
  }
  /** With the argument of the MAIL that is answered after it. */
  | { readonly effect: "authenticateTrusted"; readonly mail: string }
  | { readonly effect: "submit" };

export const COMMAND: State = { mode: "command" };
export const SUBMITTING: State = { mode: "busy", awaited: { effect: "submit" } };
export const HANDSHAKE: State = { mode: "tls" };
export const CLOSED: State = { mode: "closed" };

export type Login =
  | {
    readonly authenticated: false;
    /** A login was refused, or could not be checked. */
    readonly failed: boolean;
  }
  | {
    readonly authenticated: true;
    /** Whether the account is that of the trusted networks. */
    readonly trusted: boolean;
    readonly checkSender: SenderCheck | undefined;
    /** Whether the account's own address replaces the reverse-path. */
    readonly anySender: boolean;
  };

const NO_LOGIN: Login = { authenticated: false, failed: false };
export const FAILED_LOGIN: Login = { authenticated: false, failed: true };

/** Facts about the client from its commands. TLS begins with a new object (RFC 3207 §4.2). */
export class ClientState {
  /** The argument of EHLO or HELO. */
  helo: string | undefined;
  /** Whether it was EHLO. */
  esmtp = false;
  login: Login = NO_LOGIN;
  transaction: Transaction | undefined;
}
