// Judges by its row and the settings whether an entry of the lookup table can be used, for
// administrators who edit the table.

import type { BackendName } from "../backend_name.ts";
import { SenderList } from "./sender_list.ts";
import { type ColumnName, type Entry, readEntry, type Row, withoutEffect } from "./entry.ts";
import { type Delimiter, parseUsername } from "./username.ts";

/** The settings that decide about it. */
export interface EntryRules {
  /** USERNAME_DELIMITER. */
  readonly delimiter: Delimiter;
  /** ALLOWED_SENDERS. */
  readonly allowedSenders: SenderList | undefined;
  /** AZURE_TABLES_FORCE_USAGE: logins by tenant and client find their entry, whatever its id. */
  readonly forced: boolean;
  /**
   * Why a way out that an entry names cannot be used with the settings; undefined if it can. Left out where the
   * ways out are not judged.
   */
  readonly wayProblem?: (name: BackendName) => string | undefined;
}

export type EntryState =
  /** @property hint one line: something in it has no effect */
  | { readonly type: "ok"; readonly hint?: string }
  | { readonly type: "disabled" }
  /**
   * Its logins, or all their messages, are refused.
   *
   * @property column to correct; left out if the id is wrong
   */
  | { readonly type: "mistake"; readonly problem: string; readonly column?: ColumnName };

/** The problem is described without the columns' values: see {@link readEntry}. */
export function entryState(row: Row, rules: EntryRules): EntryState {
  const { allowedSenders, wayProblem } = rules;
  const reading = readEntry(row);
  if (reading.type === "disabled") return { type: "disabled" };
  if (reading.type === "malformed") {
    const { column, allowed } = reading.mistake;
    return { type: "mistake", problem: `${column} must be ${allowed}`, column };
  }
  const { entry } = reading;
  const { idProblem, nameHints } = nameState(entry, rules);
  const senderProblems = [
    ...(sends(entry, parsed(entry.allowedSenders)) ? [] : ["from_email is not in allowed_senders"]),
    ...(sends(entry, allowedSenders) ? [] : ["from_email is not in ALLOWED_SENDERS"]),
  ];
  const wayProblems = (entry.backends ?? []).flatMap((name) => wayProblem?.(name) ?? []);
  const idProblems = idProblem === undefined ? [] : [`the id ${idProblem}`];
  const problem = [...idProblems, ...senderProblems, ...wayProblems].join("; ");
  if (problem !== "") {
    return {
      type: "mistake",
      problem,
      ...(senderProblems.length > 0
        ? { column: "from_email" }
        : wayProblems.length > 0
        ? { column: "backend" }
        : {}),
    };
  }
  const hints = [
    ...nameHints,
    ...(entry.fromName === undefined || entry.fromEmail !== undefined
      ? []
      : ["from_name has no effect without from_email"]),
    ...withoutEffect(row).map(([name, meant]) =>
      `the column ${JSON.stringify(name)} has no effect (did you mean ${meant}?)`
    ),
  ];
  return hints.length === 0 ? { type: "ok" } : { type: "ok", hint: hints.join("; ") };
}

/** Which usernames name the entry: those with the form id@lookup, or the id alone of a device. */
function nameState(
  { id, device }: Entry,
  { delimiter, forced }: EntryRules,
): { readonly idProblem: string | undefined; readonly nameHints: readonly string[] } {
  const problem = loginIdProblem(id, delimiter);
  if (device !== undefined) {
    const bareProblem = bareIdProblem(id, delimiter);
    if (problem !== undefined && bareProblem !== undefined) {
      return { idProblem: problem, nameHints: [] };
    }
    const hint = `its username is id${delimiter}lookup alone: the id ${bareProblem}`;
    return { idProblem: undefined, nameHints: bareProblem === undefined ? [] : [hint] };
  }
  if (!forced) return { idProblem: problem, nameHints: [] };
  const hint = `for logins by tenant and client alone: the id ${problem}`;
  return { idProblem: undefined, nameHints: problem === undefined ? [] : [hint] };
}

/** Why the id alone is no username, as the end of "the id …". */
export function bareIdProblem(id: string, delimiter: Delimiter): string | undefined {
  const username = parseUsername(id, delimiter);
  if (username.type !== "invalid") return "is a username of another form";
  return username.bareId === undefined
    ? "is too long for a username, or looks like a secret"
    : undefined;
}

/**
 * Why no username of the form id@lookup can name this id, as the end of "the id …".
 *
 * @param id what a table's key may be
 */
export function loginIdProblem(id: string, delimiter: Delimiter): string | undefined {
  if (id.includes(delimiter)) return `may not contain "${delimiter}", the USERNAME_DELIMITER`;
  const username = parseUsername(`${id}${delimiter}lookup`, delimiter);
  return username.type === "invalid" ? "is too long for a username" : undefined;
}

function parsed(allowedSenders: string | undefined): SenderList | undefined {
  return allowedSenders === undefined ? undefined : SenderList.parse(allowedSenders);
}

/** Whether the list allows `from_email`, which is the sender of each message then. */
function sends({ fromEmail }: Entry, list: SenderList | undefined): boolean {
  return fromEmail === undefined || list === undefined || list.allows(fromEmail);
}
