// Refuses a message if its account may not send from the mailbox, or as an address that From or Sender would
// name. MAIL has been checked already, but what a reader sees is in the header.

import type { MessageLimits } from "../message/prepare.ts";
import { readOriginator } from "../message/prepare.ts";
import { printable, reply } from "../smtp/reply.ts";
import type { Attempt, Delivery, NotSent, Outcome, Submission } from "./delivery.ts";
import { refused } from "./outcomes.ts";
import type { SenderRules } from "../accounts/senders.ts";

export interface SenderPolicyOptions {
  readonly rules: SenderRules;
  /** Default: the defaults of the settings. */
  readonly limits?: MessageLimits;
}

/** Characters of an address that a reply and the log quote at most. */
const MAX_SHOWN = 256;

/**
 * Does not read the messages of an account that may send as any address. A back end that changes
 * From or Sender must pass the restriction to `originator`, as this does, so that both read the
 * header alike.
 */
export class SenderPolicy implements Delivery {
  readonly #next: Delivery;
  readonly #options: SenderPolicyOptions;

  constructor(next: Delivery, options: SenderPolicyOptions) {
    this.#next = next;
    this.#options = options;
  }

  deliver(submission: Submission, attempt: Attempt): Promise<Outcome> {
    const refusal = this.#refusal(submission);
    return refusal === undefined
      ? this.#next.deliver(submission, attempt)
      : Promise.resolve(refusal);
  }

  #refusal({ account, envelope, content }: Submission): NotSent | undefined {
    const { rules, limits } = this.#options;
    if (!rules.restricts(account)) return undefined;
    const from = readOriginator(content, envelope.from, { ...account, restricted: true }, limits);
    if (from.type === "rejected") return refused(from);
    for (
      const { text, unambiguous } of [{ text: from.sender, unambiguous: true }, ...from.named()]
    ) {
      // An ambiguous address is on no list, as "" is on none.
      const refusal = rules.refusal(account, unambiguous ? text : "");
      if (refusal !== undefined) return notAllowed(String(refusal.text), text, unambiguous);
    }
    return undefined;
  }
}

function notAllowed(why: string, text: string, unambiguous: boolean): NotSent {
  const shown = printable(text.slice(0, MAX_SHOWN));
  const detail = unambiguous
    ? `${shown} may not send: ${why.replace(/^Sender not allowed: /, "")}`
    : `From or Sender cannot be read for certain: ${shown}; ${why}`;
  return {
    type: "refused",
    reply: reply(550, "5.7.1", `${why} (${shown})`),
    ambiguous: false,
    code: "SENDER_NOT_ALLOWED",
    detail,
  };
}
