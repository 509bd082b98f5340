// Direct delivery: the client gets its 250 only after the mail service has taken the message.

import type { Account } from "../accounts/accounts.ts";
import { type MessageLimits, type Prepared, prepareMessage } from "../message/prepare.ts";
import { printable, reply, replyText } from "../smtp/reply.ts";
import { Duplicates } from "./duplicates.ts";
import {
  type Backend,
  madeRoom,
  type NotSent,
  type OnWait,
  type Outcome,
  type SentBefore,
  type Submission,
} from "./outcome.ts";

export interface DeliveryOptions {
  readonly backend: Backend;
  /** Our name in the Received field. */
  readonly hostname: string;
  /** Quoted-printable leaf parts become base64. */
  readonly reencodeQuotedPrintable: boolean;
  /** What a message may be like; the defaults of the settings when left out. */
  readonly limits?: MessageLimits;
  /** Milliseconds that a sent message is remembered whose client was gone before its reply. */
  readonly duplicateWindow: number | "off";
}

/** Characters of an address that a reply and the log quote at most. */
const MAX_SHOWN = 256;

interface UnderWay {
  /** When it began, among all deliveries. */
  readonly order: number;
  readonly outcome: Promise<Outcome | SentBefore>;
}

export class DirectDelivery {
  readonly #options: DeliveryOptions;
  readonly #duplicates: Duplicates | undefined;
  readonly #underWay = new Map<Submission, UnderWay>();
  #begun = 0;

  constructor(options: DeliveryOptions) {
    this.#options = options;
    const { duplicateWindow: window } = options;
    this.#duplicates = window === "off" ? undefined : new Duplicates({ window });
  }

  /** Prepares the message and hands it to the backend, unless it is known to have been sent before. */
  async deliver(submission: Submission, onWait?: OnWait): Promise<Outcome | SentBefore> {
    const order = ++this.#begun;
    const outcome = this.#deliver(submission, order, onWait);
    this.#underWay.set(submission, { order, outcome });
    try {
      return await outcome;
    } finally {
      this.#underWay.delete(submission);
    }
  }

  /**
   * The client has gone, or has ended its side, while its message was being delivered. That goes on; but
   * when a client that was gone comes again with the same message, it is not sent again.
   *
   * @param gone whether the reply did not reach the client
   */
  abandon(submission: Submission, gone: Promise<boolean>): void {
    const underWay = this.#underWay.get(submission);
    if (underWay === undefined) return;
    this.#duplicates?.abandon(submission, underWay.order, underWay.outcome, gone);
  }

  /** The client was there to read that this message had been sent before. */
  answered(submission: Submission): void {
    this.#duplicates?.answered(submission);
  }

  async #deliver(
    submission: Submission,
    order: number,
    onWait?: OnWait,
  ): Promise<Outcome | SentBefore> {
    // Deliveries of the same message that began before this one may be sending it yet.
    for (;;) {
      const before = this.#duplicates?.sentBefore(submission, order);
      if (before === undefined) return await this.#send(submission, onWait);
      // An account that may not send this must not learn that it was sent.
      const refusal = this.#refusal(submission);
      if (refusal !== undefined) return refusal;
      const id = typeof before === "string" ? before : await unlessEnded(before, onWait);
      if (id === ENDED) return madeRoom();
      if (id !== undefined) return sentBefore(id);
    }
  }

  async #send(submission: Submission, onWait?: OnWait): Promise<Outcome> {
    const message = this.#prepare(submission);
    if ("type" in message) return message;
    const { sender, content } = message;
    const outcome = await this.#options.backend.send(submission, sender, content, onWait);
    return sender === submission.envelope.from ? outcome : { ...outcome, mailbox: sender };
  }

  /** The message is not kept: it may have to wait for another delivery. */
  #refusal(submission: Submission): NotSent | undefined {
    const message = this.#prepare(submission);
    return "type" in message ? message : undefined;
  }

  /** The message as it is to be sent, or why the account may not send it. */
  #prepare(submission: Submission): Pick<Prepared, "sender" | "content"> | NotSent {
    const { hostname, reencodeQuotedPrintable, limits } = this.#options;
    const { account, envelope, content, facts, client, id, receivedAt } = submission;
    const trace = { ...facts, address: client, hostname, id, at: receivedAt };
    const message = prepareMessage(content, envelope, {
      trace,
      account: { ...account, restricted: account.refusesSender !== undefined },
      reencodeQuotedPrintable,
      ...(limits === undefined ? {} : { limits }),
    });
    if (message.type === "unusable") {
      const { type: _, ...why } = message;
      return { ...why, type: "refused", ambiguous: false };
    }
    const { sender, content: prepared } = message;
    return notAllowed(account, message) ?? { sender, content: prepared };
  }
}

/**
 * The mailbox that would send, or somebody whom From or Sender would name, that the account may not
 * send as. MAIL has been checked already; but what a reader sees is in the header.
 */
function notAllowed(account: Account, { sender, named }: Prepared): NotSent | undefined {
  if (account.refusesSender === undefined) return undefined;
  for (const { text, certain } of [{ text: sender, certain: true }, ...named()]) {
    // No list has what is no certain address: "" is none.
    const refusal = account.refusesSender(certain ? text : "");
    if (refusal === undefined) continue;
    const shown = printable(text.slice(0, MAX_SHOWN));
    const words = replyText(refusal);
    const detail = certain
      ? `${shown} may not send: ${words.replace(/^Sender not allowed: /, "")}`
      : `From or Sender cannot be read for certain: ${shown}; ${words}`;
    return {
      type: "refused",
      reply: reply(550, "5.7.1", `${words} (${shown})`),
      ambiguous: false,
      code: "SENDER_NOT_ALLOWED",
      detail,
    };
  }
  return undefined;
}

const ENDED = Symbol("ended");

/**
 * Waits for another delivery. That may wait for minutes for its own turn, and any number for it: each of
 * these waits can be ended too.
 */
async function unlessEnded<T>(awaited: Promise<T>, onWait?: OnWait): Promise<T | typeof ENDED> {
  if (onWait === undefined) return await awaited;
  const { promise: ended, resolve } = Promise.withResolvers<typeof ENDED>();
  onWait(() => resolve(ENDED));
  try {
    return await Promise.race([awaited, ended]);
  } finally {
    onWait(undefined);
  }
}

function sentBefore(id: string): SentBefore {
  return { type: "sentBefore", reply: reply(250, "2.0.0", `OK id=${id}`), id };
}
