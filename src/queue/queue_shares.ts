// How much of the queue one account may have, so that none takes all of it from the others.
//
// An account may go on as long as it has less than four times of what is free. So one account alone gets to
// 4/5 of the queue, and two to 4/9 each; what is left is for those that have little in it (A. K. Choudhury,
// E. L. Hahne: Dynamic queue length thresholds for shared-memory packet switches, 1998). While no other
// account uses the queue, no part is kept free.

import { BoundedMap } from "../bounded_map.ts";
import type { Clock } from "../clock.ts";
import type { SettingName } from "../settings/schema.ts";
import { REPLIES, type Reply } from "../smtp/reply.ts";
import { OtherAccounts } from "./other_accounts.ts";
import { type QueueStore, StoreError } from "./store.ts";

/** What is free in the queue, and what it has room for in all. */
export interface Free {
  readonly messages: number;
  readonly octets: number;
  readonly maxMessages: number;
  readonly maxOctets: number;
}

export interface OverShare {
  readonly reply: Reply;
  readonly limit: SettingName;
}

/** An account may have less than so many times of what is free. */
const TIMES = 4;
/** Milliseconds after which the store is asked again about an account. */
const FRESH = 2_000;
/** Milliseconds after which what the store said counts no more. */
const STALE = 30_000;
/** Accounts that are remembered. */
const MAX_ACCOUNTS = 1_000;

interface Known {
  readonly at: number;
  readonly isAlone: boolean;
  /** As the store said, and what was let in since. */
  messages: number;
  octets: number;
}

export class QueueShares {
  readonly #store: Pick<QueueStore, "share">;
  readonly #clock: Pick<Clock, "now">;
  readonly #known = new BoundedMap<Known>({ max: MAX_ACCOUNTS });
  readonly #asking = new Map<string, Promise<void>>();
  /** The accounts that have wanted room. */
  readonly #others: OtherAccounts;

  constructor(store: Pick<QueueStore, "share">, clock: Pick<Clock, "now">) {
    this.#store = store;
    this.#clock = clock;
    this.#others = new OtherAccounts(clock);
  }

  /**
   * An account wants room. By what the store has said of it lately.
   *
   * @param octets of a message that comes if it may; left out for none
   */
  over(account: string, free: Free, octets?: number): OverShare | undefined {
    this.#others.seen(account);
    const known = this.#known.get(account);
    if (!isTight(free) || known === undefined || this.#ageOf(known) >= STALE) return undefined;
    const over = this.#over(account, known, free);
    if (over !== undefined || octets === undefined) return over;
    known.messages++;
    known.octets += octets;
    return undefined;
  }

  /** Whether the store has to be asked about an account before {@link over} can tell. */
  needs(account: string, free: Free): boolean {
    return isTight(free) && this.#ageOf(this.#known.get(account)) >= FRESH;
  }

  /** Never fails: a store that cannot tell now fails the message too. */
  ask(account: string): Promise<void> {
    let asking = this.#asking.get(account);
    if (asking === undefined) {
      asking = this.#ask(account).finally(() => this.#asking.delete(account));
      this.#asking.set(account, asking);
    }
    return asking;
  }

  #over(account: string, { messages, octets, isAlone }: Known, free: Free): OverShare | undefined {
    if (isAlone && this.#others.isAlone(account)) return undefined;
    if (messages >= TIMES * free.messages) {
      return { reply: REPLIES.queueShareOfMessages, limit: "QUEUE_MAX_MESSAGES" };
    }
    if (octets >= TIMES * free.octets) {
      return { reply: REPLIES.queueShareOfOctets, limit: "QUEUE_MAX_BYTES" };
    }
    return undefined;
  }

  #ageOf(known: Known | undefined): number {
    return known === undefined ? Infinity : this.#clock.now() - known.at;
  }

  async #ask(account: string): Promise<void> {
    try {
      const { messages, octets, isAlone } = await this.#store.share(account);
      this.#known.set(account, { at: this.#clock.now(), isAlone, messages, octets });
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
    }
  }
}

/** Whether any account can be over its share at all. */
function isTight({ messages, octets, maxMessages, maxOctets }: Free): boolean {
  return maxMessages - messages >= TIMES * messages || maxOctets - octets >= TIMES * octets;
}
