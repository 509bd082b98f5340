// MESSAGE_RATE_LIMIT: messages of an account in a time, from all of its sessions together.
//
// Mostly MAIL is refused, before the content is sent. The limit is checked again when the message
// has arrived, because many sessions may have passed MAIL at the same time.

import { type Account, accountKey, type Authorization } from "../accounts/account.ts";
import type { Clock } from "../clock.ts";
import { type EndUse, type Rate, RateLimit } from "../limits/rate_limit.ts";
import { REPLIES, type Reply } from "../smtp/reply.ts";
import type { SenderCheck } from "../smtp/session.ts";

type Unverified = Pick<Authorization, "unverified">;

/**
 * Counts by {@link accountKey}: each entry has its own limit, so that devices that share an app do
 * not use up each other's. A client with a token that Graph has not accepted yet is counted apart
 * too.
 */
export class MessageLimit {
  readonly #limit: RateLimit;

  constructor(rate: Rate, clock: Pick<Clock, "now">) {
    this.#limit = new RateLimit({ rate, clock });
  }

  /** Adds the limit to MAIL's check, after its other reasons to refuse. */
  checkAfter(check: SenderCheck, account: Account, authorization: Unverified): SenderCheck {
    return (from) => check(from) ?? this.#refusal(accountKey(account, authorization));
  }

  /**
   * Counts a message that has arrived; provisionally, until it is known whether it was sent.
   *
   * @returns undefined if the limit is reached
   */
  begin(account: Account, authorization: Unverified): EndUse | undefined {
    return this.#limit.begin(accountKey(account, authorization));
  }

  #refusal(key: string): Reply | undefined {
    return this.#limit.free(key) ? undefined : REPLIES.tooManyMessages;
  }
}
