// What a server asks of the rest of the relay, and what it tells it.

import type { Content } from "../smtp/content.ts";
import type { Reply } from "../smtp/reply.ts";
import type { Credentials } from "../smtp/sasl.ts";
import type { SenderCheck } from "../smtp/session.ts";
import type { Envelope, Refusal, SessionFacts } from "../smtp/effects.ts";

/** The settings whose limits are kept here. */
export type LimitSetting =
  | "MAX_CONNECTIONS"
  | "MAX_CONNECTIONS_PER_IP"
  | "MAX_ERRORS"
  | "MAX_IDLE_COMMANDS"
  | "COMMAND_TIMEOUT"
  | "DATA_TIMEOUT"
  | "MIN_DATA_RATE";

/** Who is at the other end of a connection. */
export interface Client {
  /** Short random name of the connection, for the logs. */
  readonly connection: string;
  /** IP address; IPv4 always as `a.b.c.d`. */
  readonly address: string;
  readonly port: number;
  /** Address of the proxy that has told of this client, if one has. */
  readonly proxy?: string;
}

/** Why a connection was ended because of a PROXY header. */
export interface ProxyRefusal {
  /**
   * `missing`: none, or a broken one, came from where it must come first; `foreign`: one came from
   * elsewhere; `second`: another one came behind the first.
   */
  readonly reason: "missing" | "foreign" | "second";
  readonly detail: string;
}

/** A message as it was received, with its envelope. */
export interface Message {
  readonly envelope: Envelope;
  /** Octets that whoever submits it may discard once it has a verdict. */
  readonly content: Content;
  readonly facts: SessionFacts;
  readonly client: Client;
}

/** Whose connections and messages count together, for the shares of places and memory. */
export interface Owner {
  readonly key: string;
  /** Whether the mail service has taken a message of the account: what anybody can register has not. */
  readonly known: boolean;
}

/** The answer to AUTH: an account comes with a 2yz reply only. */
export interface Login<Account> {
  readonly reply: Reply;
  readonly account?: Account;
  /** Comes with the account; left out, it has no share that others could want. */
  readonly owner?: Owner;
  /** What MAIL is refused with, for each reverse-path, the null one too. */
  readonly checkSender?: SenderCheck;
  /**
   * False where nobody has verified the credentials yet (a token that the client brought): the first
   * message that gets its 250 does. Till then limits on strangers should go on. Left out, it is proved.
   */
  readonly proved?: boolean;
  /** The account's own address takes the reverse-path's place: one without a domain will do. */
  readonly anySender?: boolean;
}

/** Clients that need not log in themselves. */
export interface TrustedClients<Account> {
  has(client: Client): boolean;
  /** The account that they send as; where there is none, the reply is MAIL's. */
  logIn(client: Client): Promise<Login<Account>>;
}

export interface ConnectionSummary {
  readonly client: Client;
  readonly secure: boolean;
  /** The connection ended inside a TLS handshake. */
  readonly handshakeFailed: boolean;
  /** The client took the port for one of the other kind: began with TLS, in plain text, or waited. */
  readonly wrongPort?: "tls" | "plain" | "silent" | undefined;
  /** Octets, after decryption. */
  readonly received: number;
  /** Messages taken to a verdict. */
  readonly messages: number;
  readonly milliseconds: number;
  readonly reason: string;
  /** The connection broke or ran out of time, rather than ended. */
  readonly error: boolean;
}

/**
 * Is called when a message begins to wait for its turn, with a function that ends the wait: nothing has
 * been sent then, and the client is told to try again. Called with undefined when the wait is over.
 */
export type OnWait = (end: (() => void) | undefined) => void;

export interface Handlers<Account> {
  authenticate(credentials: Credentials, client: Client): Promise<Login<Account>>;
  /** Left out where nobody is trusted. */
  readonly trusted?: TrustedClients<Account> | undefined;
  submit(account: Account, message: Message, onWait?: OnWait): Promise<Reply>;
  /**
   * The client has gone, or has ended its side, while this message was being submitted; that goes on.
   * Called at most once for a message, before its `submit` has settled.
   *
   * @param gone whether the reply did not reach the client: one that has only ended its side reads on
   */
  abandoned?(message: Message, gone: Promise<boolean>): void;
  /** The client was there for the reply to a message that was not {@link abandoned}. */
  answered?(message: Message): void;
  /** The session has turned a login or a message away by itself. */
  refused?(refusal: Refusal, client: Client, account: Account | undefined): void;
  /** The connection is ended without a word, because of a PROXY header that is there or is not. */
  proxyRefused?(refusal: ProxyRefusal, client: Client): void;
  /** Clients cannot connect for the moment; told once until one can again. */
  notAccepted?(error: Error): void;
  /**
   * Somebody was ended or turned away because of a limit.
   *
   * @param setting that holds it
   * @param what became of it, for the log
   */
  limited?(setting: LimitSetting, client: Client, what: string): void;
  /** A bug: the connection got a 421. */
  failed(error: unknown, client: Client): void;
  /** The connection is closed, and no message of it is being submitted any more. */
  ended(summary: ConnectionSummary): void;
}
