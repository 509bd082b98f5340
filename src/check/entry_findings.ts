// Judges the entries of the lookup, of the file and of the table alike.

import type { Row } from "../accounts/entry.ts";
import { type EntryRules, entryState } from "../accounts/entry_state.ts";
import { serverOf } from "../relay/smtp_services.ts";
import type { Settings } from "../settings/schema.ts";
import { type Finding, finding, lookupCommand } from "./finding.ts";

/** Rows with a mistake that get a finding of their own. */
const MAX_ROW_FINDINGS = 10;

const OTHER_ID = "make an entry with another id, because no login can name this one: ";

export interface RowStates {
  /** Such as `3 entries, 1 of them disabled`. */
  readonly text: string;
  readonly mistakes: readonly {
    readonly id: string;
    readonly problem: string;
    readonly column?: string;
  }[];
}

/** @param waysJudged whether the settings of the ways out can be judged */
export function entryRulesOf(settings: Settings, waysJudged: boolean): EntryRules {
  const { USERNAME_DELIMITER: delimiter, ALLOWED_SENDERS: allowedSenders } = settings;
  const rules = { delimiter, allowedSenders, forced: settings.AZURE_TABLES_FORCE_USAGE };
  if (!waysJudged) return rules;
  return {
    ...rules,
    wayProblem(name) {
      const server = name === "graph" ? undefined : serverOf(settings, name);
      return typeof server === "string" ? server : undefined;
    },
  };
}

export function stateRows(rows: readonly Row[], rules: EntryRules): RowStates {
  const states = rows.map((row) => ({ id: row.id, state: entryState(row, rules) }));
  const disabled = states.filter(({ state }) => state.type === "disabled").length;
  const count = `${rows.length} ${rows.length === 1 ? "entry" : "entries"}`;
  return {
    text: `${count}, ${disabled} of them disabled`,
    mistakes: states.flatMap(({ id, state }) => state.type === "mistake" ? [{ id, ...state }] : []),
  };
}

/**
 * @param isTableBesideFile whether they are the table's, and LOOKUP_FILE is set: then `lookup` changes the
 *   file, so that its commands need it empty
 */
export function judgeRows(
  code: "table.row" | "lookup.row",
  { mistakes }: RowStates,
  isTableBesideFile = false,
): readonly Finding[] {
  const command: typeof lookupCommand = (...args) =>
    isTableBesideFile ? `LOOKUP_FILE= ${lookupCommand(...args)}` : lookupCommand(...args);
  const findings = mistakes.slice(0, MAX_ROW_FINDINGS).map(({ id, problem, column }) => {
    const what = `entry ${JSON.stringify(id)}: ${problem}`;
    const fix = column === undefined
      ? OTHER_ID + command("delete", id)
      : HASHES.has(column)
      ? `make a password for it: ${command("set-password", id)}`
      : `correct it with: ${command("set", id, column)}${
        isUnset({ problem, column }) ? ", or set up that way out: see docs/ways_out.md" : ""
      }`;
    return finding(code, what, fix);
  });
  const more = mistakes.length - MAX_ROW_FINDINGS;
  return more > 0 ? [...findings, finding(code, `${more} more entries have a mistake`)] : findings;
}

/** Whether the column is good, and the settings lack what it names. */
function isUnset({ problem, column }: { readonly problem: string; readonly column: string }) {
  return column === "backend" && !problem.startsWith("backend must be ");
}

/** Columns that are not written by hand. */
const HASHES: ReadonlySet<string> = new Set(["password_hash", "password_hash_next"]);
