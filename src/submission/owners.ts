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
    // The key of a token's account changes once the mail service has accepted the token.
    const isKnown = () => this.#known.has(accountKey(account, authorization));
    return {
      key: accountKey(account, authorization),
      get known() {
        return isKnown();
      },
    };
  }

  /** The mail service has accepted a message from the account. */
  sent(account: Account, authorization: Pick<Authorization, "unverified">): void {
    this.#known.set(accountKey(account, authorization), true);
  }
}
