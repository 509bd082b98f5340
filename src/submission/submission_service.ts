// The interface between the SMTP server and the rest of the relay.

import type { Account, Authorization } from "../accounts/account.ts";
import type { WaitingClient } from "../delivery/delivery.ts";
import type { TlsFacts } from "../runtime/runtime.ts";
import type { Content } from "../smtp/content.ts";
import type { Envelope, Refusal, SessionFacts } from "../smtp/effects.ts";
import type { Reply } from "../smtp/reply.ts";
import type { Credentials } from "../smtp/sasl.ts";
import type { SenderCheck } from "../smtp/session.ts";

export interface SubmissionService {
  /** @param credentials `trusted` for a client of TRUSTED_NETWORKS, which has not logged in itself */
  authenticate(credentials: Credentials | "trusted", client: Client): Promise<Login>;
  /**
   * Submits a message, and returns its final reply. The content may be discarded then.
   *
   * @param waiting the client that waits for the reply
   */
  submit(principal: Principal, message: ReceivedMessage, waiting: WaitingClient): Promise<Reply>;
  /** The session itself has refused a login or a message. */
  refused(refusal: Refusal, client: Client, principal: Principal | undefined): void;
}

/** The client of a connection. */
export interface Client {
  /** A short random name of the connection, for the log. */
  readonly connection: string;
  /** IP address; IPv4 always as `a.b.c.d`. */
  readonly address: string;
  readonly port: number;
  /** The address of the proxy that has named this client, if any. */
  readonly proxy?: string;
  /** Once its connection is encrypted. */
  readonly tls?: TlsFacts;
}

/** The result of AUTH, or of the first MAIL of a trusted client. */
export interface Login {
  readonly reply: Reply;
  /** Comes with a 2yz reply only. */
  readonly principal?: Principal;
}

/** The account that a connection has logged in to. */
export interface Principal {
  readonly account: Account;
  readonly authorization: Authorization;
  /** The username of the login, as it may be shown. */
  readonly username: string;
  /** Whose shares of connections and memory it uses. */
  readonly owner: Owner;
  /** Returns the reply that refuses a reverse-path in MAIL, also for the null one. */
  readonly checkSender: SenderCheck;
}

/** The account whose connections and messages count together for its shares. */
export interface Owner {
  readonly key: string;
  /** Whether the mail service has accepted a message from the account. */
  readonly known: boolean;
}

/** A message as it was received, with its envelope. */
export interface ReceivedMessage {
  readonly envelope: Envelope;
  readonly content: Content;
  readonly facts: SessionFacts;
  readonly client: Client;
  /** Milliseconds from the first octets of its content to the last. */
  readonly receiving: number;
}
