// The checks that each submission passes before it is sent or queued.

import type { Delivery } from "./delivery.ts";
import { DuplicateFilter } from "./duplicate_filter.ts";
import { SenderPolicy, type SenderPolicyOptions } from "./sender_policy.ts";

export interface CheckedDeliveryOptions extends SenderPolicyOptions {
  /** Milliseconds that a sent or queued message is remembered whose client was gone before its reply. */
  readonly duplicateWindow: number | "off";
}

/** @param next a back end, or a queue */
export function checkedDelivery(
  next: Delivery,
  { duplicateWindow: window, ...policy }: CheckedDeliveryOptions,
): Delivery {
  const delivery = window === "off" ? next : new DuplicateFilter(next, { window });
  // First: an account that may not send this must not learn that it was sent.
  return new SenderPolicy(delivery, policy);
}
