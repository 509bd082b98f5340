// Counts events for the metrics.

import type { BackendName } from "../backend_name.ts";
import type { Step } from "../delivery/steps.ts";
import { LOWER_CASE } from "../octets.ts";
import { lengthOf } from "../smtp/content.ts";
import type { Envelope } from "../smtp/effects.ts";
import { BoundedLabel } from "./bounded_label.ts";
import type { Metrics } from "./metrics.ts";
import { reasonOf } from "./reasons.ts";
import type {
  ConnectionEvent,
  LoginEvent,
  MessageEvent,
  Notify,
  QueueEvent,
  TokenEvent,
} from "./relay_event.ts";
import { failureResult, messageResult } from "./results.ts";

/** Tenants that have their own count of external recipients. */
const MAX_TENANTS = 100;
/**
 * Counts each event that has a metric.
 *
 * @param now milliseconds of Unix time
 */
export function eventMetrics(metrics: Metrics, now: () => number = Date.now): Notify {
  const counter = new EventCounter(metrics, now);
  return (event) => {
    switch (event.type) {
      case "login":
        return counter.login(event);
      case "token":
        return counter.token(event);
      case "message":
        return counter.message(event);
      case "refused": {
        const { refusal: { command, reply }, limit } = event;
        if (limit !== undefined) metrics.count("limit_hits", { setting: limit });
        return metrics.count("refusals", { command, code: String(reply.code) });
      }
      case "queue":
        return counter.queue(event);
      case "queueFailed":
        return metrics.count("queue_store_failures", {});
      case "backend":
        metrics.set(
          "backend_down",
          { backend: event.backend },
          event.change === "down" ? 1 : 0,
        );
        if (event.change === "up") return;
        return metrics.count("backend_outages", { backend: event.backend });
      case "lookupFailed":
        return metrics.count("lookup_failures", {});
      case "lookupFile": {
        const { report: { type } } = event;
        if (type === "kept") return metrics.count("lookup_file_loads", { result: "failed" });
        if (type !== "loaded" && type !== "replaced") return;
        return metrics.count("lookup_file_loads", { result: "loaded" });
      }
      case "limit":
        return metrics.count("limit_hits", { setting: event.setting });
      case "memory":
        return metrics.count("limit_hits", { setting: "MAX_MEMORY" });
      case "proxyHeader":
        return metrics.count("proxy_headers_refused", { reason: event.reason });
      case "connection":
        return counter.connection(event);
      case "connectionFault":
      case "fault":
        return metrics.count("internal_errors", {});
    }
  };
}

interface SentBy {
  /** That sent it, if it is not the reverse-path. */
  readonly mailbox?: string | undefined;
  readonly backend?: BackendName | undefined;
}

/** The events that have several metrics. */
class EventCounter {
  readonly #metrics: Metrics;
  readonly #now: () => number;
  readonly #tenants = new BoundedLabel(MAX_TENANTS);

  constructor(metrics: Metrics, now: () => number) {
    this.#metrics = metrics;
    this.#now = now;
    metrics.set("last_success_timestamp_seconds", { backend: "graph" }, 0);
    metrics.set("last_token_timestamp_seconds", {}, 0);
  }

  login({ result, milliseconds }: LoginEvent): void {
    const metrics = this.#metrics;
    const name = "account" in result ? "succeeded" : failureResult(result);
    metrics.count("logins", { result: name });
    metrics.observe("login_duration_seconds", { result: name }, milliseconds / 1000);
    if ("account" in result) return;
    const reason = result.code === undefined ? "malformed" : reasonOf(result.code);
    metrics.count("login_failures", { result: name, reason });
  }

  token({ refusal, milliseconds }: TokenEvent): void {
    const metrics = this.#metrics;
    const result = refusal === undefined ? "granted" : failureResult(refusal);
    metrics.observe("token_request_duration_seconds", { result }, milliseconds / 1000);
    if (refusal === undefined) {
      metrics.set("last_token_timestamp_seconds", {}, this.#now() / 1000);
    }
  }

  message({ outcome, submission, receiving, milliseconds, steps }: MessageEvent): void {
    const metrics = this.#metrics;
    const result = messageResult(outcome);
    metrics.count("messages", { result });
    metrics.count("message_bytes", { result }, lengthOf(submission.content));
    metrics.observe("delivery_duration_seconds", { result }, milliseconds / 1000);
    metrics.observe("delivery_step_duration_seconds", { step: "receive" }, receiving / 1000);
    this.#steps(steps);
    if (outcome.type === "sent") {
      const { account, envelope } = submission;
      this.#sent(account.tenantId, envelope, outcome);
    } else if ("code" in outcome) {
      const { limit, code } = outcome;
      if (limit !== undefined) metrics.count("limit_hits", { setting: limit });
      const reason = limit === undefined ? reasonOf(code) : "limit";
      metrics.count("message_failures", { result, reason });
    }
  }

  queue({ change, message, code, ambiguous, mailbox, backend, steps }: QueueEvent): void {
    const metrics = this.#metrics;
    metrics.count("queue_tries", { result: change });
    this.#steps(steps);
    if (ambiguous === true) metrics.count("queue_ambiguous_tries", {});
    if (change !== "sent") {
      return metrics.count("queue_failures", { result: change, reason: reasonOf(code ?? "") });
    }
    metrics.observe("queue_delay_seconds", {}, message.age / 1000);
    const { record } = message;
    if (record !== undefined) {
      this.#sent(record.account.tenantId, record.envelope, { mailbox, backend });
    }
  }

  connection(event: ConnectionEvent): void {
    const metrics = this.#metrics;
    metrics.count("connections", {});
    metrics.count("sessions", { result: sessionResult(event) });
    metrics.count("session_tls", { version: tlsVersion(event) });
    metrics.count("received_bytes", {}, event.received);
  }

  #steps(steps: readonly Step[]): void {
    const metrics = this.#metrics;
    for (const { name, milliseconds, result, backend } of steps) {
      if (backend !== undefined) {
        if (name === "request") {
          const labels = { backend, status: statusClass(result) };
          metrics.observe("smtp_conversation_duration_seconds", labels, milliseconds / 1000);
        } else {
          metrics.observe("delivery_step_duration_seconds", { step: name }, milliseconds / 1000);
        }
        continue;
      }
      if (name !== "request") {
        metrics.observe("delivery_step_duration_seconds", { step: name }, milliseconds / 1000);
        if (name === "pause") metrics.count("graph_retries", {});
        continue;
      }
      const status = statusClass(result);
      metrics.observe("graph_request_duration_seconds", { status }, milliseconds / 1000);
      if (result === 429 || result === 503) metrics.count("graph_throttled", {});
    }
  }

  #sent(
    tenantId: string,
    { from, recipients }: Envelope,
    { mailbox = from, backend = "graph" }: SentBy,
  ): void {
    const metrics = this.#metrics;
    metrics.set("last_success_timestamp_seconds", { backend }, this.#now() / 1000);
    let external = 0;
    for (const recipient of recipients) if (!isOfDomain(recipient, mailbox)) external++;
    if (external === 0) return;
    metrics.count("external_recipients", { tenant: this.#tenants.of(tenantId) }, external);
  }
}

/** Whether an address has another one's domain. Without one, it is in the sender's. */
function isOfDomain(address: string, other: string): boolean {
  const at = address.lastIndexOf("@") + 1;
  const otherAt = other.lastIndexOf("@") + 1;
  if (at === 0 || at === address.length) return true;
  // Most that differ have another length, which costs no copy.
  if (otherAt === 0 || address.length - at !== other.length - otherAt) return false;
  for (let i = at; i < address.length; i++) {
    const one = address.charCodeAt(i);
    const two = other.charCodeAt(i - at + otherAt);
    if (one === two) continue;
    // Texts of their own are made only where letters outside of ASCII may differ in case.
    if (one > 127 || two > 127) return isSameDomain(address.slice(at), other.slice(otherAt));
    if (!isLetter(one) || (one ^ two) !== LOWER_CASE) return false;
  }
  return true;
}

function isSameDomain(one: string, two: string): boolean {
  return one.toLowerCase() === two.toLowerCase();
}

/** Of ASCII. */
function isLetter(code: number): boolean {
  const lower = code | LOWER_CASE;
  return lower >= 97 && lower <= 122;
}

const STATUS_CLASSES = ["2xx", "3xx", "4xx", "5xx"] as const;

/** @param result the status, or the network's code */
function statusClass(result: Step["result"]): string {
  if (typeof result !== "number") return "none";
  return STATUS_CLASSES[Math.floor(result / 100) - 2] ?? "none";
}

function sessionResult(event: ConnectionEvent): string {
  if (event.wrongPort !== undefined) return "wrong_port";
  if (event.handshakeFailed) return "handshake_failed";
  if (event.received === 0) return "silent";
  return event.error ? "failed" : "completed";
}

const TLS_VERSIONS: Readonly<Record<string, string>> = {
  "TLSv1": "1.0",
  "TLSv1.1": "1.1",
  "TLSv1.2": "1.2",
  "TLSv1.3": "1.3",
};

function tlsVersion({ secure, client: { tls } }: ConnectionEvent): string {
  if (tls !== undefined) return TLS_VERSIONS[tls.version] ?? "other";
  return secure ? "other" : "none";
}
