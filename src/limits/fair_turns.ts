// Turns for costly work: so much of it at once, the rest waits for a limited time. Clients take turns, however
// much work each of them asks for, so that a flood from one does not hold up the others.

import type { Clock } from "../clock.ts";
import type { Release } from "./semaphore.ts";

export interface FairTurnsOptions {
  /** Turns at once. */
  readonly atOnce: number;
  /** Work that waits at most, of all clients together. */
  readonly waiting: number;
  readonly clock: Pick<Clock, "alarm">;
}

interface Waiter {
  proceed(hasTurn: boolean): void;
}

export class FairTurns {
  readonly #most: number;
  readonly #clock: Pick<Clock, "alarm">;
  #free: number;
  #waiting = 0;
  #stopped = false;
  /** By client, in the order of their turns. */
  readonly #queues = new Map<string, Set<Waiter>>();

  constructor({ atOnce, waiting, clock }: FairTurnsOptions) {
    this.#free = atOnce;
    this.#most = waiting;
    this.#clock = clock;
  }

  /** Work that waits for its turn. */
  get waiting(): number {
    return this.#waiting;
  }

  /**
   * @param client the key of its address
   * @param timeout milliseconds
   * @returns undefined if its turn did not come in time, or too much waits
   */
  async acquire(client: string, timeout: number): Promise<Release | undefined> {
    if (this.#free > 0) this.#free--;
    else if (!await this.#wait(client, timeout)) return undefined;
    let over = false;
    return () => {
      if (over) return;
      over = true;
      this.#next();
    };
  }

  /** Turns away all that waits, now and later: the relay is stopping. */
  stop(): void {
    this.#stopped = true;
    for (const queue of [...this.#queues.values()]) {
      for (const waiter of [...queue]) waiter.proceed(false);
    }
  }

  #wait(client: string, timeout: number): Promise<boolean> {
    if (this.#stopped) return Promise.resolve(false);
    if (this.#waiting >= this.#most && !this.#makeRoom(client)) return Promise.resolve(false);
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const waiter: Waiter = {
      proceed: (hasTurn) => {
        cancel();
        const queue = this.#queues.get(client)!;
        queue.delete(waiter);
        if (hasTurn || queue.size === 0) this.#queues.delete(client);
        // Its client's other work comes after that of all others.
        if (queue.size > 0) this.#queues.set(client, queue);
        this.#waiting--;
        resolve(hasTurn);
      },
    };
    const cancel = this.#clock.alarm(timeout, () => waiter.proceed(false));
    const queue = this.#queues.get(client) ?? new Set();
    this.#queues.set(client, queue.add(waiter));
    this.#waiting++;
    return promise;
  }

  /** Turns away the latest of the client with the most, unless that is this one. */
  #makeRoom(client: string): boolean {
    let largest: Set<Waiter> | undefined;
    for (const queue of this.#queues.values()) {
      if (queue.size > (largest?.size ?? 0)) largest = queue;
    }
    const own = (this.#queues.get(client)?.size ?? 0) + 1;
    if (largest === undefined || largest.size <= own) return false;
    [...largest].at(-1)!.proceed(false);
    return true;
  }

  #next(): void {
    for (const [first] of this.#queues.values()) {
      if (first !== undefined) return first.proceed(true);
    }
    this.#free++;
  }
}
