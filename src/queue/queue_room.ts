// Whether the queue has room: QUEUE_MAX_MESSAGES, QUEUE_MAX_BYTES, and a reserve of the disk. On a full
// disk nothing can be deleted either, so mail is refused while there is still room.

import type { NotSent } from "../delivery/delivery.ts";
import type { SettingName } from "../settings/schema.ts";
import { REPLIES, type Reply, replyText } from "../smtp/reply.ts";
import type { QueueStore } from "./store.ts";

export interface QueueBounds {
  readonly maxMessages: number;
  /** Octets as stored. */
  readonly maxOctets: number;
}

/** Octets and share of the disk that stay free. */
const RESERVE = 64 * 1024 * 1024;
const RESERVE_SHARE = 0.05;

export class QueueRoom {
  readonly #store: Pick<QueueStore, "usage">;
  readonly #bounds: QueueBounds;

  constructor(store: Pick<QueueStore, "usage">, bounds: QueueBounds) {
    this.#store = store;
    this.#bounds = bounds;
  }

  /** The reply to MAIL while there is no room for any message. */
  mailRefusal(): Reply | undefined {
    return this.#missing(0)?.reply;
  }

  /** @param octets of the message's content */
  refusal(octets: number): NotSent | undefined {
    const missing = this.#missing(octets);
    if (missing === undefined) return undefined;
    const { reply, limit } = missing;
    return {
      type: "later",
      reply,
      ambiguous: false,
      code: limit ?? "DISK_FULL",
      detail: replyText(reply),
      ...(limit === undefined ? {} : { limit }),
    };
  }

  #missing(octets: number): { readonly reply: Reply; readonly limit?: SettingName } | undefined {
    const { messages, octets: used, disk } = this.#store.usage();
    const { maxMessages, maxOctets } = this.#bounds;
    const { queued, sending, held, dead } = messages;
    if (queued + sending + held + dead >= maxMessages) {
      return { reply: REPLIES.queueMessages, limit: "QUEUE_MAX_MESSAGES" };
    }
    if (used + octets >= maxOctets) {
      return { reply: REPLIES.queueOctets, limit: "QUEUE_MAX_BYTES" };
    }
    if (disk !== undefined && disk.free - octets < reserveOf(disk.total)) {
      return { reply: REPLIES.queueDisk };
    }
    return undefined;
  }
}

/** Octets of the disk that stay free: 5 % and at least 64 MiB, as the contract says. */
export function reserveOf(total: number): number {
  return Math.max(RESERVE, total * RESERVE_SHARE);
}
