// The connections of one address that have not logged in, and its limit (MAX_CONNECTIONS_PER_IP).

/**
 * Connections of one address, including waiting ones, beyond which its limit does not delay new
 * ones. Before the greeting, the limiter cannot distinguish honest clients from a flood.
 */
export function floodSize(limit: number): number {
  return Math.ceil(limit * 1.25) + 16;
}

export class AddressGroup<Member> {
  /** Connections with a slot. */
  admitted = 0;
  /** Of those, the ones that may be evicted for others, longest without progress first. */
  readonly idle = new Set<Member>();
  /** Connections without a slot, in order of arrival. */
  readonly waiting = new Set<Member>();
  readonly #limit: number;

  /**
   * @param key the client's address or network (`clientKey`); empty while it is unknown
   * @param limit MAX_CONNECTIONS_PER_IP
   */
  constructor(readonly key: string, limit: number) {
    this.#limit = limit;
  }

  get isAtLimit(): boolean {
    return this.admitted >= this.#limit;
  }

  get isOverLimit(): boolean {
    return this.admitted > this.#limit;
  }

  /** Whether the limit delays its waiting connections. */
  get isFull(): boolean {
    return this.isAtLimit &&
      this.admitted + this.waiting.size <= floodSize(this.#limit);
  }

  /** Whether one of its waiting connections may have the next slot. */
  get mayAdmit(): boolean {
    return this.waiting.size > 0 && this.key !== "" && !this.isFull;
  }

  get isEmpty(): boolean {
    return this.admitted === 0 && this.waiting.size === 0;
  }
}
