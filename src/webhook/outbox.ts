// Delivers events in their order, one request at a time, until the receiver takes them. Mail never waits for
// it: what does not fit is dropped and counted.

import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import type { Clock } from "../clock.ts";
import type { HttpClient, HttpFailure, HttpResponse } from "../http/client.ts";
import { retryAfter } from "../retry_after.ts";
import type { Secret } from "../secret.ts";
import { signatureFields } from "./signature.ts";
import type { WebhookEvent } from "./webhook_event.ts";

export interface OutboxOptions {
  readonly url: Secret;
  readonly secret: Secret;
  readonly http: Pick<HttpClient, "request">;
  readonly clock: Clock;
  readonly report: OutboxReport;
}

export interface OutboxReport {
  delivered(): void;
  /** An event never reaches the receiver. */
  dropped(): void;
  /** The receiver does not take events; called once until it does again. */
  failed(code: string, detail: string): void;
  recovered(): void;
}

/** An event that is to be delivered. */
export interface PendingEvent {
  readonly id: string;
  readonly body: string;
  /** Milliseconds of Unix time. */
  readonly at: number;
}

/** Events and octets that wait at most. */
const MAX_EVENTS = 10_000;
const MAX_OCTETS = 8 * 1024 * 1024;
/** Milliseconds after which an event is dropped. */
const MAX_AGE = 86_400_000;
/** Milliseconds for one request. */
const TIMEOUT = 15_000;
/** Milliseconds between two tries: doubled from the first to the longest, half of it random. */
const FIRST_WAIT = 1_000;
const LONGEST_WAIT = 300_000;
/** Milliseconds for which a receiver may ask to wait. */
const LONGEST_ASKED = 3_600_000;
/** Octets of a response that are read: nothing in it matters. */
const MAX_RESPONSE = 16 * 1024;

export class Outbox {
  readonly #options: OutboxOptions;
  readonly #url: URL;
  readonly #stop = new AbortController();
  #pending: PendingEvent[] = [];
  #octets = 0;
  #failures = 0;
  #running: Promise<void> | undefined;

  constructor(options: OutboxOptions) {
    this.#options = options;
    this.#url = new URL(options.url.reveal());
  }

  /** Events that wait, the oldest first. */
  get pending(): readonly PendingEvent[] {
    return this.#pending;
  }

  add(event: WebhookEvent): void {
    const body = JSON.stringify(event);
    this.restore([{
      id: `evt_${randomBytes(12).toString("hex")}`,
      body,
      at: this.#options.clock.date(),
    }]);
  }

  /** Adds events that were pending when the relay stopped. */
  restore(events: readonly PendingEvent[]): void {
    for (const event of events) {
      const octets = Buffer.byteLength(event.body);
      const fits = this.#pending.length < MAX_EVENTS && this.#octets + octets <= MAX_OCTETS;
      if (!fits || this.#stop.signal.aborted) {
        this.#options.report.dropped();
        continue;
      }
      this.#octets += octets;
      this.#pending.push(event);
    }
    this.#running ??= this.#run();
  }

  /**
   * Tries what is left once more, and ends.
   *
   * @param time milliseconds
   * @returns what could not be delivered
   */
  async close(time: number): Promise<readonly PendingEvent[]> {
    const { clock } = this.#options;
    const cancel = clock.alarm(time, () => this.#stop.abort());
    // A receiver that fails is not waited for.
    if (this.#failures > 0) this.#stop.abort();
    await this.#running;
    cancel();
    this.#stop.abort();
    return this.#pending;
  }

  async #run(): Promise<void> {
    const { clock } = this.#options;
    // Everything of this turn of the event loop goes first: mail does not wait.
    await clock.sleep(0);
    while (this.#pending.length > 0 && !this.#stop.signal.aborted) {
      const [event] = this.#pending;
      if (clock.date() - event!.at > MAX_AGE) {
        this.#taken();
        this.#options.report.dropped();
        continue;
      }
      const wait = await this.#deliver(event!);
      if (wait === undefined) this.#taken();
      else await clock.sleep(wait, this.#stop.signal);
    }
    this.#running = undefined;
  }

  #taken(): void {
    const event = this.#pending.shift();
    if (event !== undefined) this.#octets -= Buffer.byteLength(event.body);
  }

  /** @returns milliseconds until the next try; undefined if the receiver has it */
  async #deliver(event: PendingEvent): Promise<number | undefined> {
    const { http, secret, clock, report } = this.#options;
    const body = Buffer.from(event.body, "utf8");
    const result = await http.request({
      method: "POST",
      url: this.#url,
      headers: {
        "Content-Type": "application/json",
        "User-Agent": "smtp-oauth-relay",
        ...signatureFields(event, secret, Math.floor(clock.date() / 1000)),
      },
      body: { length: body.length, parts: () => [body] },
      timeout: TIMEOUT,
      maxResponse: MAX_RESPONSE,
      signal: this.#stop.signal,
    });
    const { status = 0 } = result;
    if (status >= 200 && status < 300) {
      if (this.#failures > 0) report.recovered();
      this.#failures = 0;
      report.delivered();
      return undefined;
    }
    if (this.#failures++ === 0 && !this.#stop.signal.aborted) report.failed(...problemOf(result));
    const asked = retryAfter(result.headers ?? new Map(), clock.date()) ?? 0;
    const backoff = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** Math.min(20, this.#failures - 1));
    return Math.max(Math.min(asked, LONGEST_ASKED), backoff * (0.5 + clock.random() / 2));
  }
}

function problemOf(result: HttpResponse | HttpFailure): [code: string, detail: string] {
  if (result.type === "failure" && result.status === undefined) {
    return [result.code, "no response from the webhook's receiver"];
  }
  return [`HTTP ${result.status}`, "the webhook's receiver does not take the event"];
}
