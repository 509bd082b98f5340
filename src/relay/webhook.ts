// Opens the webhook: a listener of events with an HTTP client of its own, which outlasts the relay's requests
// when it stops.

import type { OutboxReport } from "../webhook/outbox.ts";
import type { Webhook } from "../webhook/webhook.ts";
import { listenerClient } from "./http_client.ts";
import type { ListenerParts } from "./listener_parts.ts";

export interface OpenWebhook {
  readonly webhook: Webhook;
  /** Delivers what it can in little time. */
  close(): Promise<void>;
}

/** Milliseconds that a stop waits for events. */
const CLOSE_TIME = 2_000;

/** @returns undefined if WEBHOOK_URL is not set */
export async function openWebhook(parts: ListenerParts): Promise<OpenWebhook | undefined> {
  const { settings, runtime, log, metrics, clock } = parts;
  const { WEBHOOK_URL: url, WEBHOOK_SECRET: secret } = settings;
  if (url === undefined || secret === undefined) return undefined;
  const { Webhook } = await import("../webhook/webhook.ts");
  const http = listenerClient(settings, runtime);
  const webhook = new Webhook({ url, secret, http, clock, report: reportOf(parts) });
  return {
    webhook,
    async close() {
      const { length: left } = await webhook.close(CLOSE_TIME);
      http.close();
      // A queue keeps them.
      if (left === 0 || settings.DELIVERY_MODE === "queue") return;
      metrics.count("webhook_events", { result: "dropped" }, left);
      log.warning("Events for the webhook were dropped by the stop", { events: left });
    },
  };
}

function reportOf({ log, metrics, status }: ListenerParts): OutboxReport {
  return {
    delivered() {
      metrics.count("webhook_events", { result: "delivered" });
      status?.received("Webhook");
    },
    dropped: () => metrics.count("webhook_events", { result: "dropped" }),
    failed(code, detail) {
      log.warning("The webhook does not take events; they wait", { code, detail });
      status?.received("Webhook", { code, detail });
    },
    recovered: () => log.warning("The webhook takes events again"),
    refused: (code) =>
      log.warning("The webhook takes all events but this, which is dropped", { code }),
  };
}
