// A listener of events that tells a webhook about them.

import type { Clock } from "../clock.ts";
import type { Notify, RelayEvent } from "../observe/relay_event.ts";
import { shortened } from "../observe/fields.ts";
import { queueEvent, submissionEvents, type Told } from "./message_events.ts";
import { Outbox, type OutboxOptions, type PendingEvent } from "./outbox.ts";
import { TroubleEvents } from "./trouble_events.ts";
import type { WebhookData } from "./webhook_event.ts";

/** Texts of clients and services as the log has them: bounded, and without what looks like a secret. */
function safe(data: WebhookData): WebhookData {
  return Object.fromEntries(
    Object.entries(data).map(([name, value]) => [
      name,
      typeof value === "string" ? shortened(value) : value,
    ]),
  );
}

export class Webhook {
  readonly #outbox: Outbox;
  readonly #clock: Clock;
  readonly #trouble: TroubleEvents;

  constructor(options: OutboxOptions) {
    this.#outbox = new Outbox(options);
    this.#clock = options.clock;
    this.#trouble = new TroubleEvents(options.clock);
  }

  /** Events that wait to be delivered. */
  get pending(): readonly PendingEvent[] {
    return this.#outbox.pending;
  }

  /** Adds events that waited when an earlier relay stopped. */
  restore(events: readonly PendingEvent[]): void {
    this.#outbox.restore(events);
  }

  readonly notify: Notify = (event) => {
    for (const { type, data } of this.#toldOf(event)) {
      const timestamp = new Date(this.#clock.date()).toISOString();
      this.#outbox.add({ type, timestamp, data: safe(data) });
    }
  };

  /** See {@link Outbox.close}. */
  close(time: number): Promise<readonly PendingEvent[]> {
    return this.#outbox.close(time);
  }

  #toldOf(event: RelayEvent): readonly Told[] {
    const trouble = this.#trouble.of(event);
    switch (event.type) {
      case "message":
        return [...submissionEvents(event), ...trouble];
      case "queue":
        return [queueEvent(event), ...trouble];
      default:
        return trouble;
    }
  }
}
