// Whose turn it is: Graph takes a few requests at once for an app and mailbox, and throttles more
// (https://learn.microsoft.com/graph/throttling-limits#outlook-service-limits). What is over that
// waits here in order, so that a burst is paced and not failed.
//
// A turn covers a whole delivery, and its waits after being throttled too: when the mailbox is
// throttled, the next message would be as well. One that finds its lane free pays a look into a map:
// no timer, no promise.

import type { WaitingClient } from "../delivery/delivery.ts";
import type { Clock } from "../clock.ts";

export interface LanesOptions {
  /** Turns at once in a lane. */
  readonly concurrency: number;
  /** Milliseconds that one waits for its turn at most. */
  readonly timeout: number;
  readonly clock: Clock;
}

/** Milliseconds that a lane stands still at most: Graph's windows are 10 minutes. */
const LONGEST_PAUSE = 600_000;
/** Messages taken in a row before a lane that was throttled is widened by one turn. */
const WIDEN_AFTER = 16;

/** A lane for each app and mailbox that has something to do. */
export class Lanes {
  readonly #options: LanesOptions;
  readonly #lanes = new Map<string, Lane>();
  #closed = false;

  constructor(options: LanesOptions) {
    this.#options = options;
  }

  /** No more turns: whoever waits for one is told at once, and whoever comes. */
  close(): void {
    this.#closed = true;
    for (const lane of [...this.#lanes.values()]) lane.close();
  }

  /** Lanes in use. */
  get size(): number {
    return this.#lanes.size;
  }

  /**
   * Asks for a turn. Who gets one must {@link Lane.leave} it.
   *
   * @param mailbox upper and lower case are the same
   * @param client is told of the wait, if there is one, and can end it
   * @returns the lane at once where there is room; else how the wait has ended
   */
  enter(
    tenantId: string,
    clientId: string,
    mailbox: string,
    client?: Waits,
  ): Lane | Promise<Lane | WaitEnd> {
    if (this.#closed) return Promise.resolve("late");
    const key = `${tenantId} ${clientId} ${mailbox.toLowerCase()}`;
    let lane = this.#lanes.get(key);
    if (lane === undefined) {
      lane = new Lane(this.#options, () => this.#lanes.delete(key));
      this.#lanes.set(key, lane);
    }
    return lane.enter(client);
  }
}

/** Why a turn did not come: `late` where not in time, `ended` by the client's signal. */
export type WaitEnd = "late" | "ended";

type Waits = Pick<WaitingClient, "signal" | "waiting">;

interface Waiting {
  readonly resolve: (lane: Lane | WaitEnd) => void;
  /** When it gives up, as the clock's `now` tells. All wait equally long: the first one is first. */
  readonly until: number;
}

/** The turns of one app and mailbox. */
export class Lane {
  readonly #options: LanesOptions;
  readonly #empty: () => void;
  #active = 0;
  /** Turns at once for now: less than the setting after Graph has throttled. */
  #width: number;
  /** Messages taken since the width has changed. */
  #taken = 0;
  /** The longest first. */
  readonly #waiting = new Set<Waiting>();
  /** No turn begins before; 0 when the lane does not stand still. */
  #pausedUntil = 0;
  #alarmAt = Infinity;
  #cancelAlarm: (() => void) | undefined;

  /** @param empty is called when nothing is left that needs the lane */
  constructor(options: LanesOptions, empty: () => void) {
    this.#options = options;
    this.#empty = empty;
    this.#width = options.concurrency;
  }

  /** @internal */
  enter(client?: Waits): Lane | Promise<Lane | WaitEnd> {
    // An open lane has nobody waiting: they were let in when it opened.
    if (this.#open) {
      this.#active++;
      return this;
    }
    const { clock, timeout } = this.#options;
    const until = clock.now() + timeout;
    // Why wait for nothing.
    if (this.#pausedUntil >= until) return Promise.resolve("late");
    if (client?.signal.aborted) return Promise.resolve("ended");
    return new Promise((done) => {
      const end = () => {
        this.#waiting.delete(waiting);
        waiting.resolve("ended");
        this.#removeIfEmpty();
      };
      const resolve = (end_: Lane | WaitEnd) => {
        client?.signal.removeEventListener("abort", end);
        client?.waiting(false);
        done(end_);
      };
      const waiting: Waiting = { resolve, until };
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
    this.#removeIfEmpty();
  }

  /** Ends a turn; the next one begins. */
  leave(): void {
    this.#active--;
    this.#admit();
    this.#removeIfEmpty();
  }

  /**
   * Graph has throttled a request: one turn less at once, and none begins before `wait` is over.
   *
   * @param wait milliseconds, where Graph has said how long
   */
  throttled(wait = 0): void {
    this.#width = Math.max(1, this.#width - 1);
    this.#taken = 0;
    if (wait <= 0) return;
    const until = this.#options.clock.now() + Math.min(wait, LONGEST_PAUSE);
    if (until <= this.#pausedUntil) return;
    this.#pausedUntil = until;
    this.#giveUp(until);
    this.#arm();
  }

  /** Graph has taken a message: after some in a row, one turn more at once, up to the setting. */
  accepted(): void {
    if (this.#width === this.#options.concurrency || ++this.#taken < WIDEN_AFTER) return;
    this.#width++;
    this.#taken = 0;
    this.#admit();
  }

  get #open(): boolean {
    return this.#active < this.#width && this.#pausedUntil === 0;
  }

  #admit(): void {
    for (const waiting of this.#waiting) {
      if (!this.#open) return;
      this.#active++;
      this.#waiting.delete(waiting);
      waiting.resolve(this);
    }
  }

  /** Ends the waiting of all whose time is over by `time`. */
  #giveUp(time: number): void {
    for (const waiting of this.#waiting) {
      if (waiting.until > time) return;
      this.#waiting.delete(waiting);
      waiting.resolve("late");
    }
  }

  /** Sees to it that the lane wakes when something is due; what wakes it early does no harm. */
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
    if (!this.#removeIfEmpty()) this.#arm();
  }

  #removeIfEmpty(): boolean {
    if (this.#active > 0 || this.#waiting.size > 0 || this.#pausedUntil > 0) return false;
    this.#cancelAlarm?.();
    this.#empty();
    return true;
  }
}
