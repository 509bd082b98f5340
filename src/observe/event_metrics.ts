// Counts events for the metrics.

import type { Outcome } from "../delivery/delivery.ts";
import type { Metrics } from "./metrics.ts";
import type { Notify } from "./relay_event.ts";

/** Counts each event that has a metric. */
export function eventMetrics(metrics: Metrics): Notify {
  return (event) => {
    switch (event.type) {
      case "login": {
        const { result } = event;
        const name = "account" in result ? "succeeded" : RESULTS[result.type];
        return metrics.count("logins", { result: name });
      }
      case "message": {
        const { outcome } = event;
        metrics.count("messages", { result: messageResult(outcome) });
        if ("limit" in outcome && outcome.limit !== undefined) {
          metrics.count("limit_hits", { setting: outcome.limit });
        }
        return;
      }
      case "refused": {
        const { refusal: { command, reply }, limit } = event;
        if (limit !== undefined) metrics.count("limit_hits", { setting: limit });
        return metrics.count("refusals", { command, code: String(reply.code) });
      }
      case "queue":
        return metrics.count("queue_tries", { result: event.change });
      case "limit":
        return metrics.count("limit_hits", { setting: event.setting });
      case "memory":
        return metrics.count("limit_hits", { setting: "MAX_MEMORY" });
      case "proxyHeader":
        return metrics.count("proxy_headers_refused", { reason: event.reason });
      case "connection":
        return metrics.count("connections", {});
      case "connectionFault":
      case "fault":
        return metrics.count("internal_errors", {});
    }
  };
}

const RESULTS = { refused: "refused", later: "deferred" } as const;

function messageResult(outcome: Outcome): string {
  if (outcome.type === "alreadySent") return "repeated";
  if (outcome.type === "sent" || outcome.type === "queued") return outcome.type;
  return outcome.ambiguous ? "ambiguous" : RESULTS[outcome.type];
}
