// Whether QUEUE_AMBIGUOUS=ask works in the user's tenant: looks for the test message by its Message-ID, which
// a tenant may rewrite, and which the app needs a permission to ask for.

import type { Clock } from "../clock.ts";
import type { SentLookup, SentQuestion } from "../delivery/sent_lookup.ts";
import { type Finding, finding } from "./finding.ts";

/** Milliseconds between questions: a copy appears late. */
const PAUSES = [2_000, 3_000, 5_000, 10_000, 20_000, 20_000] as const;
/** Milliseconds for all questions, with their own time. */
export const SEARCH_TIME = 150_000;

/** @param question about a message that the service has accepted */
export async function checkFound(
  service: SentLookup,
  question: Omit<SentQuestion, "isLast">,
  clock: Pick<Clock, "now" | "sleep">,
): Promise<Finding> {
  const { mailbox, messageId } = question.sending;
  const begun = clock.now();
  for (const pause of [...PAUSES, undefined]) {
    const answer = await service.lookUp({ ...question, isLast: false });
    switch (answer.type) {
      case "sent": {
        const seconds = Math.round((clock.now() - begun) / 1000);
        return finding("message.found", `${mailbox} has ${messageId} (after ${seconds} s)`);
      }
      case "forbidden":
        return finding("message.find-forbidden", `in ${mailbox}: ${answer.detail}`);
      case "later":
        if (pause === undefined) {
          return finding("message.find-failed", `in ${mailbox}: ${answer.detail}`);
        }
        break;
      case "notFound":
    }
    if (pause !== undefined) await clock.sleep(pause);
  }
  return finding("message.not-found", `${mailbox} does not have ${messageId} after a minute`);
}
