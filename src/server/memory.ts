// MAX_MEMORY: how much mail all connections together may hold.

import type { Memory } from "../smtp/reservation.ts";

/**
 * Octets of memory for each octet of a message in flight, at most, whatever its shape: its content,
 * and what is made of it piece by piece while it is sent, until it is collected. `npm run bench --
 * memory` holds it.
 */
export const COPIES = 1.5;

export class MemoryBudget implements Memory {
  /** Octets of mail. */
  readonly #limit: number;
  readonly #exhausted: (used: number) => void;
  #reserved = 0;

  /**
   * @param limit octets of memory, not of mail
   * @param exhausted called each time that there is no room, with the octets of memory in use
   */
  constructor(limit: number, exhausted: (used: number) => void = () => {}) {
    this.#limit = Math.floor(limit / COPIES);
    this.#exhausted = exhausted;
  }

  /** Octets of memory that all messages in flight take. */
  get used(): number {
    return this.#reserved * COPIES;
  }

  reserve(least: number, most: number): number {
    const free = this.#limit - this.#reserved;
    if (least > free) {
      this.#exhausted(this.used);
      return 0;
    }
    const taken = Math.min(most, free);
    this.#reserved += taken;
    return taken;
  }

  release(octets: number): void {
    this.#reserved -= octets;
  }
}
