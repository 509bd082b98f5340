// Queued delivery: the client gets its 250 as soon as its message is on stable storage.

import type { Authorization } from "../accounts/account.ts";
import type { Attempt, Delivery, NotSent, Outcome, Submission } from "../delivery/delivery.ts";
import { lengthOf } from "../smtp/content.ts";
import { reply } from "../smtp/reply.ts";
import { accountName, mailboxName } from "./names.ts";
import { sealRecord, type StoredCredential } from "./record.ts";
import type { QueueRoom } from "./queue_room.ts";
import type { Sealer } from "./sealing.ts";
import { type QueueStore, StoreError } from "./store.ts";

export interface QueueDeliveryOptions {
  readonly store: Pick<QueueStore, "add">;
  readonly sealer: Sealer;
  readonly room: QueueRoom;
  /** For logins that cannot be stored: a client's own token ends before a queue can rely on it. */
  readonly direct: Delivery;
  /** What can log in again for a login; undefined if nothing can. */
  credentialOf(authorization: Authorization): StoredCredential | undefined;
  /** Called after each message that is queued, with its mailbox as in the store. */
  added(mailbox: string): void;
}

export class QueueDelivery implements Delivery {
  readonly #options: QueueDeliveryOptions;

  constructor(options: QueueDeliveryOptions) {
    this.#options = options;
  }

  async deliver(submission: Submission, attempt: Attempt): Promise<Outcome> {
    const { direct, sealer, credentialOf, room, added } = this.#options;
    const credential = credentialOf(attempt.authorization);
    if (credential === undefined) return await direct.deliver(submission, attempt);
    const account = accountName(sealer, submission.account);
    const mailbox = mailboxName(sealer, submission.account, submission.envelope.from);
    const admitted = await room.admit(lengthOf(submission.content), account);
    if (typeof admitted !== "function") return admitted;
    try {
      const stored = attempt.steps?.begin("store");
      await this.#add(submission, account, mailbox, credential);
      stored?.();
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      return notStored(error);
    } finally {
      admitted();
    }
    added(mailbox);
    return { type: "queued", reply: reply(250, "2.0.0", `OK: queued as ${submission.id}`) };
  }

  /** @param owner the account's name, as in the store */
  #add(
    submission: Submission,
    owner: string,
    mailbox: string,
    credential: StoredCredential,
  ): Promise<void> {
    const { store, sealer } = this.#options;
    const { id, account, username, envelope, messageId, content, facts } = submission;
    const { client, connection, receivedAt } = submission;
    const record = sealRecord(sealer, id, {
      kind: "message",
      account,
      username,
      envelope,
      ...(messageId === undefined ? {} : { messageId }),
      facts,
      client,
      connection,
      credential,
    });
    return store.add({
      id,
      receivedAt,
      size: lengthOf(content),
      mailbox,
      account: owner,
      connection: sealer.hash("connection", connection),
      record,
      sealedSize: sealer.sealedSize(content),
      content: () => sealer.sealContent(content, `content ${id}`),
    });
  }
}

function notStored({ code, message, full }: StoreError): NotSent {
  const text = full
    ? `${code}: the queue has no room now; try again later`
    : `${code}: the queue cannot store the message now; try again later`;
  return {
    type: "later",
    reply: full ? reply(452, "4.3.1", text) : reply(451, "4.3.0", text),
    ambiguous: false,
    code,
    detail: message,
  };
}
