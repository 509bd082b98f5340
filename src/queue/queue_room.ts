// Whether the queue has room: QUEUE_MAX_MESSAGES, QUEUE_MAX_BYTES, and a reserve of the disk. On a full
// disk nothing can be deleted either, so mail is refused while there is still room.

import type { NotSent } from "../delivery/delivery.ts";
import type { SettingName } from "../settings/schema.ts";
import { REPLIES, type Reply, replyText } from "../smtp/reply.ts";
import type { Free, QueueShares } from "./queue_shares.ts";
import type { QueueStore, Usage } from "./store.ts";

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
  readonly #shares: QueueShares | undefined;
  readonly #pending = { messages: 0, octets: 0 };

  /** @param shares of the accounts; left out, one may take all */
  constructor(store: Pick<QueueStore, "usage">, bounds: QueueBounds, shares?: QueueShares) {
    this.#store = store;
    this.#bounds = bounds;
    this.#shares = shares;
  }

  /**
   * The reply to MAIL while there is no room for any message.
   *
   * @param account its name, as in the store
   */
  mailRefusal(account = ""): Reply | undefined {
    const usage = this.#usage();
    const free = this.#free(usage);
    if (this.#shares?.needs(account, free)) void this.#shares.ask(account);
    return (this.#missing(usage, 0) ?? this.#shares?.over(account, free))?.reply;
  }

  /**
   * Keeps room for a message.
   *
   * @param octets of the message's content
   * @param account its name, as in the store
   * @returns ends that, to be called once when the message is stored or not
   */
  async admit(octets: number, account = ""): Promise<NotSent | (() => void)> {
    if (this.#shares?.needs(account, this.#free(this.#usage()))) await this.#shares.ask(account);
    // From here on at once: others may come at the same time.
    const usage = this.#usage();
    const missing = this.#missing(usage, octets) ??
      this.#shares?.over(account, this.#free(usage), octets);
    if (missing === undefined) {
      this.#pending.messages++;
      this.#pending.octets += octets;
      return () => {
        this.#pending.messages--;
        this.#pending.octets -= octets;
      };
    }
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

  /** With the messages that are being stored. */
  #usage(): Usage {
    const usage = this.#store.usage();
    const { messages, octets } = this.#pending;
    const queued = usage.messages.queued + messages;
    return {
      ...usage,
      messages: { ...usage.messages, queued },
      octets: usage.octets + octets,
    };
  }

  #missing(usage: Usage, octets: number): Missing | undefined {
    const { octets: used, disk } = usage;
    const { maxMessages, maxOctets } = this.#bounds;
    if (countOf(usage) >= maxMessages) {
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

  #free(usage: Usage): Free {
    const { octets: used, disk } = usage;
    const { maxMessages, maxOctets } = this.#bounds;
    const onDisk = disk === undefined ? Infinity : disk.free - reserveOf(disk.total);
    const octets = Math.max(0, Math.min(maxOctets - used, onDisk));
    return {
      messages: maxMessages - countOf(usage),
      octets,
      maxMessages,
      maxOctets: used + octets,
    };
  }
}

interface Missing {
  readonly reply: Reply;
  readonly limit?: SettingName;
}

function countOf({ messages: { queued, sending, held, dead } }: Usage): number {
  return queued + sending + held + dead;
}

/** Octets of the disk that stay free: 5 % and at least 64 MiB, as the contract says. */
export function reserveOf(total: number): number {
  return Math.max(RESERVE, total * RESERVE_SHARE);
}
