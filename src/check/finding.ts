// What a check has found: a value, with a stable code for scripts and words for people.

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
