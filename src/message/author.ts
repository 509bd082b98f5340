// Who a From or Sender field names, as far as that is clear (RFC 5322 §3.6.2).

export interface Author {
  readonly address: string;
  /** A phrase (§3.2.5), one character an octet; "" for none. */
  readonly name: string;
}

export type Authors =
  /** Every reader finds exactly these: the field may stay. */
  | { readonly type: "unambiguous"; readonly authors: readonly Author[] }
  /** These are meant, but the field must be written anew. */
  | { readonly type: "repaired"; readonly authors: readonly Author[] }
  /** There is no address in it. The name is a phrase, or "". */
  | { readonly type: "nobody"; readonly name: string }
  /** Readers disagree about it. */
  | {
    readonly type: "ambiguous";
    /** What looks like an address. */
    readonly candidates: readonly string[];
  };
