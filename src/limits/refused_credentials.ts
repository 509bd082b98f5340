// Credentials that were refused, by the address that they came from. A device that tries its old password
// again and again does not guess, and must not use up the failed logins of its address (AUTH_RATE_LIMIT)
// for the others there.

/** Credentials remembered at most, of all addresses together. */
const CAPACITY = 10_000;

export interface RefusedOptions {
  /** Credentials remembered for one address: guesses there push out those of no other address. */
  readonly most: number;
  /** For all addresses together. */
  readonly capacity?: number;
}

export class RefusedCredentials {
  readonly #most: number;
  readonly #capacity: number;
  /** By address; addresses and credentials in the order in which they were last refused. */
  readonly #byClient = new Map<string, Set<string>>();
  #size = 0;

  constructor({ most, capacity = CAPACITY }: RefusedOptions) {
    this.#most = most;
    this.#capacity = capacity;
  }

  /** @param client the key of its address, @param name of the credentials */
  has(client: string, name: string): boolean {
    return this.#byClient.get(client)?.has(name) ?? false;
  }

  /** The credentials were refused. @returns whether for the first time */
  add(client: string, name: string): boolean {
    const isNew = !this.delete(client, name);
    const names = this.#byClient.get(client) ?? new Set();
    this.#byClient.delete(client);
    this.#byClient.set(client, names.add(name));
    this.#size++;
    if (names.size > this.#most) this.#forgetOldest(client, names);
    if (this.#size > this.#capacity) {
      for (const [oldest, its] of this.#byClient) {
        this.#forgetOldest(oldest, its);
        break;
      }
    }
    return isNew;
  }

  /** The credentials have worked. @returns whether they had been refused before */
  delete(client: string, name: string): boolean {
    const names = this.#byClient.get(client);
    if (!names?.delete(name)) return false;
    this.#size--;
    if (names.size === 0) this.#byClient.delete(client);
    return true;
  }

  #forgetOldest(client: string, names: Set<string>): void {
    const [oldest] = names;
    if (oldest !== undefined) this.delete(client, oldest);
  }
}
