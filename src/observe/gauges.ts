// The gauges of `/metrics`: values that go up and down. Most are measured on each request.

import type { LabelValues } from "./exposition.ts";

/** Each gauge with its help text and its labels. */
export const GAUGES = {
  open_connections: { help: "SMTP connections that are open.", labels: [] },
  queued_connections: {
    help: "Of these, those that wait for a slot of MAX_CONNECTIONS.",
    labels: [],
  },
  mail_memory_bytes: { help: "Memory that mail in flight takes, of MAX_MEMORY.", labels: [] },
  mail_memory_limit_bytes: { help: "MAX_MEMORY.", labels: [] },
  deliveries_in_flight: {
    help: "Messages that are being sent: they have a slot of their mailbox.",
    labels: [],
  },
  deliveries_waiting: { help: "Messages that wait for a slot of their mailbox.", labels: [] },
  throttled_mailboxes: {
    help: "Mailboxes in use that get fewer requests at once, or none for a time, because Graph " +
      "or the SMTP server throttles them.",
    labels: [],
  },
  queue_waiting_messages: { help: "Messages in the queue that are to be sent.", labels: [] },
  queue_sending_messages: { help: "Of these, those that are being sent now.", labels: [] },
  queue_held_messages: {
    help: "Messages in the queue that wait for an administrator.",
    labels: [],
  },
  queue_dead_messages: { help: "Messages in the queue that were given up.", labels: [] },
  queue_bytes: { help: "Size of the messages in the queue, in bytes, as stored.", labels: [] },
  queue_oldest_seconds: {
    help: "Age of the oldest message that waits to be sent; 0 if no message waits.",
    labels: [],
  },
  queue_oldest_dead_seconds: {
    help: "Time since the relay gave up the oldest dead message; 0 without dead messages.",
    labels: [],
  },
  lookup_file_entries: {
    help: "Entries of LOOKUP_FILE that are in use; left out without one.",
    labels: [],
  },
  lookup_file_usable: {
    help: "1 if LOOKUP_FILE as it is now is in use, 0 while the entries before stay because of a " +
      "mistake in it; left out without one.",
    labels: [],
  },
  certificate_expires_timestamp_seconds: {
    help: "When the TLS certificate in use expires, in Unix time; left out if TLS is off.",
    labels: [],
  },
  client_credential_expires_timestamp_seconds: {
    help:
      "When the relay's own certificate for Entra ID expires, in Unix time; left out without one.",
    labels: ["credential"],
  },
  last_success_timestamp_seconds: {
    help: "When a back end last accepted a message, in Unix time; 0 if it has not since the start.",
    labels: ["backend"],
  },
  backend_down: {
    help:
      "1 while a back end takes no messages and they go by the next one of BACKEND, 0 once it takes them " +
      "again. Left out with a single one, unless an entry names others.",
    labels: ["backend"],
  },
  last_token_timestamp_seconds: {
    help: "When Entra ID last gave a token, in Unix time; 0 if it has not since the start.",
    labels: [],
  },
  build_info: {
    help: "Always 1; the labels say which build runs.",
    labels: ["version", "commit", "runtime", "runtime_version"],
  },
} as const satisfies Record<string, GaugeKind>;

interface GaugeKind {
  readonly help: string;
  readonly labels: readonly string[];
}

export type GaugeName = keyof typeof GAUGES;

/** A gauge that is measured on each request. */
export interface Gauge {
  readonly name: GaugeName;
  /** Left out where it has none. */
  readonly labels?: LabelValues;
  /** Undefined if there is none at present. */
  value(): number | undefined;
}
