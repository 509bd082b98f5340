// Which addresses an account may send as: ALLOWED_SENDERS, and the list of its entry in the lookup table.

import { LRUCache } from "lru-cache";
import type { Account } from "../accounts/account.ts";
import { SenderList } from "../accounts/sender_list.ts";
import { REPLIES, type Reply } from "../smtp/reply.ts";

type Restriction = Pick<Account, "allowedSenders">;

/** Characters of all lists that are kept parsed; those that were needed least recently are parsed again. */
const CAPACITY = 1_000_000;
const MAX_LISTS = 1_000;

/** A list that cannot be read allows no address. */
const NOBODY: Pick<SenderList, "allows"> = { allows: () => false };

export class SenderRules {
  readonly #allowed: Pick<SenderList, "allows"> | undefined;
  #made: LRUCache<string, Pick<SenderList, "allows">> | undefined;

  /** @param allowed ALLOWED_SENDERS, where it is set */
  constructor(allowed?: Pick<SenderList, "allows">) {
    this.#allowed = allowed;
  }

  /** Whether the account may send as some addresses only. */
  restricts({ allowedSenders }: Restriction): boolean {
    return this.#allowed !== undefined || allowedSenders !== undefined;
  }

  /**
   * Why the account may not send as this address; undefined where it may.
   *
   * @param address what is no address, such as "", is on no list
   */
  refusal({ allowedSenders }: Restriction, address: string): Reply | undefined {
    if (this.#allowed?.allows(address) === false) return REPLIES.senderNotAllowed;
    if (allowedSenders !== undefined && !this.#listOf(allowedSenders).allows(address)) {
      return REPLIES.senderNotInEntry;
    }
    return undefined;
  }

  #listOf(text: string): Pick<SenderList, "allows"> {
    // Made with the first list: it takes its whole room at once.
    const lists = this.#made ??= new LRUCache({
      max: MAX_LISTS,
      maxSize: CAPACITY,
      sizeCalculation: (_, text) => text.length + 1,
    });
    const known = lists.get(text);
    if (known !== undefined) return known;
    const list = SenderList.parse(text) ?? NOBODY;
    lists.set(text, list);
    return list;
  }
}
