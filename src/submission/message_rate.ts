// MESSAGE_RATE_LIMIT: so many messages an account in so much time, from all of its sessions together.
//
// Refused is mostly MAIL, before the content is sent. What counts is asked once more when the message
// is there: of many at once, all may have been told at MAIL that there is room.

import { REPLIES, type Reply } from "../smtp/reply.ts";
import type { SenderCheck } from "../smtp/session.ts";
import { type Claim, ownerKey } from "./owners.ts";
import { type EndUse, type Rate, RateLimit } from "../limits/rate_limit.ts";

export class MessageLimit {
  readonly #limit: RateLimit;

  /** @param now milliseconds, of a clock that never goes back */
  constructor(rate: Rate, now: () => number) {
    this.#limit = new RateLimit({ rate, now });
  }

  /** What MAIL is refused with for the limit's sake, behind what it is refused with else. */
  checkAfter(check: SenderCheck, account: Claim): SenderCheck {
    return (from) => check(from) ?? this.#refusal(ownerKey(account));
  }

  /**
   * A message has come. It takes its place until it is known whether it was sent.
   *
   * @returns undefined where the limit is reached
   */
  begin(account: Claim): EndUse | undefined {
    return this.#limit.begin(ownerKey(account));
  }

  #refusal(key: string): Reply | undefined {
    return this.#limit.free(key) ? undefined : REPLIES.tooManyMessages;
  }
}
