// The interface of the SMTP client: what other rooms hand in, and what they learn.

import type { Secret } from "../secret.ts";
import type { Reply } from "../smtp/reply.ts";

export interface MailClient {
  /**
   * Sends one message in one transaction, at most once. Never rejects for what a server or the network
   * does: see {@link SendResult}. Rejects with what `beforeSending` or the content throws.
   */
  send(
    server: MailServer,
    login: Login,
    message: OutgoingMessage,
    options: SendOptions,
  ): Promise<SendResult>;
  /** Connects, starts TLS and logs in on a new connection, then ends it. Sends no message. */
  probe(server: MailServer, login: Login, options: ProbeOptions): Promise<ProbeResult>;
  /**
   * Closes unused connections with QUIT, and the others after their message. Later messages get
   * connections that are closed after them. Resolves when no connection is left.
   */
  close(): Promise<void>;
}

/**
 * `implicit`: TLS from the first octet (RFC 8314 §3.3). `starttls`: demanded, and nothing but EHLO and
 * STARTTLS is sent before it. `loopback`: STARTTLS only where the server offers no suitable AUTH without
 * it; for servers on this machine. Wherever there is TLS, the certificate must be trusted and name the
 * host.
 */
export type TlsMode = "implicit" | "starttls" | "loopback";

/** Connections are used again for messages whose `hostname`, `port`, `tls` and `account` are equal. */
export interface MailServer {
  /** A name, or an IP address without brackets. */
  readonly hostname: string;
  readonly port: number;
  readonly tls: TlsMode;
  /** Names the login. Must differ for different credentials, and contains no secret. */
  readonly account: string;
  readonly limit: ConnectionLimit;
}

export interface ConnectionLimit {
  /** Connections to the server at a time, at least one. */
  readonly connections: number;
  /** Accounts with the same one share them, as those that send as one mailbox; left out, an account has its own. */
  readonly shared?: string;
}

export type Login =
  | { readonly type: "none" }
  /** By PLAIN, or LOGIN where the server does not offer PLAIN. */
  | { readonly type: "password"; readonly username: string; readonly password: Secret }
  /** By XOAUTH2, or OAUTHBEARER (RFC 7628) where the server does not offer XOAUTH2. */
  | { readonly type: "token"; readonly username: string; readonly token: Secret };

export interface OutgoingMessage {
  /** Reverse-path without angle brackets; "" for the null one. */
  readonly from: string;
  /** Forward-paths without angle brackets, at least one. */
  readonly recipients: readonly string[];
  /**
   * The message's octets, without dot-stuffing, with CRLF line ends only: `withCrlf` makes them so. Read
   * once for each try, from the beginning; a piece must stay as it is until the next is asked for. By
   * DATA, a message that does not end in CRLF gets one (RFC 5321 §4.1.1.4).
   */
  readonly content: Iterable<Uint8Array>;
  /** Octets of the content in sum. */
  readonly size: number;
  /** Whether the content has octets over 127: 8BITMIME (RFC 6152) is asked for where it is offered. */
  readonly eightBit: boolean;
  /** Whether an address or the header is in UTF-8: the server must offer SMTPUTF8 (RFC 6531). */
  readonly smtputf8: boolean;
}

export interface SendOptions {
  /** Milliseconds that the message may wait for a connection while all are in use. */
  readonly waitTimeout: number;
  /** Milliseconds for everything after that wait, all tries included. */
  readonly timeout: number;
  /**
   * Whether the reply to the content may take as long as RFC 5321 §4.5.3.2.6 allows, whatever `timeout` says:
   * for callers that no client waits for. Giving up earlier leaves a doubt, and the message may be sent twice.
   */
  readonly awaitsLastReply?: boolean;
  /**
   * What happens when the server refuses some of the recipients. `send`: the others get the message.
   * `stop`: no recipient gets it; the result is `refused` at RCPT with the first refusal.
   */
  readonly partlyRefused: "send" | "stop";
  /**
   * Awaited right before the content is sent, at most once. With false nothing is sent: the result is
   * `failed` with the code `STOPPED`.
   */
  readonly beforeSending?: () => Promise<boolean>;
  /** Ends the sending: `failed` with the code `ABORTED`. */
  readonly signal?: AbortSignal;
  /** Called when the message begins to wait for a connection, and when that wait is over. */
  readonly waiting?: (isWaiting: boolean) => void;
}

export interface ProbeOptions {
  /** Milliseconds in all. */
  readonly timeout: number;
  readonly signal?: AbortSignal;
}

/**
 * Where the conversation ended. The TLS handshake belongs to `STARTTLS`, or to `connect` where TLS is
 * implicit; `DATA` ends with 354; `content` is everything after that, or all of BDAT.
 */
export type Stage =
  | "connect"
  | "greeting"
  | "EHLO"
  | "STARTTLS"
  | "AUTH"
  | "MAIL"
  | "RCPT"
  | "DATA"
  | "content";

export type SendResult = Accepted | Refused | Failed;

/** The server has the message: for the recipients whose reply is 2yz. */
export interface Accepted {
  readonly type: "accepted";
  /** The reply to the content. */
  readonly reply: ServerReply;
  readonly recipients: readonly RecipientReply[];
  readonly conversation: Conversation;
}

/** No recipient gets the message: the server has said so, or cannot take it. */
export interface Refused {
  readonly type: "refused";
  readonly stage: Stage;
  /** With `own` the client's own, in the server's place. */
  readonly reply: ServerReply;
  /**
   * Why the client has refused it unsent: the server does not offer what the message or the login needs.
   * `content`: a stray CR or LF. Left out where the server refused.
   */
  readonly own?: "SIZE" | "SMTPUTF8" | "STARTTLS" | "AUTH" | "content";
  /** What the server says in its challenge about a token, in words. */
  readonly challenge?: string;
  /** The replies to RCPT as far as they came. */
  readonly recipients: readonly RecipientReply[];
  readonly conversation: Conversation;
}

/** The conversation broke off. */
export interface Failed {
  readonly type: "failed";
  readonly stage: Stage;
  /**
   * The network's (`ECONNREFUSED`, `ETIMEDOUT`, …), the certificate's, or `CLOSED`, `MALFORMED` (no SMTP
   * reply), `TOOLONG` (a reply over 64 KiB), `INJECTION` (octets after the reply to STARTTLS),
   * `UNEXPECTED` (a reply that fits no command), `BUSY` (no connection within `waitTimeout`),
   * `STOPPED`, `ABORTED`.
   */
  readonly code: string;
  /** For the log: one line without credentials. */
  readonly message: string;
  /**
   * Whether the server may have taken the message: true exactly if the final dot or the end of BDAT LAST
   * may have left.
   */
  readonly ambiguous: boolean;
  readonly recipients: readonly RecipientReply[];
  readonly conversation: Conversation;
}

export interface RecipientReply {
  /** As it was handed in. */
  readonly recipient: string;
  readonly reply: ServerReply;
}

/** The text is one line of printable ASCII without credentials, at most 500 characters. */
export interface ServerReply extends Reply {
  readonly text: string;
}

/** How the result came about, for log and metrics. */
export interface Conversation {
  /** Connections that were tried: 2 if a kept one had gone, 0 if there was none to be had. */
  readonly connections: number;
  /** Whether the last of them had been used before. */
  readonly reused: boolean;
  /** Whether it was in TLS. */
  readonly tls: boolean;
  /** Octets of content given to the connection, without dot-stuffing. */
  readonly sent: number;
}

export type ProbeResult = Ready | Refused | Failed;

/** The server would take a message after this login. */
export interface Ready {
  readonly type: "ready";
  /** Keywords of the last EHLO in upper case with their parameters, such as `SIZE` and `35882577`. */
  readonly extensions: ReadonlyMap<string, string>;
  /** The mechanism that logged in. */
  readonly mechanism?: string;
  readonly conversation: Conversation;
}
