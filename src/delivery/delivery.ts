// The interfaces from a submission to its outcome. A delivery is a decorator around another one, down to
// a back end: duplicate filter, sender policy, back end; later a queue.

import type { Account, Authorization } from "../accounts/account.ts";
import type { BackendName } from "../backend_name.ts";
import type { SettingName } from "../settings/schema.ts";
import type { Content } from "../smtp/content.ts";
import type { Envelope, SessionFacts } from "../smtp/effects.ts";
import type { Reply } from "../smtp/reply.ts";
import type { Steps } from "./steps.ts";

/** A message that an account has submitted. Plain data, apart from the octets of its content. */
export interface Submission {
  /** Names the message in the reply and in every log line about it. */
  readonly id: string;
  readonly account: Account;
  /** The username that its client has logged in with, as it may be shown. */
  readonly username: string;
  readonly envelope: Envelope;
  /** With its angle brackets: its own, or the one that it gets. Left out if it has one that cannot be searched for. */
  readonly messageId?: string;
  /** As the client sent it. */
  readonly content: Content;
  readonly facts: SessionFacts;
  /** The client's IP address. */
  readonly client: string;
  /** The name of its connection. */
  readonly connection: string;
  /** Milliseconds of Unix time. */
  readonly receivedAt: number;
}

/** The live side of one delivery of a submission. */
export interface Attempt {
  readonly authorization: Authorization;
  /** Left out if no client waits for the reply. */
  readonly client?: WaitingClient;
  /** Left out if nothing has to be done before the message is sent. */
  readonly beforeSending?: BeforeSending;
  /**
   * False: a delivery whose service asks to wait ends with its `retryAfter`, and is tried again later.
   * Left out: it waits as long as the settings allow.
   */
  readonly mayWait?: boolean;
  /**
   * Whether the message may be sent to some of its recipients only: the sender then learns about the others in
   * another way than by the reply. Left out: to all recipients, or to no recipient, as far as the service has that choice.
   */
  readonly mayBePartial?: boolean;
  /** Where the delivery notes what takes time. Left out if that is not asked for. */
  readonly steps?: Steps;
}

/**
 * Awaited by a back end right before each request that may send the message, so also before each repeat
 * (see `reasonNotToSend`). The time that it takes is part of the delivery's time.
 *
 * @returns false if the message must not be sent, because another relay has taken it
 * @throws if the sending cannot be recorded (as a rejection): the message must not be sent then either
 */
export type BeforeSending = (progress: SendingProgress) => Promise<boolean>;

/**
 * What finds the message in the mail service after a request whose result is unknown (see `SentLookup`). Plain
 * data that survives JSON.
 */
export interface SendingProgress {
  /** That the message is sent from. */
  readonly mailbox: string;
  /** As the message has it when it is sent. Left out if the service cannot be asked for it. */
  readonly messageId?: string;
  /** The service's id of the draft that the request sends, which stays the same once it is sent. */
  readonly draft?: string;
  /** The back end that sends it. Left out for Graph, the only one that can be asked. */
  readonly backend?: BackendName;
}

/** A client that waits for the reply to its message. */
export interface WaitingClient {
  /**
   * Aborted when others need the connection or the memory. A delivery that still waits for its turn ends
   * then; a request that was begun goes on.
   */
  readonly signal: AbortSignal;
  /** Called when the delivery begins to wait for its turn, and when that wait is over. */
  waiting(isWaiting: boolean): void;
  /** Resolves when the client has gone, or has ended its side of the connection, before the reply. */
  readonly left: Promise<void>;
  /**
   * Whether the reply reached the client. Resolves after the outcome, and always if the client has
   * `left`; never if it is not known.
   */
  readonly replied: Promise<boolean>;
}

export interface Delivery {
  deliver(submission: Submission, attempt: Attempt): Promise<Outcome>;
}

/** A way to send mail: a mail service, or a choice among several. */
export interface Backend extends Delivery {
  readonly id: string;
  /**
   * Why the service would certainly not accept the message, found without asking it and in little time;
   * undefined if that cannot be said.
   */
  refusal?(submission: Submission): NotSent | undefined;
}

/** The result of a submission, with the reply for the client. */
export type Outcome = ServiceOutcome | AlreadySent | Queued;

/** The result from a mail service. */
export type ServiceOutcome = Sent | NotSent;

export interface Sent {
  readonly type: "sent";
  readonly reply: Reply;
  /** The service's own id of the request, if it gave one. */
  readonly requestId?: string;
  /** How often the request that sends was tried; left out for once. */
  readonly attempts?: number;
  /** The mailbox that the service was asked to send from, if it is not the reverse-path. */
  readonly mailbox?: string;
  /** The back end that has sent it. Left out for Graph. */
  readonly backend?: BackendName;
  /** Recipients for whom the service has not accepted it. Only if the attempt `mayBePartial`. */
  readonly refused?: readonly RefusedRecipient[];
}

/** A recipient whom the mail service has refused. */
export interface RefusedRecipient {
  /** As in the envelope. */
  readonly recipient: string;
  /** 4yz or 5yz. */
  readonly reply: Reply;
}

/** The same message was sent before, and its client was gone before the reply. */
export interface AlreadySent {
  readonly type: "alreadySent";
  readonly reply: Reply;
  /** Of the submission that was sent. */
  readonly id: string;
}

/** The message is on stable storage, and will be sent. */
export interface Queued {
  readonly type: "queued";
  readonly reply: Reply;
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
  /** Milliseconds that the service asks to wait before it is asked for this mailbox again. */
  readonly retryAfter?: number;
  /** The setting whose limit the message exceeds, if that is the reason. */
  readonly limit?: SettingName;
  /** The back end that has not sent it. Left out for Graph, and if none was asked. */
  readonly backend?: BackendName;
  /** Whether the service itself may be down, and not only this mailbox or message. */
  readonly outage?: boolean;
  /** Whether the service has refused the app's login for this mailbox. Then no way out may send that checks no app. */
  readonly denied?: boolean;
}
