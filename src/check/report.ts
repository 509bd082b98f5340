// The findings as lines for people, and as JSON for scripts. docs/check.md describes both.

import type { Level } from "./codes.ts";
import { type Finding, worst } from "./finding.ts";

const MARKS: Readonly<Record<Level, string>> = {
  ok: "ok  ",
  skip: "skip",
  warn: "warn",
  fail: "FAIL",
};

/** One line: `FAIL certificate: what. Fix: what to do. [code]` */
export function textLine({ level, subject, code, what, fix }: Finding): string {
  const end = /[.?!]$/.test(what) ? "" : ".";
  const remedy = fix === undefined ? "" : `${end} Fix: ${fix}`;
  return `${MARKS[level]} ${subject}: ${what}${remedy} [${code}]`;
}

/** Properties of the terminal. */
export interface Terminal {
  /** Columns. */
  readonly width: number;
  readonly colours: boolean;
}

/** @returns undefined if the output is read by a program, or goes into a file */
export function terminalOf(
  { isTTY, columns }: { readonly isTTY?: boolean; readonly columns?: number },
  { NO_COLOR = "", TERM }: Readonly<Record<string, string | undefined>>,
): Terminal | undefined {
  if (!isTTY) return undefined;
  // https://no-color.org
  const colours = NO_COLOR === "" && TERM !== "dumb";
  return { width: Math.max(columns || 80, NARROWEST), colours };
}

const NARROWEST = 40;
/** Columns of the mark, with a space after it. */
const INDENT = 5;
/** ECMA-48 §8.3.117: green, faint, yellow, bold red. */
const COLOURS: Readonly<Record<Level, string>> = { ok: "32", skip: "2", warn: "33", fail: "1;31" };

/** The same for a terminal: folded to its width, the fix on a line of its own. */
export function terminalText(
  { level, subject, code, what, fix }: Finding,
  { width, colours }: Terminal,
): string {
  const lines = [`${subject}: ${what}`, ...(fix === undefined ? [] : [`Fix: ${fix}`])];
  lines[lines.length - 1] += ` [${code}]`;
  const folded = lines.flatMap((line) => fold(line, width - INDENT));
  const mark = colours ? `\x1b[${COLOURS[level]}m${MARKS[level]}\x1b[0m` : MARKS[level];
  return folded.map((line, i) => (i === 0 ? `${mark} ` : " ".repeat(INDENT)) + line).join("\n");
}

/** Repeats the failures at the end, where they are read; undefined if there are none. */
export function failedAgain(findings: readonly Finding[], terminal: Terminal): string[] {
  const failed = findings.filter(({ level }) => level === "fail");
  if (failed.length === 0) return [];
  return ["", "What failed:", ...failed.map((one) => terminalText(one, terminal)), ""];
}

/** Only at spaces: a longer word stays whole, so that it can be copied. */
function fold(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    const longer = line === "" ? word : `${line} ${word}`;
    if (line !== "" && [...longer].length > width) {
      lines.push(line);
      line = word;
    } else line = longer;
  }
  return [...lines, line];
}

/** The last line. */
export function summaryLine(findings: readonly Finding[]): string {
  const count = (level: Level) => findings.filter((finding) => finding.level === level).length;
  return `${count("ok")} ok, ${count("skip")} skip, ${count("warn")} warn, ${count("fail")} FAIL`;
}

/** @param sent ids of the messages that were sent, or may have been */
export function jsonReport(findings: readonly Finding[], sent: readonly string[]): string {
  const report = {
    format: 1,
    result: worst(findings),
    findings: findings.map(({ level, subject, code, what, fix }) => ({
      level,
      subject,
      code,
      what,
      fix: fix ?? null,
    })),
    sent,
  };
  return JSON.stringify(report, null, 2);
}
