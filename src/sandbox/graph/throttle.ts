// Graph's limit of concurrent requests for each app and mailbox.
// https://learn.microsoft.com/graph/throttling-limits#outlook-service-limits

/** Requests of one app to one mailbox are counted together. */
export function throttleKey(client: string, mailbox: string): string {
  return `${client}/${mailbox}`.toLowerCase();
}

/** Counts the requests of each key; keys without requests need no memory. */
export class Throttle {
  readonly #limit: number;
  readonly #taken = new Map<string, number>();
  #refused = 0;
  #most = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Requests that were over the limit. */
  get refused(): number {
    return this.#refused;
  }

  /** The most requests of one key at the same time. */
  get most(): number {
    return this.#most;
  }

  /** @returns a function that ends the request, or undefined if the limit is reached */
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
