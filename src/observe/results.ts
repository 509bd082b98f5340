// The words for results in metrics.

import type { LoginFailure } from "../accounts/account.ts";
import type { Outcome } from "../delivery/delivery.ts";

export const MESSAGE_RESULTS = [
  "sent",
  "queued",
  "refused",
  "deferred",
  "ambiguous",
  "repeated",
] as const;

const FAILURES = { refused: "refused", later: "deferred" } as const;

export function failureResult({ type }: Pick<LoginFailure, "type">): "refused" | "deferred" {
  return FAILURES[type];
}

export function messageResult(outcome: Outcome): string {
  if (outcome.type === "alreadySent") return "repeated";
  if (outcome.type === "sent" || outcome.type === "queued") return outcome.type;
  return outcome.ambiguous ? "ambiguous" : FAILURES[outcome.type];
}
