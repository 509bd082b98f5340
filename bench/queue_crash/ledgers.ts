// The three ledgers of the crashes: what clients were told, what Graph accepted, and what the relays logged.

/** What a client knows of a message. */
export interface Sending {
  readonly message: number;
  /** `reply`: there is one. `lost`: the relay was gone before it. */
  readonly end: "reply" | "lost";
  readonly reply?: string;
}

/** A message that Graph has accepted. */
export interface Arrival {
  readonly message: number;
  /** The relay's, from the Received field. */
  readonly id: string;
  /** The relay that sent it. */
  readonly relay: string;
  /** Whether it is as its client sent it. */
  readonly whole: boolean;
  /** When Graph accepted it, by `performance.now()`. */
  readonly at: number;
}

/** A relay's log in JSON. The last lines of one that was killed may be missing. */
export interface RelayLog {
  readonly relay: string;
  /** Whether it was killed: else it has ended in good order. */
  readonly killed: boolean;
  /** Ids by what the log says of them. */
  readonly queued: ReadonlySet<string>;
  readonly sent: ReadonlySet<string>;
  readonly deferred: readonly string[];
  /** Lines that should not be there. */
  readonly wrong: readonly string[];
}

export interface Ledgers {
  readonly clients: readonly Sending[];
  readonly arrivals: readonly Arrival[];
  readonly logs: readonly RelayLog[];
}

export interface Figures {
  /** Messages whose client got 250. */
  readonly acknowledged: number;
  /** Messages that arrived, each counted once. */
  readonly arrived: number;
  /** Of them, those whose client got no reply. */
  readonly unasked: number;
  /** Arrivals beyond the first of a message. */
  readonly duplicates: number;
  /** Tries that the relays put off. */
  readonly deferred: number;
}

export interface Comparison {
  readonly disagreements: readonly string[];
  readonly figures: Figures;
}

/** A 503 may hide that a message was sent, though not Graph's here. */
const DEFERRED = new Set(["Queued message deferred", "Queued message may have been sent"]);
const WRONG_LEVELS = new Set(["ERROR", "CRITICAL"]);

export function readLog(relay: string, killed: boolean, text: string): RelayLog {
  const queued = new Set<string>();
  const sent = new Set<string>();
  const deferred: string[] = [];
  const wrong: string[] = [];
  const lines = text.split("\n");
  // The last one may have been cut off.
  if (killed) lines.pop();
  for (const line of lines) {
    if (line === "") continue;
    const { level, message, id } = fieldsOf(line);
    if (message === "Message queued") queued.add(id);
    else if (message === "Queued message sent") sent.add(id);
    else if (DEFERRED.has(message)) deferred.push(id);
    else if (WRONG_LEVELS.has(level) || /^Queued message/.test(message)) wrong.push(line);
  }
  return { relay, killed, queued, sent, deferred, wrong };
}

function fieldsOf(line: string): Record<"level" | "message" | "id", string> {
  try {
    return JSON.parse(line);
  } catch {
    return { level: "ERROR", message: line, id: "" };
  }
}

/** The relay's id of a message, from the reply to its client; undefined if it was not acknowledged. */
export function queuedId({ reply = "" }: Sending): string | undefined {
  return /^250 2\.0\.0 .*queued as ([\w-]+)$/.exec(reply)?.[1];
}

/** Each message with a 250 has arrived, and each duplicate is explained by a kill. */
export function compare({ clients, arrivals, logs }: Ledgers): Comparison {
  const found: string[] = [];
  const byId = Map.groupBy(arrivals, ({ id }) => id);
  const logOf = new Map(logs.map((log) => [log.relay, log]));
  const acknowledged = new Map<number, string>();
  for (const sending of clients) {
    const { message, end, reply } = sending;
    if (end === "lost") continue;
    const id = queuedId(sending);
    if (id === undefined) found.push(`message ${message} got ${JSON.stringify(reply)}`);
    else acknowledged.set(message, id);
  }
  for (const [message, id] of acknowledged) {
    const times = byId.get(id) ?? [];
    if (times.length === 0) found.push(`message ${message} is lost: its client was told ${id}`);
    if (times.some((arrival) => arrival.message !== message)) {
      found.push(`${id} is message ${message} for its client, and another one for Graph`);
    }
  }
  for (const { message, id, whole } of arrivals) {
    if (!whole) found.push(`message ${message} has arrived as ${id} with another content`);
  }
  const sentBy = Map.groupBy(arrivals, ({ message }) => message);
  for (const [message, times] of sentBy) {
    const ids = new Set(times.map(({ id }) => id));
    if (ids.size > 1) found.push(`message ${message} was accepted as ${[...ids].join(" and ")}`);
  }
  for (const [id, times] of byId) found.push(...unexplained(id, times, logOf));
  for (const { relay, sent, wrong } of logs) {
    for (const line of wrong) found.push(`${relay} logged: ${line}`);
    for (const id of sent) {
      if (!byId.has(id)) found.push(`${relay} says that it sent ${id}, which Graph has not seen`);
    }
  }
  const duplicates = [...byId.values()].reduce((sum, times) => sum + times.length - 1, 0);
  const unasked = [...byId.values()].filter(([first]) => !acknowledged.has(first!.message)).length;
  return {
    disagreements: found,
    figures: {
      acknowledged: acknowledged.size,
      arrived: byId.size,
      unasked,
      duplicates,
      deferred: logs.reduce((sum, { deferred }) => sum + deferred.length, 0),
    },
  };
}

/** A message may arrive again only if the relay that sent it was killed before it had recorded that. */
function unexplained(
  id: string,
  times: readonly Arrival[],
  logOf: ReadonlyMap<string, RelayLog>,
): string[] {
  return times.slice(0, -1).flatMap(({ relay }, index) => {
    const log = logOf.get(relay);
    const next = times[index + 1]!.relay;
    if (log === undefined) return [`${id} was sent by ${relay}, which has no log`];
    if (!log.killed) return [`${id} was sent by ${relay}, which was not killed, and by ${next}`];
    if (relay === next) return [`${id} was sent twice by ${relay}`];
    if (log.sent.has(id)) return [`${id} was sent by ${relay}, which logged that, and by ${next}`];
    return [];
  });
}
