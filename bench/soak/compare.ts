// Compares the three ledgers of the soak: the replies to clients, the relay's log, and the messages that
// the cloud accepted. Prints a line for each difference.

import type { CloudLedger, LogEntry, LogOutcome, RelayLedger, Try } from "./ledgers.ts";

export interface Comparison {
  readonly disagreements: readonly string[];
  /** Tries by the reply that the client got, and messages by the log. */
  readonly table: readonly { readonly what: string; readonly count: number }[];
}

/**
 * Milliseconds between a client's hanging up and the message's end as the log has it, within which it
 * may be that neither knew of the other.
 */
const CROSSING = 150;

export function compare(
  tries: readonly Try[],
  { messages, errors }: RelayLedger,
  cloud: CloudLedger,
  metrics: ReadonlyMap<string, number>,
): Comparison {
  const found: string[] = [];
  const byId = new Map(messages.map((entry) => [entry.id, entry]));
  const takenById = Map.groupBy(cloud.taken, ([, id]) => id);

  // Relay and cloud.
  for (const entry of messages) {
    const times = takenById.get(entry.id)?.length ?? 0;
    const [least, most] = MAY_BE_TAKEN[entry.outcome];
    if (times < least || times > most) {
      found.push(
        `${entry.id} was ${entry.outcome}, says the log; the cloud took it ${times} times`,
      );
    }
  }
  for (const [number, id] of cloud.taken) {
    if (!byId.has(id)) found.push(`message ${number} was taken as ${id}, which no log line has`);
  }
  for (const id of cloud.damaged) found.push(`${id} has arrived with another content`);
  if (cloud.strange > 0) found.push(`the cloud took ${cloud.strange} messages that no client sent`);
  if (cloud.authorizedUploads > 0) found.push("a token went to an upload address");

  // Clients and relay: the messages of one address are in order.
  const byAddress = Map.groupBy(messages, ({ address }) => address);
  const results: Record<string, number> = {};
  const triesByAddress = Map.groupBy(tries, ({ address }) => address);
  const idsOf = new Map<number, { readonly attempt: Try; readonly entry: LogEntry }[]>();
  for (const [address, own] of triesByAddress) {
    const entries = [...byAddress.get(address) ?? []];
    for (const attempt of own) {
      const what = attempt.end === "reply" ? attempt.reply!.slice(0, 9) : attempt.end;
      results[what] = (results[what] ?? 0) + 1;
      if (attempt.end === "lost") {
        found.push(`message ${attempt.message}: ${attempt.reply}`);
        continue;
      }
      if (!attempt.begun || attempt.end === "unfinished") {
        if (attempt.reply?.startsWith("2")) {
          found.push(`message ${attempt.message}: ${attempt.reply}`);
        }
        continue;
      }
      const entry = entries.shift();
      if (entry === undefined) {
        // The last octets may have been lost with the connection.
        if (attempt.end !== "gone") {
          found.push(
            `message ${attempt.message} got ${attempt.reply}, which the log does not have`,
          );
        }
        continue;
      }
      const entriesOfMessage = idsOf.get(attempt.message);
      if (entriesOfMessage === undefined) idsOf.set(attempt.message, [{ attempt, entry }]);
      else entriesOfMessage.push({ attempt, entry });
      if (attempt.end === "reply" && !agree(attempt.reply!, entry)) {
        found.push(
          `message ${attempt.message} got ${attempt.reply}; the log has ${entry.outcome} ` +
            `${entry.code ?? ""} ${entry.id}`,
        );
      }
    }
    for (const { id } of entries) found.push(`${id} from ${address}: no client has sent it`);
  }
  for (const address of byAddress.keys()) {
    if (!triesByAddress.has(address)) found.push(`messages from ${address}: no client had it`);
  }

  // Nothing that was reported sent is missing.
  const takenByNumber = Map.groupBy(cloud.taken, ([number]) => number);
  for (const attempt of tries) {
    if (attempt.end !== "reply" || !attempt.reply!.startsWith("250")) continue;
    if (!takenByNumber.has(attempt.message)) {
      found.push(`message ${attempt.message} got ${attempt.reply}, and the cloud does not have it`);
    }
  }

  // No message arrived twice, unless a client that could not know the outcome sent it again.
  let crossed = 0;
  let doubted = 0;
  for (const [number, all] of takenByNumber) {
    if (all.length === 1) continue;
    const before = (idsOf.get(number) ?? []).toSorted((a, b) => a.entry.at - b.entry.at).slice(
      0,
      -1,
    );
    if (before.some(({ entry }) => entry.outcome === "ambiguous")) doubted++;
    else if (before.some(knewNothing)) crossed++;
    else found.push(`message ${number} was taken ${all.length} times`);
  }

  // The counters agree with the log.
  const logged: Record<LogOutcome, number> = {
    sent: 0,
    ambiguous: 0,
    deferred: 0,
    refused: 0,
    repeated: 0,
  };
  for (const { outcome } of messages) logged[outcome]++;
  for (const [outcome, count] of Object.entries(logged)) {
    const counted = metrics.get(`messages_total{result="${outcome}"}`) ?? 0;
    if (counted !== count) found.push(`/metrics has ${counted} ${outcome}, the log ${count}`);
  }
  for (const name of ["open_connections", "mail_memory_bytes", "internal_errors_total"]) {
    const value = metrics.get(name);
    if (value !== 0) found.push(`${name} is ${value} at the end`);
  }
  for (const line of errors) found.push(`the relay wrote: ${line}`);

  return {
    disagreements: found,
    table: [
      ...Object.entries(results).sort().map(([what, count]) => ({
        what: `clients: ${what}`,
        count,
      })),
      ...Object.entries(logged).map(([what, count]) => ({ what: `relay: ${what}`, count })),
      { what: "cloud: taken", count: cloud.taken.length },
      { what: "cloud: different messages", count: takenByNumber.size },
      { what: "cloud: twice, after an ambiguous try", count: doubted },
      { what: "cloud: twice, as the client hung up while its 250 was on the way", count: crossed },
    ],
  };
}

/** How often the cloud may have taken a message, by what the log says of it. */
const MAY_BE_TAKEN: Readonly<Record<LogOutcome, readonly [number, number]>> = {
  sent: [1, 1],
  ambiguous: [0, 1],
  deferred: [0, 0],
  refused: [0, 0],
  repeated: [0, 0],
};

function agree(reply: string, { id, outcome, sentAs, code }: LogEntry): boolean {
  switch (outcome) {
    case "sent":
      return reply === `250 2.0.0 OK id=${id}`;
    case "repeated":
      return reply === `250 2.0.0 OK id=${sentAs}`;
    case "ambiguous":
      return reply.startsWith("451 ") && / 4\.4\.2 |may have been sent/.test(reply);
    case "deferred":
    case "refused":
      return reply.startsWith(`${code} `) && !/may have been sent/.test(reply) &&
        (outcome === "refused") === reply.startsWith("5");
  }
}

/** The client went when its 250 was being written: the relay could not see that it would not be read. */
function knewNothing({ attempt, entry }: { attempt: Try; entry: LogEntry }): boolean {
  return attempt.end === "gone" && entry.outcome === "sent" && entry.at < attempt.at + CROSSING;
}
