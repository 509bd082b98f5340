// One timer for the deadlines of many things: a timer for each request would cost more than the
// rest of its bookkeeping.

export interface Timed {
  /** `performance.now()` at which patience ends; Infinity for never. */
  readonly deadline: number;
  /** The deadline has passed. */
  expired(): void;
}

/** Milliseconds between two looks at least: a deadline is noticed that much late at most. */
const PAUSE_MS = 100;
/** Milliseconds by which a look comes late only where the thread was busy. */
const LATE_MS = 25;
/** Milliseconds for what has arrived meanwhile to be read, before anything is called late. */
const GRACE_MS = 10;

export class Deadlines<Item extends Timed> {
  readonly #items = new Set<Item>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #wakeAt = Infinity;

  /** All that are watched. */
  get items(): ReadonlySet<Item> {
    return this.#items;
  }

  /** Watches an item, or takes note of an earlier deadline. Later ones need no call. */
  watch(item: Item): void {
    this.#items.add(item);
    if (item.deadline < this.#wakeAt) this.#wake(item.deadline);
  }

  forget(item: Item): void {
    if (!this.#items.delete(item) || this.#items.size > 0) return;
    clearTimeout(this.#timer);
    this.#wakeAt = Infinity;
  }

  #wake(at: number): void {
    clearTimeout(this.#timer);
    this.#wakeAt = at;
    this.#timer = setTimeout(() => this.#awake(), Math.max(Math.ceil(at - performance.now()), 1));
  }

  #awake(): void {
    if (performance.now() - this.#wakeAt < LATE_MS) return this.#look();
    // The time was the relay's own, not the service's: its response may be here already.
    this.#timer = setTimeout(() => this.#look(), GRACE_MS);
  }

  #look(): void {
    this.#wakeAt = Infinity;
    // A timer may come a little early.
    const now = performance.now() + 1;
    let earliest = Infinity;
    for (const item of this.#items) {
      if (item.deadline <= now) item.expired();
      else if (item.deadline < earliest) earliest = item.deadline;
    }
    if (earliest < Infinity) this.#wake(Math.max(earliest, now + PAUSE_MS));
  }
}
