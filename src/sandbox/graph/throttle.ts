// Graph's limit of requests at once for each app and mailbox.
// https://learn.microsoft.com/graph/throttling-limits#outlook-service-limits

/** Whose requests are counted together: an app's to one mailbox. */
export function throttleKey(client: string, mailbox: string): string {
  return `${client}/${mailbox}`.toLowerCase();
}

/** Places for the requests of each key; a key without requests takes no memory. */
export class Throttle {
  readonly #limit: number;
  readonly #taken = new Map<string, number>();
  #refused = 0;
  #most = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Requests that found no place. */
  get refused(): number {
    return this.#refused;
  }

  /** The most places that one key has had at once. */
  get most(): number {
    return this.#most;
  }

  /** A function that gives the place back, or undefined if all are taken. */
  enter(key: string): (() => void) | undefined {
    const taken = this.#taken.get(key) ?? 0;
    if (taken >= this.#limit) {
      this.#refused++;
      return undefined;
    }
    this.#taken.set(key, taken + 1);
    this.#most = Math.max(this.#most, taken + 1);
    let given = false;
    return () => {
      if (given) return;
      given = true;
      const left = (this.#taken.get(key) ?? 1) - 1;
      if (left === 0) this.#taken.delete(key);
      else this.#taken.set(key, left);
    };
  }
}
