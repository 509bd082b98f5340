// Reads the messages of a queue for an administrator: what the store says of them, and what is sealed.

import type { Account } from "../accounts/account.ts";
import type { Content } from "../smtp/content.ts";
import { openNote, openRecord, type QueueNote, type QueueRecord } from "./record.ts";
import { type Sealer, SealError } from "./sealing.ts";
import type { MessageState, QueueAdministration, StoredMessage } from "./store.ts";

/** A message with what was sealed about it. */
export interface InspectedMessage {
  readonly stored: StoredMessage;
  readonly record?: QueueRecord;
  readonly note?: QueueNote;
  /** Why record or note are left out. */
  readonly problem?: string;
}

/** A message has to fit all fields that are given. */
export interface MessageFilter {
  readonly states?: ReadonlySet<MessageState>;
  /** In milliseconds of Unix time. */
  readonly receivedBefore?: number;
  /** A message whose record cannot be opened does not fit. */
  account?(account: Account): boolean;
}

/** What was sealed cannot be opened, or there is no key. */
export class UnreadableError extends Error {
  override readonly name = "UnreadableError";
}

/** Messages that are read from the store at once. One of 500 recipients has a record of 130 KB. */
const PAGE = 20;

export class QueueInspection {
  readonly #administration: QueueAdministration;
  readonly #sealer: Sealer | undefined;
  readonly #problems = new Map<string, number>();

  /** @param sealer undefined without a key: then only what the store says of messages can be read */
  constructor(administration: QueueAdministration, sealer: Sealer | undefined) {
    this.#administration = administration;
    this.#sealer = sealer;
  }

  /** How many messages could not be opened so far, by reason. */
  get problems(): ReadonlyMap<string, number> {
    return this.#problems;
  }

  /**
   * The messages that fit, in order of arrival, in lists that are not empty. Only one list is in memory at
   * a time.
   *
   * @param limit messages in all
   * @throws StoreError
   */
  async *messages(
    filter: MessageFilter,
    limit = Infinity,
  ): AsyncGenerator<readonly InspectedMessage[]> {
    let left = limit;
    for await (const page of this.#pages(filter)) {
      const found: InspectedMessage[] = [];
      for (const stored of page) {
        if (left === 0) break;
        const message = this.inspect(stored);
        if (!accountFits(message.record, filter)) continue;
        found.push(message);
        left--;
      }
      if (found.length > 0) yield found;
      if (left === 0) return;
    }
  }

  /**
   * The same without what is sealed: nothing is opened unless the filter needs it.
   *
   * @throws StoreError
   */
  async *stored(filter: MessageFilter): AsyncGenerator<readonly StoredMessage[]> {
    if (filter.account === undefined) return yield* this.#pages(filter);
    for await (const found of this.messages(filter)) yield found.map(({ stored }) => stored);
  }

  /**
   * The message with what can be opened of it; undefined if it does not exist.
   *
   * @throws StoreError
   */
  async find(id: string): Promise<InspectedMessage | undefined> {
    const found = await this.#administration.find(id);
    return found === undefined ? undefined : this.inspect(found.stored);
  }

  /**
   * The content as it came, all of it checked; undefined if the message does not exist.
   *
   * @throws StoreError, UnreadableError
   */
  async content(id: string): Promise<Content | undefined> {
    const found = await this.#administration.find(id);
    if (found === undefined) return undefined;
    try {
      const { size } = found.stored;
      return await this.#withKey().openContent(found.content(), `content ${id}`, size);
    } catch (error) {
      throw unreadable(error);
    }
  }

  inspect(stored: StoredMessage): InspectedMessage {
    try {
      const sealer = this.#withKey();
      const record = openRecord(sealer, stored.id, stored.record);
      return { stored, record, note: openNote(sealer, stored.id, stored.note) };
    } catch (error) {
      const { message: problem } = unreadable(error);
      this.#problems.set(problem, (this.#problems.get(problem) ?? 0) + 1);
      return { stored, problem };
    }
  }

  async *#pages(filter: MessageFilter): AsyncGenerator<readonly StoredMessage[]> {
    let after: StoredMessage | undefined;
    for (;;) {
      const page = await this.#administration.list(PAGE, after);
      const found = page.filter((stored) => fits(stored, filter));
      if (found.length > 0) yield found;
      after = page.at(-1);
      if (after === undefined) return;
    }
  }

  #withKey(): Sealer {
    if (this.#sealer === undefined) throw new UnreadableError("QUEUE_KEY is not set");
    return this.#sealer;
  }
}

/** @throws the error, if it is another one */
function unreadable(error: unknown): UnreadableError {
  if (error instanceof UnreadableError) return error;
  if (error instanceof SealError) return new UnreadableError(error.message);
  throw error;
}

function fits(stored: StoredMessage, { states, receivedBefore }: MessageFilter): boolean {
  return (states?.has(stored.state) ?? true) &&
    (receivedBefore === undefined || stored.receivedAt < receivedBefore);
}

function accountFits(record: QueueRecord | undefined, filter: MessageFilter): boolean {
  if (filter.account === undefined) return true;
  return record !== undefined && filter.account(record.account);
}
