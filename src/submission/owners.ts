// Accounts as owners of shares of the relay's connections and memory. An account is known once the
// mail service has accepted a message from it. A login alone proves little, because everyone can
// register an app in a tenant of their own.

import { type Account, accountKey, type Authorization } from "../accounts/account.ts";
import { BoundedMap } from "../bounded_map.ts";
import type { Owner } from "./submission_service.ts";

/** Accounts remembered as known; the one that sent least recently is forgotten. */
const CAPACITY = 10_000;

export class Owners {
  readonly #known = new BoundedMap<true>({ max: CAPACITY });

  of(account: Account, authorization: Pick<Authorization, "unverified">): Owner {
    return new AccountOwner(this.#known, account, authorization);
  }

  /** The mail service has accepted a message from the account. */
  sent(account: Account, authorization: Pick<Authorization, "unverified">): void {
    this.#known.set(accountKey(account, authorization), true);
  }
}

/** One of each session: a class, because it takes less memory than closures. */
class AccountOwner implements Owner {
  readonly key: string;
  readonly #known: BoundedMap<true>;
  readonly #account: Account;
  readonly #authorization: Pick<Authorization, "unverified">;

  constructor(
    known: BoundedMap<true>,
    account: Account,
    authorization: Pick<Authorization, "unverified">,
  ) {
    this.key = accountKey(account, authorization);
    this.#known = known;
    this.#account = account;
    this.#authorization = authorization;
  }

  get known(): boolean {
    // The key of a token's account changes once the mail service has accepted the token.
    return this.#known.has(accountKey(this.#account, this.#authorization));
  }
}
