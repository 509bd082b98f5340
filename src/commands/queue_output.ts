// How `queue` shows messages: rows for people, and JSON for scripts. Never with a secret.

import type { Account } from "../accounts/account.ts";
import type { Delimiter } from "../accounts/username.ts";
import type { InspectedMessage } from "../queue/inspection.ts";
import { printableJson } from "../settings/quoted.ts";
import { printableText, Table } from "./printed.ts";

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

/** The columns that a terminal of 80 has room for; sender and recipient are in a second line. */
const NARROW_HEADER = ["id", "state", "received", "attempts", "code"];

/** How the lists of `queue` are shown. */
export interface ListStyle {
  /** In usernames. */
  readonly delimiter: Delimiter;
  /** Columns of the terminal; undefined if the list does not go to a terminal. */
  readonly columns?: number;
}

/**
 * The table of `queue list`, which is printed in parts. If it is too wide for the terminal, messages have
 * two short lines each.
 */
export class MessageTable {
  readonly #style: ListStyle;
  #table = new Table();
  #isNarrow: boolean | undefined;

  constructor(style: ListStyle) {
    this.#style = style;
  }

  text(messages: readonly InspectedMessage[]): string {
    const { delimiter, columns = Infinity } = this.#style;
    if (this.#isNarrow) return this.#narrow(messages);
    const rows = messages.map((message) => rowOf(message, delimiter));
    if (this.#isNarrow === false) return `${this.#table.text(rows)}\n`;
    const text = this.#table.text([HEADER, ...rows]);
    this.#isNarrow = text.split("\n").some((line) => line.length > columns);
    if (!this.#isNarrow) return `${text}\n`;
    this.#table = new Table();
    return this.#narrow(messages, [NARROW_HEADER]);
  }

  #narrow(messages: readonly InspectedMessage[], header: readonly (readonly string[])[] = []) {
    const rows = messages.map(({ stored: { id, state, receivedAt, attempts, code } }) => [
      id,
      state,
      time(receivedAt),
      String(attempts),
      code || "-",
    ]);
    const lines = this.#table.text([...header, ...rows]).split("\n");
    const head = lines.splice(0, header.length);
    const pairs = messages.flatMap((message, index) => [lines[index], `    ${routeOf(message)}`]);
    return `${[...head, ...pairs].join("\n")}\n`;
  }
}

function rowOf({ stored, record, problem }: InspectedMessage, delimiter: Delimiter) {
  const { id, state, receivedAt, due, size, attempts, code } = stored;
  const fixed = [id, state, time(receivedAt), state === "queued" ? time(due) : "-"];
  const counts = [String(size), String(attempts), code || "-"];
  if (record === undefined) return [...fixed, ...counts, `(${problem})`];
  const { from, recipients } = record.envelope;
  const account = accountText(record.account, delimiter);
  return [...fixed, ...counts, from || "<>", recipientsText(recipients), account];
}

function routeOf({ record, problem }: InspectedMessage): string {
  if (record === undefined) return `(${problem})`;
  const { from, recipients } = record.envelope;
  return printableText(`${from || "<>"} to ${recipientsText(recipients)}`);
}

function recipientsText([first = "", ...others]: readonly string[]): string {
  return others.length === 0 ? first : `${first} +${others.length}`;
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
      ["tenant ID", tenantId],
      ["client ID", clientId],
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

/** In a form that `--account` takes. */
function accountText({ tenantId, clientId, entry }: Account, delimiter: Delimiter): string {
  return entry === undefined ? `${tenantId}${delimiter}${clientId}` : entry.id;
}

/** To the second, in UTC. */
function time(at: number): string {
  const date = new Date(at);
  return Number.isNaN(date.valueOf()) ? "?" : date.toISOString().replace(/\.\d+Z$/, "Z");
}
