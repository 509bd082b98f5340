// The part of MAX_MEMORY that work other than mail may take, such as checks of passwords. Such work waits for
// free memory, whereas a message is refused.

import type { Clock } from "../clock.ts";
import { COPIES, type MemoryBudget } from "./memory.ts";

/** The part of all memory that such work may take together: the rest is for mail. */
const SHARE = 1 / 2;
/**
 * Milliseconds that it waits for free memory. Then those give some up that have more than their share, as for a
 * message.
 */
const PATIENCE = 5_000;

export class WorkMemory {
  readonly #budget: MemoryBudget;
  /** Its name as a holder of memory. */
  readonly #name: string;
  readonly #clock: Pick<Clock, "alarm">;
  /** Octets of memory, as below. */
  readonly #most: number;
  #taken = 0;

  constructor(budget: MemoryBudget, name: string, clock: Pick<Clock, "alarm">) {
    this.#budget = budget;
    this.#name = name;
    this.#clock = clock;
    this.#most = Math.ceil(budget.limit * SHARE);
  }

  /**
   * Takes memory, and waits until it is free. Work that needs more than its part counts as the whole
   * part, so that it can be done with any MAX_MEMORY.
   *
   * @param octets of memory
   * @param timeout milliseconds
   * @returns gives it back; undefined if there was none in time
   */
  async acquire(octets: number, timeout: number): Promise<(() => void) | undefined> {
    const needed = Math.min(octets, this.#most);
    let [urgent, ended, wake] = [false, false, () => {}];
    const cancelPatience = this.#clock.alarm(Math.min(PATIENCE, timeout), () => {
      urgent = true;
      wake();
    });
    const cancelEnd = this.#clock.alarm(timeout, () => {
      ended = true;
      wake();
    });
    try {
      for (;;) {
        const taken = this.#take(needed, urgent);
        if (taken !== undefined || ended) return taken;
        urgent = false;
        await new Promise<void>((resolve) => {
          const cancel = this.#budget.onRelease(() => wake());
          wake = () => {
            cancel();
            resolve();
          };
        });
      }
    } finally {
      cancelPatience();
      cancelEnd();
    }
  }

  #take(octets: number, urgent: boolean): (() => void) | undefined {
    if (this.#taken + octets > this.#most) return undefined;
    const ofMail = Math.floor(octets / COPIES);
    const memory = this.#budget.open(this.#name, undefined, ofMail, urgent);
    // What is only announced would lapse.
    if (memory?.ensure(ofMail) !== true) return undefined;
    this.#taken += octets;
    return () => {
      this.#taken -= octets;
      memory.release();
    };
  }
}
