// The recipients of an envelope as they are sent on.

import { recipientRefusal } from "./addresses.ts";
import { rejected } from "./originator.ts";
import type { Rejected } from "./prepare.ts";

/** @returns a rejection if other mail systems would read one of them differently */
export function forwardPaths(
  recipients: readonly string[],
  sender: string,
): readonly string[] | Rejected {
  const paths = recipients.map((recipient) => qualified(recipient, sender));
  for (const path of paths) {
    const refusal = recipientRefusal(path);
    if (refusal !== undefined) return rejected(refusal, "DOUBTFUL_RECIPIENT", String(refusal.text));
  }
  return paths;
}

/** RFC 5321 §4.5.1 allows `postmaster` without a domain: the sender's is meant. */
export function qualified(recipient: string, sender: string): string {
  return recipient.includes("@") ? recipient : recipient + sender.slice(sender.lastIndexOf("@"));
}
