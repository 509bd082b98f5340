// The findings as lines for people, and as JSON for scripts. docs/check.md describes both.

import type { Level } from "./codes.ts";
import { type Finding, worst } from "./finding.ts";

const MARKS: Readonly<Record<Level, string>> = { ok: "ok  ", warn: "warn", fail: "FAIL" };

/** One line: `FAIL certificate: what. Fix: what to do. [code]` */
export function textLine({ level, subject, code, what, fix }: Finding): string {
  const end = /[.?!]$/.test(what) ? "" : ".";
  const remedy = fix === undefined ? "" : `${end} Fix: ${fix}`;
  return `${MARKS[level]} ${subject}: ${what}${remedy} [${code}]`;
}

/** The last line. */
export function summaryLine(findings: readonly Finding[]): string {
  const count = (level: Level) => findings.filter((finding) => finding.level === level).length;
  return `${count("ok")} ok, ${count("warn")} warn, ${count("fail")} FAIL`;
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
