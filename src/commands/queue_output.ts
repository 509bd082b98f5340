// How `queue` shows messages: rows for people, and JSON for scripts. Never with a secret.

import type { Account } from "../accounts/account.ts";
import type { InspectedMessage } from "../queue/inspection.ts";
import { printableJson } from "../settings/quoted.ts";
import { Table } from "./printed.ts";

const HEADER = [
  "id",
  "state",
  "received",
  "due",
  "size",
  "attempts",
  "code",
  "from",
  "to",
  "account",
];

export function rowOf({ stored, record, problem }: InspectedMessage): readonly string[] {
  const { id, state, receivedAt, due, size, attempts, code } = stored;
  const fixed = [id, state, time(receivedAt), state === "queued" ? time(due) : "-"];
  const counts = [String(size), String(attempts), code || "-"];
  if (record === undefined) return [...fixed, ...counts, `(${problem})`];
  const { from, recipients } = record.envelope;
  const [first = "", ...others] = recipients;
  const to = others.length === 0 ? first : `${first} +${others.length}`;
  return [...fixed, ...counts, from || "<>", to, accountText(record.account)];
}

/** The table of `queue list`, which is printed in parts. */
export class MessageTable {
  readonly #table = new Table();
  #begun = false;

  text(messages: readonly InspectedMessage[]): string {
    const rows = messages.map(rowOf);
    if (this.#begun) return `${this.#table.text(rows)}\n`;
    this.#begun = true;
    return `${this.#table.text([HEADER, ...rows])}\n`;
  }
}

export function detailsOf(message: InspectedMessage): string {
  const { stored, record, note, problem } = message;
  const { id, state, receivedAt, due, size, attempts, code } = stored;
  const rows: (readonly [name: string, value: string | undefined])[] = [
    ["id", id],
    ["state", state],
    ["received", time(receivedAt)],
    [state === "queued" ? "due" : "since", time(due)],
    ["size", `${size} bytes`],
    ["attempts", String(attempts)],
    ["code", code || undefined],
    ["detail", note?.detail],
    ["first attempt", note?.firstAttempt === undefined ? undefined : time(note.firstAttempt)],
    ["in doubt", note?.doubt ? "yes: it may have been sent" : undefined],
    ["problem", problem],
  ];
  if (record !== undefined) {
    const { kind, envelope, account, facts, client } = record;
    const { tenantId, clientId, entry, fromEmail } = account;
    rows.push(
      ["kind", kind === "report" ? "non-delivery report of the relay" : undefined],
      ["from", envelope.from || "<>"],
      ...envelope.recipients.map((recipient) => ["to", recipient] as const),
      ["sent as", fromEmail],
      ["entry", entry?.id],
      ["tenant", tenantId],
      ["client", clientId],
      ["came from", `${client}, ${facts.tls ? "with" : "without"} TLS`],
    );
  }
  const given = rows.flatMap(([name, value]) => value === undefined ? [] : [[name, value]]);
  return new Table().text(given);
}

/**
 * The fields of docs/queue_command.md; those that are not known are left out.
 *
 * @param indent spaces; 0 for one line
 */
export function jsonOf(message: InspectedMessage, indent = 0): string {
  const { stored, record, note, problem } = message;
  const { id, state, receivedAt, due, size, attempts, code } = stored;
  const json: Record<string, unknown> = {
    id,
    state,
    receivedAt: time(receivedAt),
    due: time(due),
    size,
    attempts,
    code: code || undefined,
    detail: note?.detail,
    firstAttempt: note?.firstAttempt === undefined ? undefined : time(note.firstAttempt),
    doubt: note?.doubt,
    problem,
  };
  if (record !== undefined) {
    const { kind, envelope, account, facts, client } = record;
    const { tenantId, clientId, entry, fromEmail } = account;
    Object.assign(json, {
      kind,
      from: envelope.from,
      to: envelope.recipients,
      account: { entry: entry?.id, tenantId, clientId, fromEmail },
      client,
      tls: facts.tls,
    });
  }
  return printableJson(JSON.stringify(json, null, indent));
}

/** A JSON array with an element a line, which is printed in parts. */
export class JsonArray {
  #begun = false;

  /** @param elements JSON texts */
  text(elements: readonly string[]): string {
    return elements.map((element) => {
      const before = this.#begun ? ",\n" : "[\n";
      this.#begun = true;
      return `${before}  ${element}`;
    }).join("");
  }

  end(): string {
    return this.#begun ? "\n]\n" : "[]\n";
  }
}

export function messagesText(count: number): string {
  return count === 1 ? "1 message" : `${count} messages`;
}

function accountText({ tenantId, clientId, entry }: Account): string {
  return entry === undefined ? `${tenantId} ${clientId}` : entry.id;
}

/** To the second, in UTC. */
function time(at: number): string {
  const date = new Date(at);
  return Number.isNaN(date.valueOf()) ? "?" : date.toISOString().replace(/\.\d+Z$/, "Z");
}
