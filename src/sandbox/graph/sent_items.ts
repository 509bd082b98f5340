// What the imitated mailboxes keep of sent messages: enough to find a copy, without its content. In memory,
// bounded: the oldest are dropped for new ones.

import { randomUUID } from "node:crypto";
import { newId, newImmutableId } from "./drafts.ts";
import { messageIdIn } from "./mime_rules.ts";

export interface SentCopy {
  readonly id: string;
  readonly immutableId: string;
  readonly mailbox: string;
  /** Exchange makes one if the message has none. */
  readonly internetMessageId: string;
  readonly createdAt: Date;
}

const MAX_COPIES = 10_000;

export class SentItems {
  /** By immutable id, in the order of sending: the first is the oldest. */
  readonly #copies = new Map<string, { readonly copy: SentCopy; hidden: number }>();

  /**
   * @param draft the draft that was sent, if it was one
   * @param hidden requests that do not find the copy yet
   */
  add(
    { mailbox, raw }: { readonly mailbox: string; readonly raw: Uint8Array },
    hidden: number,
    draft?: { readonly immutableId: string; readonly createdAt: Date },
  ): void {
    const copy: SentCopy = {
      id: newId(60),
      immutableId: draft?.immutableId ?? newImmutableId(),
      mailbox: mailbox.toLowerCase(),
      internetMessageId: messageIdIn(raw) ?? `<${randomUUID()}@exchange.invalid>`,
      createdAt: draft?.createdAt ?? new Date(),
    };
    this.#copies.set(copy.immutableId, { copy, hidden });
    for (const [id] of this.#copies) {
      if (this.#copies.size <= MAX_COPIES) break;
      this.#copies.delete(id);
    }
  }

  /** The copies that a request sees. Each call is one request. */
  look(mailbox: string): SentCopy[] {
    const wanted = mailbox.toLowerCase();
    const seen: SentCopy[] = [];
    for (const entry of this.#copies.values()) {
      if (entry.copy.mailbox !== wanted) continue;
      if (entry.hidden > 0) entry.hidden--;
      else seen.push(entry.copy);
    }
    return seen;
  }

  delete({ immutableId }: SentCopy): void {
    this.#copies.delete(immutableId);
  }
}
