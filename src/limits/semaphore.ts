// A counting semaphore: so many at once, the others wait in line for a limited time.

import type { Clock } from "../clock.ts";

/** Waiters at most; further ones are rejected at once. */
const MAX_WAITING = 1000;

/** Gives back what was acquired. To be called once. */
export type Release = () => void;

export class Semaphore {
  readonly #clock: Pick<Clock, "alarm">;
  #free: number;
  /** In the order in which they came. */
  readonly #waiters = new Set<() => void>();

  /** @param permits how many may hold the semaphore at once */
  constructor(permits: number, clock: Pick<Clock, "alarm">) {
    this.#free = permits;
    this.#clock = clock;
  }

  /** @returns undefined if no permit is free */
  tryAcquire(): Release | undefined {
    if (this.#free === 0) return undefined;
    this.#free--;
    return () => this.#release();
  }

  /**
   * @param timeout milliseconds
   * @returns undefined if no permit came free in time, or too many wait already
   */
  async acquire(timeout: number): Promise<Release | undefined> {
    if (this.#free > 0) this.#free--;
    else if (!await this.#wait(timeout)) return undefined;
    return () => this.#release();
  }

  #wait(timeout: number): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    if (this.#waiters.size >= MAX_WAITING) return Promise.resolve(false);
    const next = () => {
      cancel();
      resolve(true);
    };
    const cancel = this.#clock.alarm(timeout, () => {
      this.#waiters.delete(next);
      resolve(false);
    });
    this.#waiters.add(next);
    return promise;
  }

  /** The permit passes to the next waiter, if there is one. */
  #release(): void {
    const [next] = this.#waiters;
    if (next === undefined) this.#free++;
    else {
      this.#waiters.delete(next);
      next();
    }
  }
}
