// The memory that queued messages take while they are sent, so that a long queue of large messages takes
// no more than a short one.

/** Gives the octets back. To be called once. */
export type Release = () => void;

export class MemoryShare {
  readonly #limit: number;
  #used = 0;
  #closed = false;
  /** In order of arrival. */
  readonly #waiting: { readonly octets: number; begin(release: Release | undefined): void }[] = [];

  /** @param limit octets at once; a message that is larger gets its turn alone */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** @returns undefined if it was closed meanwhile */
  acquire(octets: number): Promise<Release | undefined> {
    return new Promise((resolve) => {
      this.#waiting.push({ octets, begin: resolve });
      this.#admit();
    });
  }

  /** Ends all waits. */
  close(): void {
    this.#closed = true;
    this.#admit();
  }

  #admit(): void {
    for (;;) {
      const [first] = this.#waiting;
      if (first === undefined) return;
      const { octets } = first;
      if (!this.#closed && this.#used > 0 && this.#used + octets > this.#limit) return;
      this.#waiting.shift();
      if (this.#closed) {
        first.begin(undefined);
        continue;
      }
      this.#used += octets;
      first.begin(() => {
        this.#used -= octets;
        this.#admit();
      });
    }
  }
}
