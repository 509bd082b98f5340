// QUEUE_BOUNCE: the non-delivery report about a message that is given up, as a message of the queue.

import { createHash } from "node:crypto";
import { messageIdIn } from "../message/message_id.ts";
import { nonDeliveryReport } from "../message/non_delivery_report.ts";
import { lengthOf } from "../smtp/content.ts";
import type { Content } from "../smtp/content.ts";
import type { Reply } from "../smtp/reply.ts";
import { accountName, mailboxName } from "./names.ts";
import { type QueueRecord, sealRecord } from "./record.ts";
import type { Sealer } from "./sealing.ts";
import type { NewMessage, StoredMessage } from "./store.ts";

export interface GivenUp {
  readonly stored: StoredMessage;
  readonly record: QueueRecord;
  readonly content: Content;
  /** The mailbox that it was to be sent from, if that is not the reverse-path. */
  readonly mailbox?: string | undefined;
  /** Why, as a client would have got it. */
  readonly reply: Reply;
  /** Milliseconds of Unix time. */
  readonly at: number;
}

export class FailureReports {
  readonly #sealer: Sealer;
  readonly #hostname: string;

  /** @param hostname the relay's name */
  constructor(sealer: Sealer, hostname: string) {
    this.#sealer = sealer;
    this.#hostname = hostname;
  }

  /**
   * The report to the message's sender, from the same mailbox and with the same login. Its id comes from the
   * message's, so that a store refuses a second one.
   *
   * @returns undefined if the message must not be answered: see `nonDeliveryReport`
   */
  about(message: GivenUp): NewMessage | undefined {
    const { stored, record, reply, at } = message;
    const { envelope, account } = record;
    if (record.kind === "report" || envelope.from === "") return undefined;
    const mailbox = message.mailbox ?? account.fromEmail ?? envelope.from;
    const content = nonDeliveryReport({
      id: stored.id,
      envelope,
      content: message.content,
      mailbox,
      reply,
      hostname: this.#hostname,
      receivedAt: stored.receivedAt,
      lastAttempt: at,
    });
    if (content === undefined) return undefined;
    const sealer = this.#sealer;
    const id = reportId(stored.id);
    const { messageId: _, ...rest } = record;
    const messageId = messageIdIn(content);
    return {
      id,
      receivedAt: at,
      size: lengthOf(content),
      mailbox: mailboxName(sealer, account, mailbox),
      account: accountName(sealer, account),
      connection: sealer.hash("connection", `report ${id}`),
      record: sealRecord(sealer, id, {
        ...rest,
        kind: "report",
        ...(messageId === undefined ? {} : { messageId }),
        // RFC 3464 §2: a report must not be answered.
        envelope: { from: "", recipients: [envelope.from] },
        // The relay itself has made it.
        facts: { ...record.facts, helo: this.#hostname, esmtp: true, tls: false },
        client: "127.0.0.1",
      }),
      sealedSize: sealer.sealedSize(content),
      content: () => sealer.sealContent(content, `content ${id}`),
    };
  }
}

/** The id of the report about a message. */
export function reportId(id: string): string {
  return createHash("sha256").update(`report ${id}`).digest("hex").slice(0, 16);
}
