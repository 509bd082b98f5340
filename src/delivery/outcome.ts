// From a submission to what became of it.

import type { Account } from "../accounts/accounts.ts";
import type { LazyContent } from "../message/lazy_piece.ts";
import type { SettingName } from "../settings/schema.ts";
import type { Content } from "../smtp/content.ts";
import { type Reply, reply } from "../smtp/reply.ts";
import type { Envelope, SessionFacts } from "../smtp/effects.ts";

/** A message that an account has handed in. */
export interface Submission {
  /** Names the message in the reply and in every log line about it. */
  readonly id: string;
  readonly account: Account;
  readonly envelope: Envelope;
  readonly content: Content;
  readonly facts: SessionFacts;
  /** The client's IP address. */
  readonly client: string;
  readonly receivedAt: Date;
}

/** What a mail service made of a message; each one carries the reply for the client. */
export type Outcome = Sent | NotSent;

export interface Sent {
  readonly type: "sent";
  readonly reply: Reply;
  /** The service's own name for the request, where it gave one. */
  readonly requestId?: string;
  /** How often the request that sends was tried; left out for once. */
  readonly attempts?: number;
  /** The mailbox that the service was asked to send from, where it is not the reverse-path. */
  readonly mailbox?: string;
}

export interface NotSent {
  /** `later`: the client may try again (4yz). `refused`: it need not (5yz). */
  readonly type: "later" | "refused";
  readonly reply: Reply;
  /** Whether the message may have been sent all the same. */
  readonly ambiguous: boolean;
  /** The service's own error code, or the network's. */
  readonly code: string;
  /** For the log. */
  readonly detail: string;
  readonly requestId?: string;
  readonly attempts?: number;
  readonly mailbox?: string;
  /** The setting whose limit the message is over, where that is why. */
  readonly limit?: SettingName;
}

/** The same message was sent a moment ago, and its client was gone before the reply. */
export interface SentBefore {
  readonly type: "sentBefore";
  readonly reply: Reply;
  /** Of the submission that was sent. */
  readonly id: string;
}

/**
 * Is called when a message begins to wait for its turn, with a function that ends the wait: nothing has
 * been sent then, and the client is told to try again. Called with undefined when the wait is over.
 */
export type OnWait = (end: (() => void) | undefined) => void;

/** What comes of a message whose wait was ended: its account holds more than its share. */
export function madeRoom(): NotSent {
  const detail = "others need the memory or the connection, and this account holds more than its " +
    "share; nothing was sent";
  return {
    type: "later",
    reply: reply(451, "4.3.2", `OVER_SHARE: ${detail}`),
    ambiguous: false,
    code: "OVER_SHARE",
    detail,
  };
}

/** Hands messages to a mail service. */
export interface Backend {
  /** @param message the submission's content as it is to be sent */
  send(
    submission: Submission,
    sender: string,
    message: LazyContent,
    onWait?: OnWait,
  ): Promise<Outcome>;
}
