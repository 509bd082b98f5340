// Sends spans to a collector by OTLP/HTTP, many in one request. Mail never waits for it: spans that do not fit
// are dropped and counted.
// https://opentelemetry.io/docs/specs/otlp/#otlphttp

import type { Clock } from "../clock.ts";
import type { HttpClient, HttpFailure, HttpResponse } from "../http/client.ts";
import { retryAfter } from "../retry_after.ts";
import type { Secret } from "../secret.ts";
import { partialSuccess, type Resource, traceRequest } from "./otlp.ts";
import type { Span } from "./span.ts";

export interface ExporterOptions {
  readonly collector: Collector;
  readonly resource: Resource;
  readonly http: Pick<HttpClient, "request">;
  readonly clock: Clock;
  readonly report: ExportReport;
}

export interface Collector {
  /** With `/v1/traces`. */
  readonly url: URL;
  /** Header fields that it asks for, such as a key. */
  readonly headers: ReadonlyMap<string, Secret>;
}

export interface ExportReport {
  exported(spans: number): void;
  /** These spans never reach the collector. */
  dropped(spans: number): void;
  /** The collector does not take spans; called once until it does again. */
  failed(code: string, detail: string): void;
  recovered(): void;
}

/** Spans that wait at most. */
const MAX_SPANS = 2048;
/** Spans of one request, and how many of them wait before it is sent early. */
const BATCH = 512;
/** Milliseconds that a span waits for others. */
const INTERVAL = 5_000;
/** Milliseconds for one request. */
const TIMEOUT = 10_000;
/** Milliseconds between two tries: doubled from the first to the longest, half of it random. */
const FIRST_WAIT = 1_000;
const LONGEST_WAIT = 60_000;
/** Milliseconds for which a collector may ask to wait. */
const LONGEST_ASKED = 300_000;
/** Octets of a response that are read. */
const MAX_RESPONSE = 16 * 1024;
/** The others are final: https://opentelemetry.io/docs/specs/otlp/#failures-1 */
const RETRYABLE = new Set([429, 502, 503, 504]);

export class Exporter {
  readonly #options: ExporterOptions;
  readonly #stop = new AbortController();
  #waiting: Span[] = [];
  #running: Promise<void> | undefined;
  #cancel: (() => void) | undefined;
  /** Tries of the first batch that have failed. */
  #failures = 0;
  #isFailing = false;
  #isClosing = false;

  constructor(options: ExporterOptions) {
    this.#options = options;
  }

  /** Spans that wait. */
  get waiting(): number {
    return this.#waiting.length;
  }

  add(spans: readonly Span[]): void {
    const room = this.#stop.signal.aborted ? 0 : MAX_SPANS - this.#waiting.length;
    const kept = spans.slice(0, room);
    this.#waiting.push(...kept);
    if (kept.length < spans.length) this.#options.report.dropped(spans.length - kept.length);
    this.#plan();
  }

  /**
   * Sends what is left, and ends.
   *
   * @param time milliseconds at most
   */
  async close(time: number): Promise<void> {
    this.#isClosing = true;
    const cancel = this.#options.clock.alarm(time, () => this.#stop.abort());
    // A collector that fails is not waited for.
    if (this.#failures > 0) this.#stop.abort();
    this.#plan();
    await this.#running;
    cancel();
    this.#stop.abort();
    const left = this.#waiting.splice(0).length;
    if (left > 0) this.#options.report.dropped(left);
  }

  /** Sends now or later, unless it is at it. */
  #plan(): void {
    if (this.#running !== undefined || this.#waiting.length === 0) return;
    if (this.#isClosing || this.#waiting.length >= BATCH) {
      this.#cancel?.();
      this.#cancel = undefined;
      this.#running = this.#run();
      return;
    }
    this.#cancel ??= this.#options.clock.alarm(INTERVAL, () => {
      this.#cancel = undefined;
      this.#running ??= this.#run();
    });
  }

  async #run(): Promise<void> {
    const { clock } = this.#options;
    const { signal } = this.#stop;
    // Everything of this turn of the event loop goes first: mail does not wait.
    await clock.sleep(0);
    do {
      const batch = this.#waiting.slice(0, BATCH);
      const wait = await this.#send(batch);
      if (wait === undefined) this.#waiting.splice(0, batch.length);
      else await clock.sleep(wait, signal);
    } while (!signal.aborted && this.#goesOn());
    this.#running = undefined;
    if (!signal.aborted) this.#plan();
  }

  #goesOn(): boolean {
    const { length } = this.#waiting;
    return this.#failures > 0 || length >= BATCH || this.#isClosing && length > 0;
  }

  /** @returns milliseconds until the next try; undefined if it is done with the batch */
  async #send(batch: readonly Span[]): Promise<number | undefined> {
    const { collector: { url, headers }, resource, http, clock, report } = this.#options;
    const { signal } = this.#stop;
    const body = traceRequest(batch, resource);
    const result = await http.request({
      method: "POST",
      url,
      headers: {
        "Content-Type": "application/json",
        "User-Agent": `${resource.scope.name}/${resource.scope.version}`,
        ...Object.fromEntries([...headers].map(([name, value]) => [name, value.reveal()])),
      },
      body: { length: body.length, parts: () => [body] },
      timeout: TIMEOUT,
      maxResponse: MAX_RESPONSE,
      signal,
    });
    const { status } = result;
    if (status !== undefined && status >= 200 && status < 300) {
      this.#succeeded(batch, result);
      return undefined;
    }
    if (signal.aborted) return 0;
    this.#failed(...problemOf(result));
    if (status !== undefined && !RETRYABLE.has(status)) {
      this.#failures = 0;
      report.dropped(batch.length);
      return undefined;
    }
    const asked = retryAfter(result.headers ?? new Map(), clock.date()) ?? 0;
    const backoff = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** Math.min(20, this.#failures++));
    return Math.max(Math.min(asked, LONGEST_ASKED), backoff * (0.5 + clock.random() / 2));
  }

  #succeeded(batch: readonly Span[], result: HttpResponse | HttpFailure): void {
    const { report } = this.#options;
    this.#failures = 0;
    const partial = result.type === "response" ? partialSuccess(result.body) : undefined;
    const rejected = Math.min(partial?.rejected ?? 0, batch.length);
    if (rejected < batch.length) report.exported(batch.length - rejected);
    if (rejected > 0) {
      // They must not be sent again.
      report.dropped(rejected);
      this.#failed("REJECTED", `the collector has rejected spans: ${partial?.message}`);
      return;
    }
    if (this.#isFailing) report.recovered();
    this.#isFailing = false;
  }

  #failed(code: string, detail: string): void {
    if (!this.#isFailing) this.#options.report.failed(code, detail);
    this.#isFailing = true;
  }
}

function problemOf(result: HttpResponse | HttpFailure): [code: string, detail: string] {
  if (result.type === "failure" && result.status === undefined) {
    return [result.code, "no response from the collector"];
  }
  return [`HTTP ${result.status}`, "the collector does not take the spans"];
}
