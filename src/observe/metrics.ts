// What is counted, for `/metrics`: the Prometheus text format, version 0.0.4
// (https://prometheus.io/docs/instrumenting/exposition_formats/).
//
// Counted by ourselves, because a library for it takes longer to load than all the rest of the start.

/** The settings whose limits are counted. */
const LIMITS = [
  ...["MAX_CONNECTIONS", "MAX_CONNECTIONS_PER_IP", "COMMAND_TIMEOUT", "DATA_TIMEOUT"],
  ...["MIN_DATA_RATE", "MAX_ERRORS", "MAX_IDLE_COMMANDS", "MAX_MESSAGE_SIZE", "MAX_RECIPIENTS"],
  ...["MAX_MEMORY", "MAX_HEADER_SIZE", "MAX_MIME_DEPTH", "MAX_MIME_PARTS"],
  ...["AUTH_RATE_LIMIT", "MESSAGE_RATE_LIMIT"],
];

/** Which commands the session refuses by itself, and with which replies. */
const REFUSALS = {
  AUTH: [500, 501, 504, 530, 535],
  MAIL: [451, 452, 501, 530, 550, 552, 553, 555],
  RCPT: [452, 501, 550, 553, 555],
  DATA: [452, 552],
  BDAT: [452, 552],
};

/**
 * Each counter with its help text, the names of its labels, and which values they have. Those are there
 * from the beginning: a query finds 0, not nothing, and an alarm sees the first one as an increase.
 */
export const COUNTERS = {
  connections: { help: "SMTP connections that have ended.", labels: [], known: [[]] },
  logins: {
    help: "Logins by their result: succeeded, refused (535 and the like) or deferred (454).",
    labels: ["result"],
    known: each("succeeded", "refused", "deferred"),
  },
  messages: {
    help: "Messages by their result: sent, refused, deferred, ambiguous or repeated.",
    labels: ["result"],
    known: each("sent", "refused", "deferred", "ambiguous", "repeated"),
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

/** Values of the one label. */
function each(...values: readonly string[]): readonly (readonly string[])[] {
  return values.map((value) => [value]);
}

export type CounterName = keyof typeof COUNTERS;

type Labels<Name extends CounterName> = Readonly<
  Record<(typeof COUNTERS)[Name]["labels"][number], string>
>;

/** What is measured when somebody asks. */
export interface Gauge {
  readonly name: string;
  readonly help: string;
  value(): number;
}

interface Counted {
  readonly labels: Readonly<Record<string, string>>;
  value: number;
}

/** What all names begin with. */
export const PREFIX = "smtp_oauth_relay_";

export class Metrics {
  /** What has been counted, by counter and the values of its labels. */
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

  count<Name extends CounterName>(name: Name, labels: Labels<Name>): void {
    // Each message comes here: its labels are written when somebody reads them.
    const key = keyOf(name, labels);
    const counted = this.#counted[name].get(key);
    if (counted === undefined) this.#counted[name].set(key, { labels, value: 1 });
    else counted.value++;
  }

  /** How often that has been counted. */
  value<Name extends CounterName>(name: Name, labels: Labels<Name>): number {
    return this.#counted[name].get(keyOf(name, labels))?.value ?? 0;
  }

  gauge(gauge: Gauge): void {
    this.#gauges.push(gauge);
  }

  /** The page that Prometheus reads. */
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
