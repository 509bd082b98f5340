// `lookup`: reads and edits the entries of the lookup table.

import process from "node:process";
import { createInterface } from "node:readline/promises";
import { type ColumnName, COLUMNS, readEntry, type Row, textOf } from "../accounts/entry.ts";
import { isTrouble, type TableTrouble } from "../accounts/entry_source.ts";
import type { Change, LookupTable } from "../accounts/table.ts";
import { isTableKey } from "../accounts/table_key.ts";
import { readAuthorities } from "../certificates/authorities.ts";
import { CertificateError } from "../certificates/certificate.ts";
import { currentRuntime } from "../runtime/current.ts";
import { nearest } from "../settings/load.ts";
import { settingsAmong } from "./environment.ts";
import { CommandError, EXIT } from "./exit.ts";
import { outgoingClient } from "./outgoing.ts";
import { openTable } from "./table.ts";
import { aligned, printableText } from "./text_table.ts";

/** Milliseconds; a table of many entries takes several requests. */
const TIMEOUT = 60_000;

const ACTIONS = ["list", "get", "set", "delete"] as const;
type Action = (typeof ACTIONS)[number];

/** In the order of the output; `description` is for people alone. */
const NAMES = [...Object.keys(COLUMNS), "description"] as (ColumnName | "description")[];

export interface LookupOptions {
  readonly json?: boolean;
  /** Deletes without asking. */
  readonly yes?: boolean;
}

/** @returns what to print, without the last line end */
export async function lookup(
  words: readonly string[],
  options: LookupOptions,
  envFile: string | undefined,
): Promise<string> {
  const [word = "", id, ...assignments] = words;
  const action = actionOf(word, id, assignments);
  if (id !== undefined && !isTableKey(id)) {
    throw usage(`ID ${shown(id)} can be no key of a table: / \\ # ? and controls are not allowed`);
  }
  const changes = action === "set" ? changesOf(assignments) : {};
  const settings = settingsAmong([
    "AZURE_TABLES_URL",
    "AZURE_TABLES_PARTITION_KEY",
    "AZURE_TABLES_CONNECTION_STRING",
    "AZURE_CLIENT_SECRET",
    "AZURE_CLOUD",
    "AZURE_AUTHORITY_HOST",
    "GRAPH_ENDPOINT",
    "EXTRA_CA_CERTS_FILEPATH",
    "HTTPS_PROXY",
    "NO_PROXY",
  ], envFile);
  const runtime = await currentRuntime();
  const authorities = await authoritiesOrError(settings.EXTRA_CA_CERTS_FILEPATH);
  const http = outgoingClient(settings, runtime, authorities);
  try {
    const table = await openTable(settings, http);
    if (table === undefined) {
      throw new CommandError(EXIT.config, ["AZURE_TABLES_URL must be set: it names the table"]);
    }
    switch (action) {
      case "list":
        return await list(table, options);
      case "get":
        return await get(table, id!, options);
      case "set":
        return await set(table, id!, changes, options);
      case "delete":
        return await remove(table, id!, options);
    }
  } finally {
    http.close();
  }
}

async function authoritiesOrError(path: string | undefined): Promise<readonly string[]> {
  try {
    return await readAuthorities(path);
  } catch (error) {
    if (!(error instanceof CertificateError)) throw error;
    throw new CommandError(EXIT.config, [error.message]);
  }
}

async function list(table: LookupTable, { json }: LookupOptions): Promise<string> {
  const rows = answered(await table.list(TIMEOUT));
  if (json) return JSON.stringify(rows.map(entryJson), null, 2);
  if (rows.length === 0) return "There is no entry.";
  const names = NAMES.filter((name) => rows.some((row) => textIn(row, name) !== ""));
  return aligned([
    ["id", ...names, "state"],
    ...rows.map((row) => [row.id, ...names.map((name) => textIn(row, name)), stateOf(row)]),
  ]);
}

async function get(table: LookupTable, id: string, { json }: LookupOptions): Promise<string> {
  const row = await found(table, id);
  if (json) return JSON.stringify(entryJson(row), null, 2);
  const names = NAMES.filter((name) => textIn(row, name) !== "");
  return aligned([
    ["id", row.id],
    ...names.map((name) => [name, textIn(row, name)]),
    ["state", stateOf(row)],
  ]);
}

async function set(
  table: LookupTable,
  id: string,
  changes: Changes,
  { json }: LookupOptions,
): Promise<string> {
  // A new entry is made only where it can be used.
  const make = "tenant_id" in changes && "client_id" in changes;
  const change = answered(await table.set(id, changes, make, TIMEOUT));
  if (change === "missing") {
    throw failure(`there is no entry ${shown(id)}; a new one needs tenant_id and client_id`);
  }
  if (change === "conflict") throw failure(conflict(id));
  const row = await found(table, id);
  if (json) return JSON.stringify({ change, ...entryJson(row) }, null, 2);
  return `Entry ${shown(id)} ${change}: ${stateOf(row)}`;
}

async function remove(
  table: LookupTable,
  id: string,
  { json, yes }: LookupOptions,
): Promise<string> {
  if (!yes && process.stdin.isTTY) {
    const row = await found(table, id);
    const { from_email: from } = row.columns;
    const what = from === undefined ? "" : ` (from_email ${printableText(String(from))})`;
    if (!await agreed(`Delete entry ${shown(id)}${what}? [y/N] `)) throw failure("not deleted");
  }
  const change = answered<Change>(await table.delete(id, TIMEOUT));
  if (change === "missing") throw failure(`there is no entry ${shown(id)}`);
  if (change === "conflict") throw failure(conflict(id));
  return json ? JSON.stringify({ change, id }) : `Entry ${shown(id)} deleted`;
}

/** Standard output is for results alone, so the question is not asked there. */
async function agreed(question: string): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(?:es)?$/i.test((await terminal.question(question)).trim());
  } finally {
    terminal.close();
  }
}

async function found(table: LookupTable, id: string): Promise<Row> {
  const row = await table.find(id, TIMEOUT);
  if (row === undefined) throw failure(`there is no entry ${shown(id)}`);
  return answered(row);
}

function answered<T>(answer: T | TableTrouble): T {
  if (typeof answer === "object" && answer !== null && isTrouble(answer)) {
    const { code, detail } = answer;
    throw failure(`${code}: ${detail}`);
  }
  return answer as T;
}

// --- arguments ---

function actionOf(
  word: string,
  id: string | undefined,
  assignments: readonly string[],
): Action {
  const action = ACTIONS.find((name) => name === word);
  if (action === undefined) {
    const near = nearest(word, ACTIONS);
    const hint = near === undefined
      ? `one of ${ACTIONS.join(", ")} is needed`
      : `did you mean ${near}?`;
    throw usage(`unknown action ${shown(word)} of lookup: ${hint}`);
  }
  if (action === "list" && id !== undefined) throw usage("lookup list takes no ID");
  if (action !== "list" && id === undefined) throw usage(`lookup ${action} needs an ID`);
  if (action === "set" && assignments.length === 0) {
    throw usage("lookup set needs COLUMN=VALUE, one or more; an empty value removes the column");
  }
  if (action !== "set" && assignments.length > 0) {
    throw usage(`lookup ${action} takes one ID, and nothing behind it`);
  }
  return action;
}

type Changes = Readonly<Record<string, string | boolean | undefined>>;

function changesOf(assignments: readonly string[]): Changes {
  const changes: Record<string, string | boolean | undefined> = {};
  for (const assignment of assignments) {
    const equals = assignment.indexOf("=");
    if (equals < 0) throw usage(`${shown(assignment)} must be COLUMN=VALUE`);
    const name = assignment.slice(0, equals);
    const known = NAMES.find((column) => column === name);
    if (known === undefined) {
      const near = nearest(name, NAMES);
      const hint = near === undefined ? `there are ${NAMES.join(", ")}` : `did you mean ${near}?`;
      throw usage(`unknown column ${shown(name)}: ${hint}`);
    }
    if (known in changes) throw usage(`${known} is given twice`);
    changes[known] = valueOf(known, assignment.slice(equals + 1).trim());
  }
  return changes;
}

/** As the table is to have it: ids in the form in which the Python relay compares them, too. */
function valueOf(name: ColumnName | "description", text: string): string | boolean | undefined {
  if (text === "") {
    if (name === "tenant_id" || name === "client_id") throw usage(`${name} cannot be removed`);
    return undefined;
  }
  if (name === "description") return text;
  const { parse, allowed } = COLUMNS[name];
  const value = parse(text);
  if (value === undefined) throw usage(`${name} must be ${allowed}`);
  return typeof value === "object" ? text : value;
}

// --- output ---

function textIn({ columns }: Row, name: string): string {
  const value = columns[name];
  return textOf(value) ?? String(value);
}

/** `ok`, `disabled`, or what is wrong. */
function stateOf(row: Row): string {
  const reading = readEntry(row);
  if (reading.type === "entry") return "ok";
  if (reading.type === "disabled") return "disabled";
  return `${reading.mistake.column} must be ${reading.mistake.allowed}`;
}

function entryJson(row: Row): Record<string, string | boolean> {
  const reading = readEntry(row);
  const json: Record<string, string | boolean> = { id: row.id };
  for (const name of NAMES) {
    const text = textIn(row, name);
    if (text !== "" && name !== "disabled") json[name] = text;
  }
  json["disabled"] = reading.type === "disabled";
  json["usable"] = reading.type === "entry";
  if (reading.type === "malformed") json["problem"] = stateOf(row);
  return json;
}

function shown(text: string): string {
  return JSON.stringify(printableText(text));
}

function conflict(id: string): string {
  return `entry ${shown(id)} has just been changed by somebody else: look at it and try again`;
}

function usage(line: string): CommandError {
  return new CommandError(EXIT.usage, [line]);
}

function failure(line: string): CommandError {
  return new CommandError(EXIT.failure, [line]);
}
