// Whether an account has the queue for itself.

import type { Clock } from "../clock.ts";

/** Milliseconds for which an account counts after it was seen. */
const LATELY = 86_400_000;

interface Seen {
  readonly account: string;
  readonly at: number;
}

/** Remembers two accounts: the last one, and the last one that was another. */
export class OtherAccounts {
  readonly #clock: Pick<Clock, "now">;
  #last: Seen | undefined;
  #before: Seen | undefined;

  constructor(clock: Pick<Clock, "now">) {
    this.#clock = clock;
  }

  seen(account: string): void {
    if (this.#last?.account !== account) this.#before = this.#last;
    this.#last = { account, at: this.#clock.now() };
  }

  /** Whether no other account was seen within the last day. */
  isAlone(account: string): boolean {
    const earliest = this.#clock.now() - LATELY;
    return ![this.#last, this.#before].some((one) =>
      one !== undefined && one.account !== account && one.at > earliest
    );
  }
}
