// `lookup`: reads and edits the entries of LOOKUP_FILE or of the lookup table.

import process from "node:process";
import type { Row } from "../accounts/entry.ts";
import { isTrouble, type TableTrouble } from "../accounts/entry_source.ts";
import type { EntryRules } from "../accounts/entry_state.ts";
import type { Change } from "../accounts/lookup_table.ts";
import { settingsIn } from "../settings/environment.ts";
import type { Environment } from "../settings/setting.ts";
import { CommandError, EXIT } from "../exit.ts";
import { commandVariables } from "./command_variables.ts";
import {
  type Action,
  actionOf,
  type Changes,
  changesFor,
  checkId,
  idWithin,
  NAMES,
  newIdProblem,
} from "./lookup_arguments.ts";
import { entryJson, stateOf, textIn } from "./lookup_output.ts";
import {
  type PasswordOptions,
  passwordOptions,
  setPassword,
  type Wanted,
} from "./lookup_password.ts";
import { type OpenStore, openStore } from "./lookup_store.ts";
import { agreed, printableText, shown, Table } from "./printed.ts";

/** Milliseconds; a table of many entries takes several requests. */
const TIMEOUT = 60_000;

export interface LookupOptions extends PasswordOptions {
  readonly json?: boolean;
  /** Deletes without asking. */
  readonly yes?: boolean;
  /** The unit whose settings count; true for the usual one. */
  readonly service?: string | true;
}

const SETTINGS_READ = [
  "LOOKUP_FILE",
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
  "USERNAME_DELIMITER",
  "ALLOWED_SENDERS",
  "AZURE_TABLES_FORCE_USAGE",
] as const;

/** What each action needs. */
interface Context extends OpenStore {
  readonly rules: EntryRules;
  readonly options: LookupOptions;
}

/** @returns what to print, without the last line end */
export async function lookup(
  words: readonly string[],
  options: LookupOptions,
  envFile: string | undefined,
): Promise<string> {
  const [word = "", id, ...assignments] = words;
  const action = actionOf(word, id, assignments);
  if (action === "delete" && !options.yes && !process.stdin.isTTY) {
    throw new CommandError(EXIT.usage, [
      "lookup delete asks for confirmation, but there is no terminal: add --yes",
    ]);
  }
  const wanted = passwordOptions(action, options);
  if (id !== undefined && action !== "set") checkId(id);
  const changes = action === "set" ? changesFor(id!, assignments) : {};
  const { variables, close } = commandVariables(options.service, envFile);
  try {
    return await act({ action, id, changes, wanted }, options, variables);
  } finally {
    close();
  }
}

interface Task {
  readonly action: Action;
  readonly id: string | undefined;
  readonly changes: Changes;
  readonly wanted: Wanted;
}

async function act(
  { action, id, changes, wanted }: Task,
  options: LookupOptions,
  variables: Environment,
): Promise<string> {
  const settings = settingsIn(SETTINGS_READ, variables);
  const { USERNAME_DELIMITER: delimiter, ALLOWED_SENDERS: allowedSenders } = settings;
  const opened = await openStore(settings, variables);
  try {
    const rules = { delimiter, allowedSenders, forced: settings.AZURE_TABLES_FORCE_USAGE };
    const context: Context = { ...opened, rules, options };
    if (opened.isFile && settings.AZURE_TABLES_URL !== undefined) {
      note("these entries are in LOOKUP_FILE; logins look in the table for others");
    }
    switch (action) {
      case "list":
        return await list(context);
      case "get":
        return await get(context, id!);
      case "set":
        return await set(context, id!, changes);
      case "delete":
        return await remove(context, id!);
      case "set-password": {
        const find = async () => await found(context, id!);
        const store = async (changes: Changes) => {
          const change = answered(context, await opened.store.set(id!, changes, false, TIMEOUT));
          if (change === "missing") throw missing(context, id!);
          if (change === "conflict") throw failure(conflict(id!));
        };
        return await setPassword(id!, wanted, { find, store, rules, json: options.json === true });
      }
    }
  } finally {
    opened.close();
  }
}

async function list(context: Context): Promise<string> {
  const { store, rules, options: { json } } = context;
  const rows = answered(context, await store.list(TIMEOUT));
  if (json) return JSON.stringify(rows.map((row) => entryJson(row, rules)), null, 2);
  if (rows.length === 0) return `The ${context.isFile ? "file" : "table"} has no entries.`;
  const names = NAMES.filter((name) => rows.some((row) => textIn(row, name) !== ""));
  return new Table().text([
    ["id", ...names, "state"],
    ...rows.map((row) => [row.id, ...names.map((name) => textIn(row, name)), stateOf(row, rules)]),
  ]);
}

async function get(context: Context, id: string): Promise<string> {
  const { rules, options: { json } } = context;
  const row = await found(context, id);
  if (json) return JSON.stringify(entryJson(row, rules), null, 2);
  const names = NAMES.filter((name) => textIn(row, name) !== "");
  return new Table().text([
    ["id", row.id],
    ...names.map((name) => [name, textIn(row, name)]),
    ["state", stateOf(row, rules)],
  ]);
}

async function set(context: Context, id: string, changes: Changes): Promise<string> {
  const { store, rules, options: { json } } = context;
  // Creates an entry only where logins can use it.
  const idProblem = rules.forced ? undefined : newIdProblem(id, rules.delimiter, changes);
  const make = "tenant_id" in changes && "client_id" in changes && idProblem === undefined;
  const change = answered(context, await store.set(id, changes, make, TIMEOUT));
  if (change === "missing") {
    if (idProblem !== undefined) throw new CommandError(EXIT.usage, [idProblem]);
    throw failure(`there is no entry ${shown(id)}; a new one needs tenant_id and client_id`);
  }
  if (change === "conflict") throw failure(conflict(id));
  const row = await found(context, id);
  if (json) return JSON.stringify({ change, ...entryJson(row, rules) }, null, 2);
  return `Entry ${shown(id)} ${change}: ${stateOf(row, rules)}`;
}

async function remove(context: Context, id: string): Promise<string> {
  const { store, options: { json, yes } } = context;
  if (!yes) {
    const row = await found(context, id);
    const { from_email: from } = row.columns;
    const what = from === undefined ? "" : ` (from_email ${printableText(String(from))})`;
    if (!await agreed(`Delete entry ${shown(id)}${what}? [y/N] `)) throw failure("not deleted");
  }
  const change = answered<Change>(context, await store.delete(id, TIMEOUT));
  if (change === "missing") throw missing(context, id);
  if (change === "conflict") throw failure(conflict(id));
  return json ? JSON.stringify({ change, id }) : `Entry ${shown(id)} deleted`;
}

async function found(context: Context, id: string): Promise<Row> {
  const row = await context.store.find(id, TIMEOUT);
  if (row === undefined) throw missing(context, id);
  return answered(context, row);
}

function answered<T>({ place }: Context, answer: T | TableTrouble): T {
  if (typeof answer === "object" && answer !== null && isTrouble(answer)) {
    const { code, detail } = answer;
    throw failure(`${code}: ${detail} (${place})`);
  }
  return answer as T;
}

function note(line: string): void {
  process.stderr.write(`smtp-oauth-relay: ${line}\n`);
}

function missing({ rules: { delimiter } }: Context, id: string): CommandError {
  const meant = idWithin(id, delimiter);
  const hint = meant === undefined ? "" : `; did you mean ${shown(meant)}?`;
  return failure(`there is no entry ${shown(id)}${hint}`);
}

function conflict(id: string): string {
  return `entry ${shown(id)} was just changed by another program: read it again and retry`;
}

function failure(line: string): CommandError {
  return new CommandError(EXIT.failure, [line]);
}
