// Which figures have a histogram in `/metrics`, and how its values are counted.

import { BACKEND_NAMES } from "../backend_name.ts";
import { type LabelValues, numberText, type Sample } from "./exposition.ts";
import { MESSAGE_RESULTS } from "./results.ts";

/** Upper bounds in seconds: of what takes milliseconds, up to the longest delivery. */
const DURATIONS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 240];
/** Of what may wait for days. */
const DELAYS = [1, 5, 15, 60, 300, 900, 3_600, 14_400, 43_200, 86_400, 172_800];

const STATUS_CLASSES = ["2xx", "3xx", "4xx", "5xx", "none"] as const;

/** Each histogram with its help text, its labels and their known values, which exist from the start. */
export const HISTOGRAMS = {
  login_duration_seconds: {
    help: "Time of a login, by its result as in logins.",
    labels: ["result"],
    known: each("succeeded", "refused", "deferred"),
    bounds: DURATIONS,
  },
  token_request_duration_seconds: {
    help:
      "Time of a token request to Entra ID: granted, refused or deferred (no answer, or later).",
    labels: ["result"],
    known: each("granted", "refused", "deferred"),
    bounds: DURATIONS,
  },
  graph_request_duration_seconds: {
    help: "Time of a request to Graph, by the class of the status; none: there was no response.",
    labels: ["status"],
    known: each(...STATUS_CLASSES),
    bounds: DURATIONS,
  },
  smtp_conversation_duration_seconds: {
    help:
      "Time of a message's conversation with the next SMTP server, by back end and class of the last " +
      "reply; none: the connection failed.",
    labels: ["backend", "status"],
    known: BACKEND_NAMES.filter((name) => name !== "graph").flatMap((name) =>
      STATUS_CLASSES.map((status) => [name, status])
    ),
    bounds: DURATIONS,
  },
  delivery_duration_seconds: {
    help: "Time from a message's last octet to its reply, by its result as in messages.",
    labels: ["result"],
    known: each(...MESSAGE_RESULTS),
    bounds: DURATIONS,
  },
  delivery_step_duration_seconds: {
    help:
      "Time of the steps of messages: receive the content, prepare it, wait for a slot of the " +
      "mailbox, token, pause before a request is repeated, store it in the queue.",
    labels: ["step"],
    known: each("receive", "prepare", "wait", "token", "pause", "store"),
    bounds: DURATIONS,
  },
  queue_delay_seconds: {
    help: "Time from a queued message's receipt until it was sent.",
    labels: [],
    known: [[]],
    bounds: DELAYS,
  },
} as const satisfies Record<string, HistogramKind>;

interface HistogramKind {
  readonly help: string;
  readonly labels: readonly string[];
  readonly known: readonly (readonly string[])[];
  /** Upper bounds of the buckets, in order; the last one, infinity, is left out. */
  readonly bounds: readonly number[];
}

function each(...values: readonly string[]): readonly (readonly string[])[] {
  return values.map((value) => [value]);
}

/** The values with one set of labels. */
export class Histogram {
  readonly #labels: LabelValues;
  readonly #bounds: readonly number[];
  /** By bucket, each without those below it. */
  readonly #counts: number[];
  #sum = 0;

  constructor(labels: LabelValues, bounds: readonly number[]) {
    this.#labels = labels;
    this.#bounds = bounds;
    this.#counts = new Array(bounds.length + 1).fill(0);
  }

  observe(value: number): void {
    const bounds = this.#bounds;
    let bucket = 0;
    while (bucket < bounds.length && value > bounds[bucket]!) bucket++;
    this.#counts[bucket]!++;
    this.#sum += value;
  }

  *samples(): Iterable<Sample> {
    const labels = this.#labels;
    let count = 0;
    for (const [bucket, own] of this.#counts.entries()) {
      count += own;
      const le = numberText(this.#bounds[bucket] ?? Infinity);
      yield { suffix: "_bucket", labels: { ...labels, le }, value: count };
    }
    yield { suffix: "_sum", labels, value: this.#sum };
    yield { suffix: "_count", labels, value: count };
  }
}
