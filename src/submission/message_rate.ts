// MESSAGE_RATE_LIMIT: so many messages of an account in so much time, from all of its sessions together.
//
// It is mostly MAIL that is refused, before the content is sent. The limit is checked again when the
// message has arrived: of many at once, all may have passed at MAIL.

import { type Account, accountKey, type Authorization } from "../accounts/account.ts";
import type { Clock } from "../clock.ts";
import { type EndUse, type Rate, RateLimit } from "../limits/rate_limit.ts";
import { REPLIES, type Reply } from "../smtp/reply.ts";
import type { SenderCheck } from "../smtp/session.ts";

type Unverified = Pick<Authorization, "unverified">;

/**
 * Counts by {@link accountKey}: devices that share an app have a limit for each entry, so that one of them
 * does not use up what is for all. A client that only claims the account, by a token that Graph has not
 * accepted yet, does not either.
 */
export class MessageLimit {
  readonly #limit: RateLimit;

  constructor(rate: Rate, clock: Pick<Clock, "now">) {
    this.#limit = new RateLimit({ rate, clock });
  }

  /** The check of MAIL with the limit added, which comes after what MAIL is refused for otherwise. */
  checkAfter(check: SenderCheck, account: Account, authorization: Unverified): SenderCheck {
    return (from) => check(from) ?? this.#refusal(accountKey(account, authorization));
  }

  /**
   * A message has arrived. It takes its place until it is known whether it was sent.
   *
   * @returns undefined where the limit is reached
   */
  begin(account: Account, authorization: Unverified): EndUse | undefined {
    return this.#limit.begin(accountKey(account, authorization));
  }

  #refusal(key: string): Reply | undefined {
    return this.#limit.free(key) ? undefined : REPLIES.tooManyMessages;
  }
}
