/** Default options of backends in tests. */
import { SenderRules } from "../../src/accounts/senders.ts";
import type { GraphOptions } from "../../src/graph/backend.ts";
import { SCOPE } from "../support/logins.ts";

export const GRAPH_OPTIONS = {
  scope: SCOPE,
  message: {
    hostname: "relay.test",
    reencodeQuotedPrintable: true,
    senders: new SenderRules(),
  },
  timeout: 10_000,
  requestLimit: 4_000_000,
  concurrency: 4,
  pacingTimeout: 60_000,
  deliveryTimeout: 60_000,
  largeMessages: "reject",
  stop: new AbortController().signal,
} as const satisfies Partial<GraphOptions>;
