// What the listeners of events say about a message, each in its own form: log, webhook and traces.

import type { Account } from "../accounts/account.ts";
import type { Outcome } from "../delivery/delivery.ts";
import type { Step } from "../delivery/steps.ts";

/** The account's ids, as they are named everywhere. */
export function accountIds({ tenantId, clientId, entry }: Account) {
  return {
    tenant: tenantId,
    app: clientId,
    ...(entry === undefined ? {} : { entry: entry.id }),
  };
}

/** The mailbox that the message is sent from; and the client's MAIL FROM, if that is another address. */
export function senderOf(
  reversePath: string,
  mailbox: string | undefined,
): { readonly sender: string; readonly mail_from?: string } {
  if (mailbox === undefined || mailbox === reversePath) return { sender: reversePath };
  return { sender: mailbox, mail_from: reversePath };
}

/** @returns undefined if it is the reverse-path, or was not decided */
export function mailboxOf(outcome: Outcome): string | undefined {
  return "mailbox" in outcome ? outcome.mailbox : undefined;
}

/** Requests that may have sent the message in this delivery; undefined if there was none. */
export function attemptsOf(outcome: Outcome, steps: readonly Step[]): number | undefined {
  if ("attempts" in outcome && outcome.attempts !== undefined) return outcome.attempts;
  let attempts = 0;
  for (const { name, target = "" } of steps) {
    if (name === "request" && SENDS.test(target)) attempts++;
  }
  if (outcome.type === "sent") return Math.max(1, attempts);
  return attempts === 0 ? undefined : attempts;
}

const SENDS = / (?:sendMail|send)$/;
