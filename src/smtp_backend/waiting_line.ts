// Messages that wait for their turn: in order of arrival, as far as one account is concerned; accounts take
// turns, however many messages of each wait.

export interface Waiting {
  readonly account: string;
}

export class WaitingLine<Waiter extends Waiting> {
  /** In order of arrival. */
  readonly #all = new Set<Waiter>();
  /** Of each account; the accounts in order of their turns. */
  readonly #accounts = new Map<string, Set<Waiter>>();

  get size(): number {
    return this.#all.size;
  }

  /** The one that has waited longest. */
  get first(): Waiter | undefined {
    const [first] = this.#all;
    return first;
  }

  /** In order of arrival. Each may be deleted meanwhile. */
  [Symbol.iterator](): Iterator<Waiter> {
    return this.#all.values();
  }

  add(waiter: Waiter): void {
    this.#all.add(waiter);
    const own = this.#accounts.get(waiter.account);
    if (own === undefined) this.#accounts.set(waiter.account, new Set([waiter]));
    else own.add(waiter);
  }

  delete(waiter: Waiter): void {
    if (!this.#all.delete(waiter)) return;
    const own = this.#accounts.get(waiter.account)!;
    own.delete(waiter);
    if (own.size === 0) this.#accounts.delete(waiter.account);
  }

  /** Removes the next one of those accounts that may go on. The account's others come after all other accounts. */
  take(mayGoOn: (account: string) => boolean): Waiter | undefined {
    for (const [account, own] of this.#accounts) {
      if (!mayGoOn(account)) continue;
      const [next] = own;
      this.delete(next!);
      if (own.size > 0) {
        this.#accounts.delete(account);
        this.#accounts.set(account, own);
      }
      return next;
    }
    return undefined;
  }
}
