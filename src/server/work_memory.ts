// The part of MAX_MEMORY that work other than mail may take, such as checks of passwords. Such work waits where
// there is none; a message is refused instead.

import type { Clock } from "../clock.ts";
import type { Reservation } from "../smtp/reservation.ts";
import { COPIES, type MemoryBudget } from "./memory.ts";

/** The part of all memory that such work may take together: the rest is for mail. */
const SHARE = 1 / 2;

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
   * Takes memory, and waits for it where there is none. Work that needs more than its part counts as the whole
   * part, so that it can be done with any MAX_MEMORY.
   *
   * @param octets of memory
   * @param timeout milliseconds
   * @returns gives it back; undefined if there was none in time
   */
  async acquire(octets: number, timeout: number): Promise<(() => void) | undefined> {
    const needed = Math.min(octets, this.#most);
    let taken = this.#take(needed, true);
    if (taken !== undefined) return taken;
    const { promise: end, resolve } = Promise.withResolvers<"end">();
    const cancel = this.#clock.alarm(timeout, () => resolve("end"));
    try {
      while (taken === undefined) {
        if (await this.#released(end) === "end") return undefined;
        taken = this.#take(needed, false);
      }
      return taken;
    } finally {
      cancel();
    }
  }

  async #released(end: Promise<"end">): Promise<"end" | "released"> {
    const { promise, resolve } = Promise.withResolvers<"released">();
    const cancel = this.#budget.onRelease(() => resolve("released"));
    try {
      return await Promise.race([promise, end]);
    } finally {
      cancel();
    }
  }

  #take(octets: number, tell: boolean): (() => void) | undefined {
    if (this.#taken + octets > this.#most) return undefined;
    const ofMail = Math.floor(octets / COPIES);
    const memory: Reservation | undefined = this.#budget.open(
      this.#name,
      undefined,
      ofMail,
      tell,
    );
    // What is only announced would lapse.
    if (memory?.ensure(ofMail) !== true) return undefined;
    this.#taken += octets;
    return () => {
      this.#taken -= octets;
      memory.release();
    };
  }
}
