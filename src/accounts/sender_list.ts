// Lists of addresses that may send: ALLOWED_SENDERS, and allowed_senders of the lookup table.

import { addressKey, isAddress, isAmbiguous, isNormalized } from "../message/addresses.ts";

/** Entries of one list at most. */
const MAX_ENTRIES = 10_000;

export const SENDER_LIST_FORM =
  "addresses or @domains with commas between them, such as ann@example.com, @example.org";

/**
 * Addresses and whole domains. Two spellings of one address are the same, as for recipients (see
 * {@link addressKey}); a domain does not include its subdomains.
 */
export class SenderList {
  readonly #addresses = new Set<string>();
  /** With the `@`. */
  readonly #domains = new Set<string>();

  private constructor(readonly text: string) {}

  /** @returns undefined if the text does not have the {@link SENDER_LIST_FORM} */
  static parse(text: string): SenderList | undefined {
    const list = new SenderList(text);
    const entries = text.split(",").map((entry) => entry.trim()).filter((entry) => entry !== "");
    if (entries.length === 0 || entries.length > MAX_ENTRIES) return undefined;
    for (const entry of entries) {
      // It is an address, but a wildcard is meant.
      if (entry.startsWith("*@")) return undefined;
      const domain = entry.startsWith("@");
      const address = domain ? `any${entry}` : entry;
      if (!isAddress(address) || !isNormalized(address)) return undefined;
      const key = addressKey(address);
      if (domain) list.#domains.add(domainOf(key));
      else list.#addresses.add(key);
    }
    return list;
  }

  /**
   * Whether this address, or its domain, is in the list. Never for a text that is not an address, or that
   * some mail systems read as another one.
   */
  allows(address: string): boolean {
    if (!isAddress(address) || !isNormalized(address) || isAmbiguous(address)) return false;
    const key = addressKey(address);
    return this.#addresses.has(key) || this.#domains.has(domainOf(key));
  }
}

function domainOf(key: string): string {
  return key.slice(key.lastIndexOf("@"));
}
