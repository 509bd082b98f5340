// What `lookup` prints of an entry. Never a hash: a weak password could be guessed from it.

import { type Row, textOf } from "../accounts/entry.ts";
import { type EntryRules, entryState } from "../accounts/entry_state.ts";
import { parsePasswordHash } from "../accounts/password_hash.ts";
import { NAMES } from "./lookup_arguments.ts";

/** A column as it is shown; "" for a missing one. */
export function textIn({ columns }: Row, name: string): string {
  const value = columns[name];
  const text = textOf(value);
  const kind = parsePasswordHash(text ?? "")?.type;
  const mayBeShown = kind === undefined && !name.startsWith("password_hash");
  if (text === "" || mayBeShown) return text ?? String(value);
  // What is no hash may be the password itself.
  switch (kind) {
    case "sha256":
      return "set (sha256)";
    case "scrypt":
      return "set (scrypt)";
    case undefined:
      return "set (not a hash)";
  }
}

/** `ok`, `disabled`, or what is wrong. */
export function stateOf(row: Row, rules: EntryRules): string {
  const state = entryState(row, rules);
  if (state.type === "mistake") return state.problem;
  return state.type === "ok" && state.hint !== undefined ? `ok; ${state.hint}` : state.type;
}

export function entryJson(row: Row, rules: EntryRules): Record<string, string | boolean> {
  const state = entryState(row, rules);
  const json: Record<string, string | boolean> = { id: row.id };
  for (const name of NAMES) {
    const text = textIn(row, name);
    if (text !== "" && name !== "disabled") json[name] = text;
  }
  json["disabled"] = state.type === "disabled";
  json["usable"] = state.type === "ok";
  if (state.type === "mistake") json["problem"] = state.problem;
  if (state.type === "ok" && state.hint !== undefined) json["hint"] = state.hint;
  return json;
}
