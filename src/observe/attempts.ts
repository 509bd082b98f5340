// How often a message was tried, for the log, the status page, webhooks and traces.

import type { Outcome } from "../delivery/delivery.ts";
import type { Step } from "../delivery/steps.ts";

/** Requests that may send the message. */
const SENDS = / (?:sendMail|send)$/;

/**
 * How often a request that may send the message was made.
 *
 * @returns undefined if it was not, as for a message that is only queued yet
 */
export function attemptsOf(outcome: Outcome, steps: readonly Step[]): number | undefined {
  const given = "attempts" in outcome ? outcome.attempts : undefined;
  const made = steps.filter(({ name, target = "" }) => name === "request" && SENDS.test(target));
  const attempts = given ?? (outcome.type === "sent" ? Math.max(1, made.length) : made.length);
  return attempts === 0 ? undefined : attempts;
}
