// The interface by which a queue asks a mail service whether a message was sent, after an attempt that left it
// in doubt.

import type { Account, Authorization } from "../accounts/account.ts";
import type { SendingProgress } from "./delivery.ts";

export interface SentLookup {
  lookUp(question: SentQuestion): Promise<SentAnswer>;
}

export interface SentQuestion {
  readonly account: Account;
  readonly authorization: Authorization;
  /** What the back end said before its last request. */
  readonly sending: SendingProgress;
  /** When the first request that may have sent the message was begun, milliseconds of Unix time. */
  readonly since: number;
  /** Whether the message is sent again if it is not found. Then a draft that is still one is deleted. */
  readonly isLast: boolean;
}

/**
 * `notFound`: the service does not have the message, or does not show it yet. `forbidden`: the account may
 * not look. `later`: there was no answer, so the question may be asked again.
 */
export type SentAnswer =
  | { readonly type: "sent" | "notFound" }
  | {
    readonly type: "forbidden" | "later";
    /** For the log. */
    readonly detail: string;
  };
