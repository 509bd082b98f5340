// A finding of a check: a value, with a stable code for scripts and a text for people.

import type { CommandError } from "../exit.ts";
import { withoutSecrets } from "../secret.ts";
import { type Code, CODES, type Level } from "./codes.ts";

export interface Finding {
  readonly level: Level;
  /** What was checked, such as `certificate`: mostly the code's first part. */
  readonly subject: string;
  /** One of those in docs/check.md. */
  readonly code: Code;
  /** One line for the administrator. */
  readonly what: string;
  /** What to do about it; left out if there is nothing to do. */
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

/** Texts of services and files may contain anything: a finding is one line of limited length. */
function oneLine(text: string): string {
  // They could move the terminal's cursor, or turn the text about.
  return withoutSecrets(text).replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, " ").trim().slice(
    0,
    MAX_LINE,
  );
}

const MAX_LINE = 600;

/** The worst level; `ok` for no findings, and for skipped ones. */
export function worst(findings: readonly Finding[]): Exclude<Level, "skip"> {
  const levels = findings.map(({ level }) => level);
  return levels.includes("fail") ? "fail" : levels.includes("warn") ? "warn" : "ok";
}

/** The relay's own identity cannot be made, so no request can be sent with it. */
export function identityFinding(
  code: "table.identity" | "vault.identity" | "queue.identity",
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
  action: "set" | "delete" | "set-password",
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
