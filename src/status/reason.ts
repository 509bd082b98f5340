// Why something failed, as it is remembered: enough to be explained in the words of `check` while the
// page is open.

import type { LoginFailure } from "../accounts/account.ts";
import type { NotSent } from "../delivery/delivery.ts";
import { type Reply, replyText } from "../smtp/reply.ts";
import { shownDetail } from "../observe/shown.ts";

export type Reason =
  | {
    readonly type: "login";
    readonly at: number;
    readonly failure: Pick<LoginFailure, "type" | "code" | "detail" | "entry">;
  }
  | {
    readonly type: "message";
    readonly at: number;
    readonly failure: Pick<NotSent, "type" | "code" | "detail" | "ambiguous">;
  };

/** What to do about it; undefined if nothing is known. */
export type Remedy = (reason: Reason) => string | undefined;

export function loginReason(
  { type, code, detail, entry }: LoginFailure,
  at: number,
): Reason {
  const failure = {
    type,
    // A second try with the same credentials is answered from memory, which the log alone says.
    detail: shownDetail(detail).replace(/ \(remembered: [^()]*\)$/, ""),
    ...(code === undefined ? {} : { code }),
    ...(entry === undefined ? {} : { entry }),
  };
  return { type: "login", at, failure };
}

/** @param sender stays in the text */
export function messageReason(
  { type, code, detail, ambiguous }: Pick<NotSent, "type" | "code" | "detail" | "ambiguous">,
  sender: string,
  at: number,
): Reason {
  const failure = { type, code, ambiguous, detail: shownDetail(detail, [sender]) };
  return { type: "message", at, failure };
}

/** The session itself has refused it. */
export function refusalReason(reply: Reply, code: string, at: number): Reason {
  const type = reply.code < 500 ? "later" : "refused";
  const detail = shownDetail(replyText(reply));
  return { type: "message", at, failure: { type, code, detail, ambiguous: false } };
}
