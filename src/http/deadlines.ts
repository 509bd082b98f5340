// One timer for many deadlines: one for each request would cost more than its other bookkeeping.

import type { Clock } from "../clock.ts";

export interface Timed {
  /** The clock's `now()` at which it expires; Infinity for never. */
  readonly deadline: number;
  /** The deadline has passed. */
  expired(): void;
}

/** Milliseconds between two checks at least; a deadline is noticed at most this much late. */
const PAUSE_MS = 100;
/** Milliseconds by which a timer is late only if the thread was busy. */
const LATE_MS = 25;
/** Milliseconds for reading what has arrived meanwhile, before anything counts as expired. */
const GRACE_MS = 10;

/**
 * The machine's own time. The timers keep the process running, unlike those of `clock.ts`: a command
 * that awaits nothing but a request must see it time out.
 */
export const realTime: Pick<Clock, "now" | "alarm"> = {
  now: () => performance.now(),
  alarm(time, run) {
    const timer = setTimeout(run, time);
    return () => clearTimeout(timer);
  },
};

export class Deadlines<Item extends Timed> {
  readonly #clock: Pick<Clock, "now" | "alarm">;
  readonly #items = new Set<Item>();
  #cancel: (() => void) | undefined;
  #wakeAt = Infinity;

  constructor(clock: Pick<Clock, "now" | "alarm"> = realTime) {
    this.#clock = clock;
  }

  /** All items that are watched. */
  get items(): ReadonlySet<Item> {
    return this.#items;
  }

  /** Watches an item, or notes that its deadline is now earlier. A later deadline needs no call. */
  watch(item: Item): void {
    this.#items.add(item);
    if (item.deadline < this.#wakeAt) this.#wake(item.deadline);
  }

  forget(item: Item): void {
    if (!this.#items.delete(item) || this.#items.size > 0) return;
    this.#cancel?.();
    this.#wakeAt = Infinity;
  }

  #wake(at: number): void {
    this.#cancel?.();
    this.#wakeAt = at;
    const time = Math.max(Math.ceil(at - this.#clock.now()), 1);
    this.#cancel = this.#clock.alarm(time, () => this.#awake());
  }

  #awake(): void {
    if (this.#clock.now() - this.#wakeAt < LATE_MS) return this.#check();
    // The relay was late, not the service: the response may have arrived already.
    this.#cancel = this.#clock.alarm(GRACE_MS, () => this.#check());
  }

  #check(): void {
    this.#wakeAt = Infinity;
    // A timer may run a little early.
    const now = this.#clock.now() + 1;
    let earliest = Infinity;
    for (const item of this.#items) {
      if (item.deadline <= now) item.expired();
      else if (item.deadline < earliest) earliest = item.deadline;
    }
    if (earliest < Infinity) this.#wake(Math.max(earliest, now + PAUSE_MS));
  }
}
