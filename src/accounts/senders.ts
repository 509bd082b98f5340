// Which addresses an account may send as: ALLOWED_SENDERS, and its entry's own list.

import type { SenderList } from "./sender_list.ts";
import { REPLIES, type Reply } from "../smtp/reply.ts";
import type { SenderCheck } from "../smtp/session.ts";
import type { Account } from "./accounts.ts";

export interface SenderLists {
  /** ALLOWED_SENDERS. */
  readonly allowed: SenderList | undefined;
  /** The column allowed_senders of the account's entry. */
  readonly ofEntry: SenderList | undefined;
}

/** Why the account may not send as this address; undefined where it may. */
export function senderRefusal(
  address: string,
  { allowed, ofEntry }: SenderLists,
): Reply | undefined {
  if (allowed !== undefined && !allowed.allows(address)) return REPLIES.senderNotAllowed;
  if (ofEntry !== undefined && !ofEntry.allows(address)) return REPLIES.senderNotInEntry;
  return undefined;
}

/**
 * What a session refuses MAIL with. A reverse-path that is replaced by `fromEmail` may be any, and who
 * the null one stands for is known only when the message is there. Where
 * the account's entry says no, it is looked at again meanwhile: the next MAIL knows what it is now.
 */
export function senderCheck(account: Account): SenderCheck {
  let latest = account;
  return (from) => {
    const ended = latest.ended?.();
    if (ended !== undefined) return ended;
    if (from === "" || latest.fromEmail !== undefined) return undefined;
    const refusal = latest.refusesSender?.(from);
    if (refusal !== undefined) {
      void latest.renewed?.().then((now) => {
        if ("token" in now) latest = now;
      });
    }
    return refusal;
  };
}
