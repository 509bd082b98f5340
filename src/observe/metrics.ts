// Counters and gauges for `/metrics`, in the Prometheus text format, version 0.0.4
// (https://prometheus.io/docs/instrumenting/exposition_formats/).
//
// Without a library, because it would take longer to load than all the rest of the start.

import { BACKEND_NAMES } from "../backend_name.ts";
import { type Family, familyText, type LabelValues, type Sample } from "./exposition.ts";
import { type Gauge, type GaugeName, GAUGES } from "./gauges.ts";
import { Histogram, HISTOGRAMS } from "./histograms.ts";
import { REASONS } from "./reasons.ts";
import { MESSAGE_RESULTS } from "./results.ts";

/** The settings whose limits are counted. */
const LIMITS = [
  ...["MAX_CONNECTIONS", "MAX_CONNECTIONS_PER_IP", "COMMAND_TIMEOUT", "DATA_TIMEOUT"],
  ...["MIN_DATA_RATE", "MAX_ERRORS", "MAX_IDLE_COMMANDS", "MAX_MESSAGE_SIZE", "MAX_RECIPIENTS"],
  ...["MAX_MEMORY", "MAX_HEADER_SIZE", "MAX_MIME_DEPTH", "MAX_MIME_PARTS"],
  ...["AUTH_RATE_LIMIT", "MESSAGE_RATE_LIMIT", "QUEUE_MAX_MESSAGES", "QUEUE_MAX_BYTES"],
];

/** The commands that the session itself refuses, and the replies. */
const REFUSALS = {
  AUTH: [500, 501, 504, 530, 535],
  MAIL: [451, 452, 501, 530, 550, 552, 553, 555],
  RCPT: [452, 501, 550, 553, 555],
  DATA: [452, 552],
  BDAT: [452, 552],
};

/**
 * Each counter with its help text, its labels, and their known values. Those exist from the start:
 * a query finds 0 instead of nothing, and an alert sees the first event as an increase.
 */
export const COUNTERS = {
  connections: { help: "SMTP connections that have ended.", labels: [], known: [[]] },
  sessions: {
    help:
      "Ended connections by how they ended: completed, failed (broken or timed out), silent (sent " +
      "nothing), handshake_failed, wrong_port (TLS on a plain port or the other way round).",
    labels: ["result"],
    known: each("completed", "failed", "silent", "handshake_failed", "wrong_port"),
  },
  session_tls: {
    help: "Ended connections by their version of TLS.",
    labels: ["version"],
    known: each("none", "1.0", "1.1", "1.2", "1.3", "other"),
  },
  received_bytes: {
    help: "Octets received from clients, after decryption, counted at the end of a connection.",
    labels: [],
    known: [[]],
  },
  logins: {
    help: "Logins by their result: succeeded, refused (535 and the like) or deferred (454).",
    labels: ["result"],
    known: each("succeeded", "refused", "deferred"),
  },
  messages: {
    help:
      "Messages by the reply to their client: sent, queued, refused, deferred, ambiguous or repeated.",
    labels: ["result"],
    known: each(...MESSAGE_RESULTS),
  },
  message_bytes: {
    help: "Octets of messages as received, by their result as in messages.",
    labels: ["result"],
    known: each(...MESSAGE_RESULTS),
  },
  login_failures: {
    help: "Failed logins by result and reason.",
    labels: ["result", "reason"],
    get known() {
      return pairs(["refused", "deferred"], Object.keys(REASONS));
    },
  },
  message_failures: {
    help: "Messages that were not sent, or perhaps were, by result and reason.",
    labels: ["result", "reason"],
    get known() {
      return pairs(["refused", "deferred", "ambiguous"], Object.keys(REASONS));
    },
  },
  external_recipients: {
    help:
      "Recipients of sent messages whose domain is not the domain of the sender's address, by " +
      "tenant; other: of all tenants after the first 100.",
    labels: ["tenant"],
    known: each("other"),
  },
  graph_throttled: {
    help: "Responses of Graph that ask to send more slowly (429 and 503).",
    labels: [],
    known: [[]],
  },
  graph_retries: {
    help:
      "Requests to Graph that were repeated after a pause: it could not be reached, or throttled.",
    labels: [],
    known: [[]],
  },
  backend_outages: {
    help: "Times that a back end was found down, and messages went by the next one of BACKEND.",
    labels: ["backend"],
    known: each(...BACKEND_NAMES),
  },
  queue_tries: {
    help: "Tries to send queued messages: sent, deferred (tried again later), held or dead.",
    labels: ["result"],
    known: each("sent", "deferred", "held", "dead"),
  },
  queue_failures: {
    help: "Tries to send queued messages that failed, by result and reason.",
    labels: ["result", "reason"],
    get known() {
      return pairs(["deferred", "held", "dead"], Object.keys(REASONS));
    },
  },
  queue_ambiguous_tries: {
    help: "Failed tries after which a queued message may have been sent all the same.",
    labels: [],
    known: [[]],
  },
  queue_store_failures: {
    help: "Failures of the queue's store.",
    labels: [],
    known: [[]],
  },
  lookup_failures: {
    help: "Queries that the lookup table did not answer.",
    labels: [],
    known: [[]],
  },
  lookup_file_loads: {
    help:
      "Contents of LOOKUP_FILE that were loaded, or failed to be: then the entries before stay.",
    labels: ["result"],
    known: each("loaded", "failed"),
  },
  refusals: {
    help: "Commands for logins and messages that the relay itself refused.",
    labels: ["command", "code"],
    known: Object.entries(REFUSALS).flatMap(([command, codes]) =>
      codes.map((code) => [command, String(code)])
    ),
  },
  limit_hits: {
    help: "Refusals and closed connections because of a limit, by the setting of the limit.",
    labels: ["setting"],
    known: each(...LIMITS),
  },
  proxy_headers_refused: {
    help:
      "Connections closed because of a PROXY header: missing, foreign (not from a listed proxy) or second.",
    labels: ["reason"],
    known: each("missing", "foreign", "second"),
  },
  log_lines_suppressed: {
    help: "Log lines omitted because of the limit for an account or address in a minute.",
    labels: [],
    known: [[]],
  },
  log_lines_dropped: {
    help: "Log lines dropped because standard error was not read fast enough.",
    labels: [],
    known: [[]],
  },
  trace_spans: {
    help: "Spans of traces: exported to the collector, or dropped.",
    labels: ["result"],
    known: each("exported", "dropped"),
  },
  webhook_events: {
    help: "Events for the webhook: delivered, or dropped because too many waited or for too long.",
    labels: ["result"],
    known: [["delivered"], ["dropped"]],
  },
  internal_errors: {
    help: "Faults of the program; most of them closed a connection.",
    labels: [],
    known: [[]],
  },
} as const satisfies Record<string, Counter>;

interface Counter {
  readonly help: string;
  readonly labels: readonly string[];
  /** The labels' values, in their order. Where there are many, each read makes them. */
  readonly known: readonly (readonly string[])[];
}

/** Values of a single label. */
function each(...values: readonly string[]): readonly (readonly string[])[] {
  return values.map((value) => [value]);
}

function pairs(
  first: readonly string[],
  second: readonly string[],
): readonly (readonly string[])[] {
  return first.flatMap((one) => second.map((other) => [one, other]));
}

export type CounterName = keyof typeof COUNTERS;
export type HistogramName = keyof typeof HISTOGRAMS;

type Named<Kind extends { readonly labels: readonly string[] }> = Readonly<
  Record<Kind["labels"][number], string>
>;

interface Counted {
  readonly labels: LabelValues;
  value: number;
}

/** The values of a counter or a histogram. */
class Series<Value> {
  /** By the values of the labels. */
  readonly values: Map<string, Value>;
  /** Whether a value has changed since the last page. */
  changed = true;
  /** Its part of the page, if that has been the same twice. */
  #text: string | undefined;

  constructor(values: Map<string, Value> = new Map()) {
    this.values = values;
  }

  /**
   * Few of the thousand lines change from one page to the next: the others, made anew, were most of the garbage of a
   * relay at rest. What does change is not kept: it would lie between the garbage of mail, and keep its place from
   * being given back.
   */
  text(make: (values: Iterable<Value>) => string): string {
    if (!this.changed && this.#text !== undefined) return this.#text;
    const text = make(this.values.values());
    this.#text = this.changed ? undefined : text;
    this.changed = false;
    return text;
  }
}

/** The beginning of all names but those of the process. */
export const PREFIX = "smtp_oauth_relay_";

export class Metrics {
  #counted = seriesFor<CounterName, Counted>(COUNTERS);
  #histograms = seriesFor<HistogramName, Histogram>(HISTOGRAMS);
  /** Whether both have all known sets of labels. */
  #complete = false;
  readonly #set = new Map<GaugeName, Map<string, Counted>>();
  readonly #gauges: Gauge[] = [];
  readonly #collectors: (() => readonly Family[])[] = [];

  /** @param by how much; 1 if left out */
  count<Name extends CounterName>(
    name: Name,
    labels: Named<(typeof COUNTERS)[Name]>,
    by = 1,
  ): void {
    // Runs for each message, so the labels are formatted only when they are read.
    const key = keyOf(COUNTERS[name].labels, labels);
    const series = this.#counted[name];
    series.changed = true;
    const counted = series.values.get(key);
    if (counted === undefined) series.values.set(key, { labels, value: by });
    else counted.value += by;
  }

  /** The count so far. */
  value<Name extends CounterName>(name: Name, labels: Named<(typeof COUNTERS)[Name]>): number {
    return this.#counted[name].values.get(keyOf(COUNTERS[name].labels, labels))?.value ?? 0;
  }

  /** @param value in the unit of the histogram's name */
  observe<Name extends HistogramName>(
    name: Name,
    labels: Named<(typeof HISTOGRAMS)[Name]>,
    value: number,
  ): void {
    const { labels: names, bounds } = HISTOGRAMS[name];
    const key = keyOf(names, labels);
    const series = this.#histograms[name];
    series.changed = true;
    let histogram = series.values.get(key);
    if (histogram === undefined) {
      series.values.set(key, histogram = new Histogram(labels, bounds));
    }
    histogram.observe(value);
  }

  /** Sets a gauge that is not measured. */
  set<Name extends GaugeName>(
    name: Name,
    labels: Named<(typeof GAUGES)[Name]>,
    value: number,
  ): void {
    let values = this.#set.get(name);
    if (values === undefined) this.#set.set(name, values = new Map());
    values.set(keyOf(GAUGES[name].labels, labels), { labels, value });
  }

  gauge(gauge: Gauge): void {
    this.#gauges.push(gauge);
  }

  /** Adds metrics whose names have no prefix. @param read called on each request */
  collect(read: () => readonly Family[]): void {
    this.#collectors.push(read);
  }

  /** Adds what has not happened yet, at the first request: hundreds of values, which each start would compile. */
  #addKnown(): void {
    if (this.#complete) return;
    this.#complete = true;
    this.#counted = withKnown(COUNTERS, this.#counted, (labels) => ({ labels, value: 0 }));
    this.#histograms = withKnown(
      HISTOGRAMS,
      this.#histograms,
      (labels, { bounds }) => new Histogram(labels, bounds),
    );
  }

  /** The text for Prometheus. */
  text(): string {
    this.#addKnown();
    let page = "";
    for (const [name, series] of entriesOf(this.#counted)) {
      const { help } = COUNTERS[name];
      page += series.text((samples) =>
        familyText({ name: `${PREFIX}${name}_total`, type: "counter", help, samples })
      );
    }
    for (const [name, series] of entriesOf(this.#histograms)) {
      const { help } = HISTOGRAMS[name];
      page += series.text((histograms) => {
        const samples = samplesOf(histograms);
        return familyText({ name: PREFIX + name, type: "histogram", help, samples });
      });
    }
    for (const family of this.#measured()) page += familyText(family);
    return page;
  }

  *#measured(): Iterable<Family> {
    for (const [name, values] of this.#set) {
      yield {
        name: PREFIX + name,
        type: "gauge",
        help: GAUGES[name].help,
        samples: values.values(),
      };
    }
    for (const { name, labels = {}, value: measure } of this.#gauges) {
      const value = measure();
      const samples = value === undefined ? [] : [{ labels, value }];
      yield { name: PREFIX + name, type: "gauge", help: GAUGES[name].help, samples };
    }
    for (const read of this.#collectors) yield* read();
  }
}

function* samplesOf(histograms: Iterable<Histogram>): Iterable<Sample> {
  for (const histogram of histograms) yield* histogram.samples();
}

/** Empty ones for each kind. */
function seriesFor<Name extends string, Value>(
  kinds: Readonly<Record<Name, Kind>>,
): Record<Name, Series<Value>> {
  const series = Object.keys(kinds).map((name) => [name, new Series<Value>()]);
  return Object.fromEntries(series) as Record<Name, Series<Value>>;
}

interface Kind {
  readonly labels: readonly string[];
  readonly known: readonly (readonly string[])[];
}

/** The series with a value for each known set of labels, which are the first. */
function withKnown<Name extends string, K extends Kind, Value>(
  kinds: Readonly<Record<Name, K>>,
  series: Readonly<Record<Name, Series<Value>>>,
  make: (labels: LabelValues, kind: K) => Value,
): Record<Name, Series<Value>> {
  return Object.fromEntries(
    entriesOf(kinds).map(([name, kind]) => {
      const values = kind.known.map((known): [string, Value] => {
        const labels = Object.fromEntries(kind.labels.map((label, i) => [label, known[i]!]));
        return [keyOf(kind.labels, labels), make(labels, kind)];
      });
      return [name, new Series(new Map([...values, ...series[name].values]))];
    }),
  ) as Record<Name, Series<Value>>;
}

function entriesOf<Name extends string, Value>(
  record: Readonly<Record<Name, Value>>,
): [Name, Value][] {
  return Object.entries(record) as [Name, Value][];
}

function keyOf(names: readonly string[], labels: LabelValues): string {
  // Most have one label, and its text is a key that need not be made.
  if (names.length === 1) return labels[names[0]!]!;
  let key = "";
  for (const name of names) key += labels[name] + "\0";
  return key;
}
