// Direct delivery: the client gets its 250 only after the mail service has accepted the message.

import type { Backend, Delivery } from "./delivery.ts";
import { DuplicateFilter } from "./duplicate_filter.ts";
import { SenderPolicy, type SenderPolicyOptions } from "./sender_policy.ts";

export interface DirectDeliveryOptions extends SenderPolicyOptions {
  /** Milliseconds that a sent message is remembered whose client was gone before its reply. */
  readonly duplicateWindow: number | "off";
}

export function directDelivery(
  backend: Backend,
  { duplicateWindow: window, ...policy }: DirectDeliveryOptions,
): Delivery {
  const delivery = window === "off" ? backend : new DuplicateFilter(backend, { window });
  // First: an account that may not send this must not learn that it was sent.
  return new SenderPolicy(delivery, policy);
}
