// Limits the deliveries at once for an app and mailbox: Graph takes a few requests at once and
// throttles more (https://learn.microsoft.com/graph/throttling-limits#outlook-service-limits).
// Deliveries over the limit wait here in order, so that a burst is slowed down and does not fail.
//
// A slot covers a whole delivery, including its waits after throttling: while the mailbox is
// throttled, the next message would be too. A delivery with a free slot costs one lookup in a map,
// without timer or promise.

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

  /** Rejects all current and future waiting deliveries as `late`. */
  close(): void {
    this.#closed = true;
    for (const mailbox of [...this.#mailboxes.values()]) mailbox.close();
  }

  /** Mailboxes in use. */
  get size(): number {
    return this.#mailboxes.size;
  }

  /** The figures of all mailboxes in use together. */
  get load(): MailboxLoad {
    let [active, waiting, throttled] = [0, 0, 0];
    for (const mailbox of this.#mailboxes.values()) {
      active += mailbox.active;
      waiting += mailbox.waiting;
      if (mailbox.isThrottled) throttled++;
    }
    return { active, waiting, throttled };
  }

  /**
   * Asks for a slot, which must be given back by {@link LimitedMailbox.release}.
   *
   * @param app the client id, with the login while it is unverified
   * @param address of the mailbox; upper and lower case are the same
   * @param client informed of a wait, which it can end; undefined if no client waits
   * @param isPatient whether it waits while the mailbox is paused
   * @returns the mailbox, at once if a slot is free; or why the wait ended without one
   */
  acquire(
    tenantId: string,
    app: string,
    address: string,
    client?: Waiter,
    isPatient = true,
  ): LimitedMailbox | Promise<LimitedMailbox | WaitEnd> {
    if (this.#closed) return Promise.resolve("late");
    const key = keyOf(tenantId, app, address);
    let mailbox = this.#mailboxes.get(key);
    if (mailbox === undefined) {
      mailbox = new LimitedMailbox(this.#options, () => this.#mailboxes.delete(key));
      this.#mailboxes.set(key, mailbox);
    }
    return mailbox.acquire(client, isPatient);
  }

  /** Milliseconds until the mailbox is asked again, after it was throttled. */
  pauseOf(tenantId: string, app: string, address: string): number {
    return this.#mailboxes.get(keyOf(tenantId, app, address))?.pause ?? 0;
  }
}

export interface MailboxLoad {
  /** Deliveries that have a slot. */
  readonly active: number;
  /** Deliveries that wait for one. */
  readonly waiting: number;
  /** Mailboxes that are paused, or have fewer slots, because they were throttled. */
  readonly throttled: number;
}

function keyOf(tenantId: string, app: string, address: string): string {
  return `${tenantId} ${app} ${address.toLowerCase()}`;
}

/** Why a delivery got no slot: `late`: not in time; `ended`: by the client's signal. */
export type WaitEnd = "late" | "ended";

type Waiter = Pick<WaitingClient, "signal" | "waiting">;

interface Waiting {
  readonly resolve: (mailbox: LimitedMailbox | WaitEnd) => void;
  /** When it gives up, on the clock's `now`. All wait equally long, so the first one gives up first. */
  readonly until: number;
  readonly isPatient: boolean;
}

/** The slots of one app and mailbox. */
export class LimitedMailbox {
  readonly #options: MailboxLimiterOptions;
  readonly #unused: () => void;
  #active = 0;
  /** Current number of slots: fewer than the setting after throttling. */
  #concurrency: number;
  /** Messages accepted since the number of slots changed. */
  #accepted = 0;
  /** In order of arrival. */
  readonly #waiting = new Set<Waiting>();
  /** No delivery begins before; 0 while the mailbox is not paused. */
  #pausedUntil = 0;
  #alarmAt = Infinity;
  #cancelAlarm: (() => void) | undefined;

  /** @param unused called when no delivery needs the mailbox */
  constructor(options: MailboxLimiterOptions, unused: () => void) {
    this.#options = options;
    this.#unused = unused;
    this.#concurrency = options.concurrency;
  }

  /** Milliseconds that are left of a pause. */
  get pause(): number {
    return Math.max(0, this.#pausedUntil - this.#options.clock.now());
  }

  get active(): number {
    return this.#active;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  get isThrottled(): boolean {
    return this.#concurrency < this.#options.concurrency || this.pause > 0;
  }

  /** @internal */
  acquire(
    client: Waiter | undefined,
    isPatient: boolean,
  ): LimitedMailbox | Promise<LimitedMailbox | WaitEnd> {
    // Nothing waits while a slot is free: it would have been admitted when the slot became free.
    if (this.#isFree) {
      this.#active++;
      return this;
    }
    const { clock, timeout } = this.#options;
    const until = clock.now() + timeout;
    // The pause outlasts the wait.
    if (this.#pausedUntil >= until || !isPatient && this.#pausedUntil > 0) {
      return Promise.resolve("late");
    }
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
        isPatient,
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
   * @param wait milliseconds, if Graph has said how long
   */
  throttled(wait = 0): void {
    this.#concurrency = Math.max(1, this.#concurrency - 1);
    this.#accepted = 0;
    if (wait <= 0) return;
    const until = this.#options.clock.now() + Math.min(wait, LONGEST_PAUSE);
    if (until <= this.#pausedUntil) return;
    this.#pausedUntil = until;
    this.#giveUp(until);
    for (const waiting of this.#waiting) {
      if (waiting.isPatient) continue;
      this.#waiting.delete(waiting);
      waiting.resolve("late");
    }
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

  /** Sets one alarm for the first event that is due. An early alarm has no effect. */
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
