// Which addresses an account may send as: ALLOWED_SENDERS, and the list of its own entry.

import { BoundedMap } from "../bounded_map.ts";
import { REPLIES, type Reply } from "../smtp/reply.ts";
import type { SenderCheck } from "../smtp/session.ts";
import type { Account, Authorization, LoginFailure } from "./account.ts";
import { SenderList } from "./sender_list.ts";

/** Lists of entries that stay parsed; each is 64 KiB of text at most, as a table's column. */
const MAX_PARSED = 1000;

/** What {@link senderRefusal} needs of a list. */
type List = Pick<SenderList, "allows">;

/** Why a message may not be sent as this address; undefined if it may. */
export function senderRefusal(
  address: string,
  lists: {
    /** ALLOWED_SENDERS. */
    readonly allowed: List | undefined;
    /** The column allowed_senders of the account's entry. */
    readonly ofEntry: List | undefined;
  },
): Reply | undefined {
  if (lists.allowed?.allows(address) === false) return REPLIES.senderNotAllowed;
  if (lists.ofEntry?.allows(address) === false) return REPLIES.senderNotInEntry;
  return undefined;
}

/** ALLOWED_SENDERS together with the accounts' own lists. */
export class SenderRules {
  readonly #allowed: SenderList | undefined;
  readonly #parsed = new BoundedMap<List>({ max: MAX_PARSED });

  /** @param allowed ALLOWED_SENDERS, where it is set */
  constructor(allowed?: SenderList) {
    this.#allowed = allowed;
  }

  /** Whether there is any list that the account has to keep to. */
  restricts({ allowedSenders }: Pick<Account, "allowedSenders">): boolean {
    return this.#allowed !== undefined || allowedSenders !== undefined;
  }

  /** Why the account may not send as this address; undefined if it may. */
  refusal({ allowedSenders }: Pick<Account, "allowedSenders">, address: string): Reply | undefined {
    const ofEntry = allowedSenders === undefined ? undefined : this.#listOf(allowedSenders);
    return senderRefusal(address, { allowed: this.#allowed, ofEntry });
  }

  #listOf(text: string): List {
    const known = this.#parsed.get(text);
    if (known !== undefined) return known;
    const list = SenderList.parse(text) ?? UNREADABLE;
    this.#parsed.set(text, list);
    return list;
  }
}

/** A stored account may come from elsewhere; a list that cannot be read allows nothing. */
const UNREADABLE: List = { allows: (_address: string) => false };

export interface SenderCheckOptions {
  readonly authorization: Pick<Authorization, "expiry">;
  readonly policy: SenderRules;
  /** See `Accounts.refresh`. */
  refresh(account: Account): Promise<Account | LoginFailure>;
}

/**
 * What a session refuses MAIL with. A reverse-path that `fromEmail` replaces may be any address, and the
 * sender that the null one stands for is known only with the message. Where the account's lists say no,
 * its entry is read again in the background, so that the next MAIL is checked against its present state.
 */
export function senderCheck(
  account: Account,
  { authorization, policy, refresh }: SenderCheckOptions,
): SenderCheck {
  let latest = account;
  return (from) => {
    const expiry = authorization.expiry();
    if (expiry !== undefined) return expiry;
    if (from === "" || latest.fromEmail !== undefined) return undefined;
    const refusal = policy.refusal(latest, from);
    if (refusal !== undefined) {
      void refresh(latest).then((now) => {
        if (!("reply" in now)) latest = now;
      });
    }
    return refusal;
  };
}
