// What the SMTP server asks of the rest of the relay.

import type { Account, Authorization } from "../accounts/account.ts";
import type { WaitingClient } from "../delivery/delivery.ts";
import type { Content } from "../smtp/content.ts";
import type { Envelope, Refusal, SessionFacts } from "../smtp/effects.ts";
import type { Reply } from "../smtp/reply.ts";
import type { Credentials } from "../smtp/sasl.ts";
import type { SenderCheck } from "../smtp/session.ts";

export interface SubmissionService {
  /** @param credentials `trusted` for a client of TRUSTED_NETWORKS, which has not logged in itself */
  authenticate(credentials: Credentials | "trusted", client: Client): Promise<Login>;
  /**
   * Takes a message to its verdict. Its content may be discarded then.
   *
   * @param waiting the client, which waits for the reply
   */
  submit(principal: Principal, message: ReceivedMessage, waiting: WaitingClient): Promise<Reply>;
  /** The session has refused a login or a message by itself. */
  refused(refusal: Refusal, client: Client, principal: Principal | undefined): void;
}

/** The client of a connection. */
export interface Client {
  /** Short random name of the connection, for the logs. */
  readonly connection: string;
  /** IP address; IPv4 always as `a.b.c.d`. */
  readonly address: string;
  readonly port: number;
  /** Address of the proxy that has named this client, where one has. */
  readonly proxy?: string;
}

/** The answer to AUTH, or to the first MAIL of a trusted client. */
export interface Login {
  readonly reply: Reply;
  /** Comes with a 2yz reply only. */
  readonly principal?: Principal;
}

/** Who a connection has logged in as. */
export interface Principal {
  readonly account: Account;
  readonly authorization: Authorization;
  /** The shares of connections and memory that this account counts for. */
  readonly owner: Owner;
  /** What MAIL is refused with, for each reverse-path, the null one too. */
  readonly checkSender: SenderCheck;
}

/** Whose connections and messages count together, for the shares of connections and memory. */
export interface Owner {
  readonly key: string;
  /** Whether the mail service has accepted a message of the account: anybody can register an app. */
  readonly known: boolean;
}

/** A message as it was received, with its envelope. */
export interface ReceivedMessage {
  readonly envelope: Envelope;
  readonly content: Content;
  readonly facts: SessionFacts;
  readonly client: Client;
}
