// The queue of pointers.
// https://learn.microsoft.com/rest/api/storageservices/queue-service-rest-api

import type { QueueClient } from "@azure/storage-queue";
import type { Clock } from "../../clock.ts";
import { formatPointer, parsePointer, type PointerText } from "./pointer_text.ts";
import {
  created,
  once,
  QUEUE_ROLE,
  repeated,
  type Service,
  ServiceError,
} from "./service_error.ts";

/** Seconds that a pointer can be hidden at most: seven days. */
const LONGEST_HIDDEN = 7 * 24 * 3600;
/** Pointers that one request receives at most. */
export const MAX_RECEIVED = 32;

/** Names a pointer that belongs to this relay; the receipt changes with each update. */
export interface Handle {
  readonly messageId: string;
  popReceipt: string;
}

export interface ReceivedPointer {
  readonly handle: Handle;
  /** Undefined if it is not a pointer of ours. */
  readonly text: PointerText | undefined;
  /** What was received, as it was. */
  readonly raw: string;
  /** How often it has been received. */
  readonly count: number;
  /** Milliseconds that it has been in the queue, by the service's clock. */
  readonly age: number;
}

export class Pointers {
  readonly #queue: QueueClient;
  readonly #clock: Clock;
  readonly #service: Service;

  constructor(queue: QueueClient, clock: Clock) {
    this.#queue = queue;
    this.#clock = clock;
    this.#service = { host: new URL(queue.url).host, role: QUEUE_ROLE };
  }

  /** Creates the queue if it does not exist. @throws ServiceError */
  open(): Promise<void> {
    return created(
      this.#service,
      this.#clock,
      () => this.#queue.createIfNotExists(),
      () => this.#queue.peekMessages({ numberOfMessages: 1 }),
    );
  }

  /**
   * Adds a pointer, hidden, which belongs to this relay at once. Sent once: a repeated request could leave
   * two pointers that are alike.
   *
   * @param hidden seconds
   * @throws ServiceError
   */
  async add(pointer: PointerText, hidden: number): Promise<Handle> {
    const text = formatPointer(pointer);
    const { messageId, popReceipt } = await once(
      this.#service,
      () =>
        this.#queue.sendMessage(text, {
          visibilityTimeout: hidden,
          // Without it, the service deletes the pointer after seven days.
          messageTimeToLive: -1,
        }),
    );
    return { messageId, popReceipt };
  }

  /**
   * The next visible pointers, which are hidden from others now.
   *
   * @param limit at most {@link MAX_RECEIVED}
   * @param hidden seconds
   * @throws ServiceError
   */
  async receive(limit: number, hidden: number): Promise<readonly ReceivedPointer[]> {
    // Sent once: what a lost response had would stay hidden.
    const { receivedMessageItems, date } = await once(
      this.#service,
      () => this.#queue.receiveMessages({ numberOfMessages: limit, visibilityTimeout: hidden }),
    );
    return receivedMessageItems.map((item) => ({
      handle: { messageId: item.messageId, popReceipt: item.popReceipt },
      text: parsePointer(item.messageText),
      raw: item.messageText,
      count: item.dequeueCount,
      age: (date ?? new Date(this.#clock.date())).getTime() - item.insertedOn.getTime(),
    }));
  }

  /**
   * Changes a pointer, and hides it for a time that begins now.
   *
   * @param pointer or a text that stays as it was
   * @param hidden seconds
   * @returns false if it does not belong to this relay any more
   * @throws ServiceError; then it is unknown whether it was changed
   */
  update(handle: Handle, pointer: PointerText | string, hidden: number): Promise<boolean> {
    const text = typeof pointer === "string" ? pointer : formatPointer(pointer);
    const seconds = Math.min(Math.max(Math.ceil(hidden), 0), LONGEST_HIDDEN);
    return this.#asOwner(async () => {
      const { messageId, popReceipt } = handle;
      const changed = await this.#queue.updateMessage(messageId, popReceipt, text, seconds);
      if (changed.popReceipt !== undefined) handle.popReceipt = changed.popReceipt;
    });
  }

  /** @returns false if it does not belong to this relay any more. @throws ServiceError */
  delete({ messageId, popReceipt }: Handle): Promise<boolean> {
    return this.#asOwner(async () => {
      await this.#queue.deleteMessage(messageId, popReceipt);
    });
  }

  /**
   * May be repeated: if the first request was done although its response was lost, the receipt is the old
   * one, and the relay counts as not the owner. Then no relay is, until the pointer is visible again.
   */
  async #asOwner(change: () => Promise<void>): Promise<boolean> {
    try {
      await repeated(this.#service, this.#clock, change);
      return true;
    } catch (error) {
      const { status, code } = error as ServiceError;
      if (status === 404 && code !== "QueueNotFound") return false;
      if (status === 400 && code === "PopReceiptMismatch") return false;
      throw error;
    }
  }
}
