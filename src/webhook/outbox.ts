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
  /** The receiver takes other events, but never this one, which is dropped. */
  refused(code: string): void;
}

/** An event that is to be delivered. */
export interface PendingEvent {
  readonly id: string;
  readonly body: string;
  /** Milliseconds of Unix time. */
  readonly at: number;
}

interface Suspect {
  /** The receiver has taken another event since it refused this one. */
  othersTaken: boolean;
  rounds: number;
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

/** Answers with 4yz to one event, after which the others go first. */
const MAX_REFUSALS = 5;
/** Events refused so before it is taken for the receiver's fault, and it is asked less and less often. */
const MAX_SUSPECTS = 10;
/** Times that an event is refused again, each after others were taken, before it is dropped. */
const MAX_ROUNDS = 3;
/** Those of 4yz that do not blame the event. */
const PASSING = new Set([401, 407, 408, 425, 429]);

export class Outbox {
  readonly #options: OutboxOptions;
  readonly #url: URL;
  readonly #stop = new AbortController();
  #pending: PendingEvent[] = [];
  #octets = 0;
  #failures = 0;
  /** How often the first event was refused. */
  #refusals = 0;
  /** Events that others go before, because they were refused; by id. */
  readonly #suspects = new Map<string, Suspect>();
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
    while (!this.#stop.signal.aborted) {
      const event = this.#first();
      if (event === undefined) break;
      if (clock.date() - event.at > MAX_AGE) {
        this.#taken();
        this.#options.report.dropped();
        continue;
      }
      const wait = await this.#deliver(event);
      if (wait === undefined) this.#taken();
      else await clock.sleep(wait, this.#stop.signal);
    }
    this.#running = undefined;
  }

  #taken(): void {
    const event = this.#pending.shift();
    this.#refusals = 0;
    if (event === undefined) return;
    this.#octets -= Buffer.byteLength(event.body);
    this.#suspects.delete(event.id);
  }

  /**
   * The receiver refuses this event. A firewall before it may do so for a text in it, which a client has
   * chosen: that must not hold up the others for a day.
   *
   * @returns whether the event is dropped
   */
  #refused(event: PendingEvent, code: string): boolean {
    const suspect = this.#suspects.get(event.id);
    if (suspect !== undefined) {
      if (suspect.othersTaken && ++suspect.rounds === MAX_ROUNDS) {
        this.#taken();
        this.#options.report.refused(code);
        this.#options.report.dropped();
        return true;
      }
      suspect.othersTaken = false;
      this.#postpone();
    } else if (++this.#refusals >= MAX_REFUSALS && this.#pending.length > 1) {
      // At first it costs the next event no time.
      if (this.#suspects.size < MAX_SUSPECTS) this.#failures = 1;
      this.#suspects.set(event.id, { othersTaken: false, rounds: 0 });
      this.#postpone();
    }
    return false;
  }

  /** The first event goes to the end. */
  #postpone(): void {
    this.#refusals = 0;
    this.#pending.push(this.#pending.shift()!);
  }

  /** The event to deliver now. */
  #first(): PendingEvent | undefined {
    if (this.#suspects.size < this.#pending.length) {
      while (this.#suspects.has(this.#pending[0]!.id)) this.#postpone();
    }
    return this.#pending[0];
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
      for (const suspect of this.#suspects.values()) suspect.othersTaken = true;
      report.delivered();
      return undefined;
    }
    const blamed = status >= 400 && status < 500 && !PASSING.has(status);
    if (blamed && this.#refused(event, `HTTP ${status}`)) return 0;
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
