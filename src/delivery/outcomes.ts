// Outcomes that do not come from a mail service.

import type { Rejected } from "../message/originator.ts";
import { reply } from "../smtp/reply.ts";
import type { AlreadySent, NotSent } from "./delivery.ts";

/** The message was sent under this id, and its client did not get the reply. */
export function alreadySent(id: string): AlreadySent {
  return { type: "alreadySent", reply: reply(250, "2.0.0", `OK id=${id}`), id };
}

/** The wait of the delivery was ended (see `WaitingClient`), because its account holds more than its share. */
export function madeRoom(): NotSent {
  const detail = "others need the memory or the connection, and this account holds more than its " +
    "share; nothing was sent";
  return {
    type: "later",
    reply: reply(451, "4.3.2", `OVER_SHARE: ${detail}`),
    ambiguous: false,
    code: "OVER_SHARE",
    detail,
  };
}

/** Another relay has taken the message, so this one must not send it. */
export function notOwned(): NotSent {
  return unsent("NOT_OWNED", "another relay has taken the message; this one sent nothing");
}

/** That the message is about to be sent could not be recorded, so it was not sent. */
export function notRecorded(error: unknown): NotSent {
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown };
  return unsent(
    typeof code === "string" ? code : "NOT_RECORDED",
    `the queue could not record the sending (${message ?? error}); nothing was sent`,
  );
}

function unsent(code: string, detail: string): NotSent {
  return {
    type: "later",
    reply: reply(451, "4.3.0", `${code}: ${detail}`),
    ambiguous: false,
    code,
    detail,
  };
}

/** The message cannot be sent as it is. */
export function refused({ type: _, ...why }: Rejected): NotSent {
  return { ...why, type: "refused", ambiguous: false };
}
