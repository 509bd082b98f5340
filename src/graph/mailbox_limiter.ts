// Limits the deliveries at once for an app and mailbox: Graph takes a few requests at once and throttles more
// (https://learn.microsoft.com/graph/throttling-limits#outlook-service-limits). What is over the limit waits
// here in order, so that a burst is paced and does not fail.
//
// A slot covers a whole delivery, its waits after being throttled too: while the mailbox is throttled, the
// next message would be as well. A delivery that finds a slot free costs one look into a map: no timer, no
// promise.

import type { Clock } from "../clock.ts";
import type { WaitingClient } from "../delivery/delivery.ts";

export interface MailboxLimiterOptions {
  /** Deliveries at once for one app and mailbox. */
  readonly concurrency: number;
  /** Milliseconds that a delivery waits for its slot at most. */
  readonly timeout: number;
  readonly clock: Clock;
}

/** Milliseconds for which a mailbox is paused at most: Graph's windows are 10 minutes. */
const LONGEST_PAUSE = 600_000;
/** Messages accepted in a row before a mailbox that was throttled gets one slot back. */
const RECOVER_AFTER = 16;

export class MailboxLimiter {
  readonly #options: MailboxLimiterOptions;
  /** Those that are in use, by app and address. */
  readonly #mailboxes = new Map<string, LimitedMailbox>();
  #closed = false;

  constructor(options: MailboxLimiterOptions) {
    this.#options = options;
  }

  /** Rejects all deliveries that wait, and all that come from now on, as `late`. */
  close(): void {
    this.#closed = true;
    for (const mailbox of [...this.#mailboxes.values()]) mailbox.close();
  }

  /** Mailboxes in use. */
  get size(): number {
    return this.#mailboxes.size;
  }

  /**
   * Asks for a slot, which must be given back by {@link LimitedMailbox.release}.
   *
   * @param app who must not use up the slots of others: the client id, and the login while it is unverified
   * @param address of the mailbox; upper and lower case are the same
   * @param client is told of the wait, if there is one, and can end it
   * @returns the mailbox, at once where a slot is free; else how the wait has ended
   */
  acquire(
    tenantId: string,
    app: string,
    address: string,
    client?: Waiter,
  ): LimitedMailbox | Promise<LimitedMailbox | WaitEnd> {
    if (this.#closed) return Promise.resolve("late");
    const key = `${tenantId} ${app} ${address.toLowerCase()}`;
    let mailbox = this.#mailboxes.get(key);
    if (mailbox === undefined) {
      mailbox = new LimitedMailbox(this.#options, () => this.#mailboxes.delete(key));
      this.#mailboxes.set(key, mailbox);
    }
    return mailbox.acquire(client);
  }
}

/** Why a delivery got no slot: `late` where none was free in time, `ended` by the client's signal. */
export type WaitEnd = "late" | "ended";

type Waiter = Pick<WaitingClient, "signal" | "waiting">;

interface Waiting {
  readonly resolve: (mailbox: LimitedMailbox | WaitEnd) => void;
  /** When it gives up, as the clock's `now` tells. All wait equally long: the first one is first. */
  readonly until: number;
}

/** The slots of one app and mailbox. */
export class LimitedMailbox {
  readonly #options: MailboxLimiterOptions;
  readonly #unused: () => void;
  #active = 0;
  /** Slots for now: fewer than the setting after Graph has throttled. */
  #concurrency: number;
  /** Messages accepted since the number of slots has changed. */
  #accepted = 0;
  /** In the order in which they came. */
  readonly #waiting = new Set<Waiting>();
  /** No delivery begins before; 0 while the mailbox is not paused. */
  #pausedUntil = 0;
  #alarmAt = Infinity;
  #cancelAlarm: (() => void) | undefined;

  /** @param unused is called when nothing needs the mailbox any more */
  constructor(options: MailboxLimiterOptions, unused: () => void) {
    this.#options = options;
    this.#unused = unused;
    this.#concurrency = options.concurrency;
  }

  /** @internal */
  acquire(client?: Waiter): LimitedMailbox | Promise<LimitedMailbox | WaitEnd> {
    // Nothing waits while a slot is free: it would have been admitted when the slot became free.
    if (this.#isFree) {
      this.#active++;
      return this;
    }
    const { clock, timeout } = this.#options;
    const until = clock.now() + timeout;
    // The pause outlasts the wait.
    if (this.#pausedUntil >= until) return Promise.resolve("late");
    if (client?.signal.aborted) return Promise.resolve("ended");
    return new Promise((resolve) => {
      const end = () => {
        this.#waiting.delete(waiting);
        waiting.resolve("ended");
        this.#removeIfUnused();
      };
      const waiting: Waiting = {
        resolve(result) {
          client?.signal.removeEventListener("abort", end);
          client?.waiting(false);
          resolve(result);
        },
        until,
      };
      this.#waiting.add(waiting);
      client?.signal.addEventListener("abort", end);
      client?.waiting(true);
      this.#arm();
    });
  }

  /** @internal */
  close(): void {
    this.#giveUp(Infinity);
    this.#pausedUntil = 0;
    this.#removeIfUnused();
  }

  /** Gives a slot back; the next delivery gets it. */
  release(): void {
    this.#active--;
    this.#admit();
    this.#removeIfUnused();
  }

  /**
   * Graph has throttled a request: there is one slot less, and no delivery begins before `wait` is over.
   *
   * @param wait milliseconds, where Graph has said how long
   */
  throttled(wait = 0): void {
    this.#concurrency = Math.max(1, this.#concurrency - 1);
    this.#accepted = 0;
    if (wait <= 0) return;
    const until = this.#options.clock.now() + Math.min(wait, LONGEST_PAUSE);
    if (until <= this.#pausedUntil) return;
    this.#pausedUntil = until;
    this.#giveUp(until);
    this.#arm();
  }

  /** Graph has accepted a message: after some in a row there is one slot more, up to the setting. */
  accepted(): void {
    if (this.#concurrency === this.#options.concurrency) return;
    if (++this.#accepted < RECOVER_AFTER) return;
    this.#concurrency++;
    this.#accepted = 0;
    this.#admit();
  }

  get #isFree(): boolean {
    return this.#active < this.#concurrency && this.#pausedUntil === 0;
  }

  #admit(): void {
    for (const waiting of this.#waiting) {
      if (!this.#isFree) return;
      this.#active++;
      this.#waiting.delete(waiting);
      waiting.resolve(this);
    }
  }

  /** Ends the wait of all deliveries whose time is over by `time`. */
  #giveUp(time: number): void {
    for (const waiting of this.#waiting) {
      if (waiting.until > time) return;
      this.#waiting.delete(waiting);
      waiting.resolve("late");
    }
  }

  /** Sets one alarm for whatever is due first. An alarm that comes early does no harm. */
  #arm(): void {
    const { clock } = this.#options;
    const pause = this.#pausedUntil === 0 ? Infinity : this.#pausedUntil;
    const [first] = this.#waiting;
    const at = Math.min(pause, first?.until ?? Infinity);
    if (at >= this.#alarmAt) return;
    this.#cancelAlarm?.();
    this.#alarmAt = at;
    this.#cancelAlarm = clock.alarm(Math.max(1, at - clock.now()), () => this.#wake());
  }

  #wake(): void {
    this.#alarmAt = Infinity;
    this.#cancelAlarm = undefined;
    const now = this.#options.clock.now();
    if (this.#pausedUntil <= now) this.#pausedUntil = 0;
    this.#giveUp(now);
    this.#admit();
    if (!this.#removeIfUnused()) this.#arm();
  }

  #removeIfUnused(): boolean {
    if (this.#active > 0 || this.#waiting.size > 0 || this.#pausedUntil > 0) return false;
    this.#cancelAlarm?.();
    this.#unused();
    return true;
  }
}
