// A listener of events that sends their spans to a collector.

import type { Clock } from "../clock.ts";
import type { Notify } from "../observe/relay_event.ts";
import { type Services, spansOf } from "./event_spans.ts";
import { Exporter, type ExporterOptions } from "./exporter.ts";

export interface TracesOptions extends ExporterOptions {
  readonly services: Services;
}

export class Traces {
  readonly #exporter: Exporter;
  readonly #clock: Clock;
  readonly #services: Services;

  constructor(options: TracesOptions) {
    this.#exporter = new Exporter(options);
    this.#clock = options.clock;
    this.#services = options.services;
  }

  readonly notify: Notify = (event) => {
    const spans = spansOf(event, {
      now: this.#clock.date(),
      steady: performance.timeOrigin + performance.now(),
      services: this.#services,
    });
    if (spans.length > 0) this.#exporter.add(spans);
  };

  /** See {@link Exporter.close}. */
  close(time: number): Promise<void> {
    return this.#exporter.close(time);
  }
}
