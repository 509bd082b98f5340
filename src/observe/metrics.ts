// Counters and gauges for `/metrics`, in the Prometheus text format, version 0.0.4
// (https://prometheus.io/docs/instrumenting/exposition_formats/).
//
// Without a library, because it would take longer to load than all the rest of the start.

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
  logins: {
    help: "Logins by their result: succeeded, refused (535 and the like) or deferred (454).",
    labels: ["result"],
    known: each("succeeded", "refused", "deferred"),
  },
  messages: {
    help:
      "Messages by the reply to their client: sent, queued, refused, deferred, ambiguous or repeated.",
    labels: ["result"],
    known: each("sent", "queued", "refused", "deferred", "ambiguous", "repeated"),
  },
  queue_tries: {
    help: "Tries to send queued messages: sent, deferred (tried again later), held or dead.",
    labels: ["result"],
    known: each("sent", "deferred", "held", "dead"),
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
  internal_errors: {
    help: "Faults of the program; most of them closed a connection.",
    labels: [],
    known: [[]],
  },
} as const satisfies Record<string, Counter>;

interface Counter {
  readonly help: string;
  readonly labels: readonly string[];
  /** The labels' values, in their order. */
  readonly known: readonly (readonly string[])[];
}

/** Values of a single label. */
function each(...values: readonly string[]): readonly (readonly string[])[] {
  return values.map((value) => [value]);
}

export type CounterName = keyof typeof COUNTERS;

type Labels<Name extends CounterName> = Readonly<
  Record<(typeof COUNTERS)[Name]["labels"][number], string>
>;

/** A value that is measured on each request. */
export interface Gauge {
  readonly name: string;
  readonly help: string;
  value(): number;
}

interface Counted {
  readonly labels: Readonly<Record<string, string>>;
  value: number;
}

/** The beginning of all names. */
export const PREFIX = "smtp_oauth_relay_";

export class Metrics {
  /** The counts, by counter and the values of its labels. */
  readonly #counted: Record<CounterName, Map<string, Counted>>;
  readonly #gauges: Gauge[] = [];

  constructor() {
    const names = Object.keys(COUNTERS) as CounterName[];
    this.#counted = Object.fromEntries(names.map((name) => [name, new Map()])) as never;
    for (const name of names) {
      const { labels, known }: Counter = COUNTERS[name];
      for (const values of known) {
        const given = Object.fromEntries(labels.map((label, i) => [label, values[i]!]));
        this.#counted[name].set(keyOf(name, given as never), { labels: given, value: 0 });
      }
    }
  }

  count<Name extends CounterName>(name: Name, labels: Labels<Name>, by = 1): void {
    // Runs for each message, so the labels are formatted only when they are read.
    const key = keyOf(name, labels);
    const counted = this.#counted[name].get(key);
    if (counted === undefined) this.#counted[name].set(key, { labels, value: by });
    else counted.value += by;
  }

  /** The count so far. */
  value<Name extends CounterName>(name: Name, labels: Labels<Name>): number {
    return this.#counted[name].get(keyOf(name, labels))?.value ?? 0;
  }

  gauge(gauge: Gauge): void {
    this.#gauges.push(gauge);
  }

  /** The text for Prometheus. */
  text(): string {
    let page = "";
    for (const name of Object.keys(COUNTERS) as CounterName[]) {
      const full = `${PREFIX}${name}_total`;
      page += `# HELP ${full} ${COUNTERS[name].help}\n# TYPE ${full} counter\n`;
      for (const { labels, value } of this.#counted[name].values()) {
        page += `${full}${written(labels)} ${value}\n`;
      }
    }
    for (const { name, help, value } of this.#gauges) {
      const full = PREFIX + name;
      page += `# HELP ${full} ${help}\n# TYPE ${full} gauge\n${full} ${value()}\n`;
    }
    return page;
  }
}

function keyOf<Name extends CounterName>(name: Name, labels: Labels<Name>): string {
  let key = "";
  for (const label of COUNTERS[name].labels) key += labels[label as keyof typeof labels] + "\0";
  return key;
}

function written(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

function escaped(value: string): string {
  return value.replace(/[\\"\n]/g, (c) => c === "\n" ? "\\n" : "\\" + c);
}
