// Room in memory for one message while it arrives. The room is all connections' (MAX_MEMORY); who
// divides it is outside of the session, and known to it by two functions.

/** What there is for all messages together. */
export interface Memory {
  /**
   * Takes room for octets of a message: `most` where there is room for them, but not fewer than
   * `least`.
   *
   * @returns octets taken; 0 where there is no room
   */
  reserve(least: number, most: number): number;
  /** Gives room back. */
  release(octets: number): void;
}

/** For a session that nobody has given a limit. */
export const UNLIMITED: Memory = { reserve: (_, most) => most, release: () => {} };

/** Octets taken at a time while the size of a message is not known. */
const STEP = 16 * 1024;

/** What one message has taken, and gives back exactly once. */
export class Reservation {
  readonly #memory: Memory;
  readonly #most: number;
  #octets = 0;

  /** @param most octets that a message can have: never more is taken */
  constructor(memory: Memory, most: number) {
    this.#memory = memory;
    this.#most = most;
  }

  /** Sees to it that there is room for a message of so many octets. @returns false for none */
  cover(octets: number): boolean {
    if (octets <= this.#octets) return true;
    const least = octets - this.#octets;
    const most = Math.max(least, Math.min(STEP, this.#most - this.#octets));
    const taken = this.#memory.reserve(least, most);
    this.#octets += taken;
    return taken > 0;
  }

  /** Gives all of it back. */
  release(): void {
    this.#give(this.#octets);
  }

  /**
   * Leaves the room of a finished message to somebody else, who has to release it.
   *
   * @param octets the message's real size; what was taken beyond it is given back
   * @returns octets to release
   */
  handOver(octets: number): number {
    this.#give(this.#octets - octets);
    const left = this.#octets;
    this.#octets = 0;
    return left;
  }

  #give(octets: number): void {
    if (octets <= 0) return;
    this.#octets -= octets;
    this.#memory.release(octets);
  }
}
