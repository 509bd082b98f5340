// Accounts as those who share the relay's places and memory, and which of them are known: the mail
// service has taken a message of theirs. A login alone proves little: anybody can register an app in a
// tenant of their own.

import { LRUCache } from "lru-cache";
import type { Owner } from "../server/handlers.ts";
import type { Account } from "../accounts/accounts.ts";

/** Accounts that are remembered as known; the one that has sent least recently is forgotten. */
const CAPACITY = 10_000;

/** What of an account says whose it is. */
export type Claim = Pick<Account, "tenantId" | "clientId" | "entry" | "unproved">;

export class Owners {
  #made: LRUCache<string, true> | undefined;

  /** Made with the first login: it takes its whole room at once. */
  get #known(): LRUCache<string, true> {
    return this.#made ??= new LRUCache({ max: CAPACITY });
  }

  of(account: Claim): Owner {
    // The name of a token's account changes once the mail service has taken the token.
    const isKnown = () => this.#known.has(ownerKey(account));
    return {
      key: ownerKey(account),
      get known() {
        return isKnown();
      },
    };
  }

  /** The mail service has taken a message of the account. */
  sent(account: Claim): void {
    this.#known.set(ownerKey(account), true);
  }
}

/**
 * A name for the account. An app that several devices share has one for each entry: one of them must
 * not use up what is for all. Whoever only says that an account is theirs, by a token that Graph has
 * not seen yet, must not either.
 */
export function ownerKey({ tenantId, clientId, entry, unproved }: Claim): string {
  const name = entry === undefined ? `${tenantId} ${clientId}` : `entry ${entry}`;
  const token = unproved?.();
  return token === undefined ? name : `${name} ${token}`;
}
