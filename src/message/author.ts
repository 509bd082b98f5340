// The authors that a From or Sender field names, as far as that is clear (RFC 5322 §3.6.2).

export interface Author {
  readonly address: string;
  /** A phrase (§3.2.5), one character an octet; "" for none. */
  readonly name: string;
}

export type Authors =
  /** Every reader finds exactly these: the field may stay. */
  | { readonly type: "unambiguous"; readonly authors: readonly Author[] }
  /** These are meant, but the field must be rewritten. */
  | { readonly type: "repaired"; readonly authors: readonly Author[] }
  /** There is no address in it. The name is a phrase, or "". */
  | { readonly type: "none"; readonly name: string }
  /** Readers disagree about it. */
  | {
    readonly type: "ambiguous";
    /** Texts that look like addresses. */
    readonly candidates: readonly string[];
  };
