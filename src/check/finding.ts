// What a check has found: a value, with a stable code for scripts and words for people.

import type { CommandError } from "../exit.ts";
import { withoutSecrets } from "../secret.ts";
import { type Code, CODES, type Level } from "./codes.ts";

export interface Finding {
  readonly level: Level;
  /** What was looked at, such as `certificate`: the code's first part, mostly. */
  readonly subject: string;
  /** Which of the things that can be found (docs/check.md). */
  readonly code: Code;
  /** In an administrator's words, one line. */
  readonly what: string;
  /** What to do about it; left out where nothing is to be done. */
  readonly fix?: string;
}

/**
 * @param what with the names and values of this case
 * @param fix in place of the code's own
 */
export function finding(code: Code, what: string, fix: string = CODES[code].fix): Finding {
  return {
    level: CODES[code].level,
    subject: code.slice(0, code.indexOf(".")),
    code,
    what: oneLine(what),
    ...(fix === "" ? {} : { fix: oneLine(fix) }),
  };
}

/** What services and files say may hold anything: a finding is one line, and not a long one. */
function oneLine(text: string): string {
  // deno-lint-ignore no-control-regex -- they could move the terminal's cursor
  return withoutSecrets(text).replace(/[\x00-\x1f\x7f-\x9f]+/g, " ").trim().slice(0, MAX_LINE);
}

const MAX_LINE = 600;

/** The worst of all; `ok` of none, and of what was not tried. */
export function worst(findings: readonly Finding[]): Exclude<Level, "skip"> {
  const levels = findings.map(({ level }) => level);
  return levels.includes("fail") ? "fail" : levels.includes("warn") ? "warn" : "ok";
}

/** The relay's own identity cannot be made, so no request can be sent with it. */
export function identityFinding(
  code: "table.identity" | "vault.identity",
  { lines }: Pick<CommandError, "lines">,
): Finding {
  return finding(
    code,
    lines.join("; "),
    "correct AZURE_TOKEN_CREDENTIALS, such as EnvironmentCredential or ManagedIdentityCredential, " +
      "or unset it",
  );
}

/**
 * The command that corrects or deletes an entry of the lookup table, to be pasted into a shell.
 *
 * @param columns `name`, whose value only the administrator knows, or `name=value`
 */
export function lookupCommand(
  action: "set" | "delete",
  id: string,
  ...columns: readonly string[]
): string {
  const words = columns.map((column) => column.includes("=") ? column : `${column}=VALUE`);
  // After "--", an id that begins with a hyphen is not taken for an option.
  const end = id.startsWith("-") ? ["--"] : [];
  return [`smtp-oauth-relay lookup ${action}`, ...end, ...[id, ...words].map(quoted)].join(" ");
}

/** One word for a POSIX shell. */
function quoted(word: string): string {
  return /^[\w@.:=/+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
