// The listeners of a relay's events: metrics, log, and those that the settings or a command ask for.

import { EventLog } from "../observe/event_log.ts";
import { eventMetrics } from "../observe/event_metrics.ts";
import { type Notify, notifyAll } from "../observe/relay_event.ts";
import type { EventSource } from "../webhook/kept_events.ts";
import type { ListenerParts } from "./listener_parts.ts";
import { openTraces } from "./traces.ts";
import { openWebhook } from "./webhook.ts";

export interface Listeners {
  readonly notify: Notify;
  /** The events that wait for the webhook; undefined without one. */
  readonly events: EventSource | undefined;
  /**
   * Delivers what webhook and traces still have, in little time, and ends both. To be called when no
   * event of a message comes any more; a second call does nothing.
   */
  deliverRest(): Promise<void>;
  /** Writes what the log has summed up. */
  closeLog(): void;
}

/** @param others further ones; left out where undefined */
export async function openListeners(
  parts: ListenerParts,
  others: readonly ({ readonly notify: Notify } | undefined)[],
): Promise<Listeners> {
  const { settings, log, metrics } = parts;
  const webhook = await openWebhook(parts);
  const traces = await openTraces(parts);
  const suppressed = () => metrics.count("log_lines_suppressed", {});
  const eventLog = new EventLog(log, { recipients: settings.LOG_RECIPIENTS, suppressed });
  const further = [...others, webhook?.webhook, traces]
    .flatMap((other) => other === undefined ? [] : [other.notify]);
  let delivered: Promise<unknown> | undefined;
  return {
    notify: notifyAll([eventMetrics(metrics), eventLog.notify, ...further]),
    events: webhook?.webhook,
    async deliverRest() {
      // Together: a stop has little time.
      delivered ??= Promise.all([webhook?.close(), traces?.close()]);
      await delivered;
    },
    closeLog: () => eventLog.close(),
  };
}
