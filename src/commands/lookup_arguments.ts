// The command line of `lookup`: the action, the entry, and the columns of `set`.

import { type ColumnName, COLUMNS } from "../accounts/entry.ts";
import { bareIdProblem, loginIdProblem } from "../accounts/entry_state.ts";
import { tableKeyProblem } from "../accounts/entry.ts";
import { type Delimiter, parseUsername } from "../accounts/username.ts";
import { nearest } from "../nearest.ts";
import { CommandError, EXIT } from "../exit.ts";
import { shown } from "./printed.ts";

const ACTIONS = ["list", "get", "set", "delete", "set-password"] as const;
export type Action = (typeof ACTIONS)[number];

/** In the order of the output; `description` is for people alone. */
export const NAMES = [...Object.keys(COLUMNS), "description"] as (ColumnName | "description")[];

/** Columns and their new values; undefined removes the column. */
export type Changes = Readonly<Record<string, string | boolean | undefined>>;

/** @throws CommandError 2 if the action is unknown, or has too many or too few arguments */
export function actionOf(
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
    throw usage(`lookup ${action} takes one ID and nothing else`);
  }
  return action;
}

/**
 * The changes of `set`, all checked before any is made.
 *
 * @throws CommandError 2 with every problem
 */
export function changesFor(
  id: string,
  assignments: readonly string[],
): Changes {
  const problems: string[] = [];
  const idProblem = tableKeyProblem(id);
  if (idProblem !== undefined) problems.push(withId(id, idProblem));
  const changes: Record<string, string | boolean | undefined> = {};
  for (const assignment of assignments) {
    const change = readAssignment(assignment);
    if (typeof change === "string") problems.push(change);
    else if (change.name in changes) problems.push(`${change.name} is given twice`);
    else {
      changes[change.name] = change.value;
      if (change.problem !== undefined) problems.push(change.problem);
    }
  }
  if (problems.length > 0) throw new CommandError(EXIT.usage, problems);
  return changes;
}

/** @throws CommandError 2 if no table can have such an entry */
export function checkId(id: string): void {
  const problem = tableKeyProblem(id);
  if (problem !== undefined) throw usage(withId(id, problem));
}

/** The id in a whole username, which was probably meant. */
export function idWithin(text: string, delimiter: Delimiter): string | undefined {
  const username = parseUsername(text, delimiter);
  return username.type === "lookup" ? username.id : undefined;
}

/** The columns of a device, whose id alone may be its username. */
const OF_DEVICE = ["credential", "password_hash", "password_hash_next"];

/**
 * Why an entry with this id is not created: no login can name it. An existing one can be changed.
 *
 * @param changes the columns that it would have
 */
export function newIdProblem(
  id: string,
  delimiter: Delimiter,
  changes: Changes = {},
): string | undefined {
  const problem = loginIdProblem(id, delimiter);
  if (problem === undefined) return undefined;
  const isDevice = OF_DEVICE.some((name) => changes[name] !== undefined);
  if (isDevice && bareIdProblem(id, delimiter) === undefined) return undefined;
  const meant = idWithin(id, delimiter);
  const hint = meant === undefined ? "" : `: give the id alone, ${shown(meant)}`;
  return `${withId(id, problem)}${hint}`;
}

function withId(id: string, problem: string): string {
  return id === "" ? `ID ${problem}` : `ID ${shown(id)} ${problem}`;
}

interface Assignment {
  readonly name: string;
  readonly value?: string | boolean | undefined;
  readonly problem?: string;
}

/** @returns the problem where it is not an assignment */
function readAssignment(assignment: string): Assignment | string {
  const equals = assignment.indexOf("=");
  if (equals < 0) return `${shown(assignment)} must be COLUMN=VALUE`;
  const name = assignment.slice(0, equals);
  const known = NAMES.find((column) => column === name);
  if (known === undefined) {
    const near = nearest(name, NAMES);
    const hint = near === undefined ? `there are ${NAMES.join(", ")}` : `did you mean ${near}?`;
    return `unknown column ${shown(name)}: ${hint}`;
  }
  return { name: known, ...readValue(known, assignment.slice(equals + 1).trim()) };
}

/** The value to store: ids in the form in which the Python relay compares them, too. */
function readValue(name: ColumnName | "description", text: string): Omit<Assignment, "name"> {
  if (text === "") {
    const needed = name === "tenant_id" || name === "client_id";
    return needed ? { problem: `${name} cannot be removed` } : {};
  }
  if (name === "description") return { value: text };
  const { parse, allowed } = COLUMNS[name];
  const value = parse(text);
  if (value === undefined) return { problem: `${name} must be ${allowed}` };
  return { value: typeof value === "object" ? text : value };
}

function usage(line: string): CommandError {
  return new CommandError(EXIT.usage, [line]);
}
