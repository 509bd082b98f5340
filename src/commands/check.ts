// `check`: prints what is right and wrong with everything that is configured, and what to do about it.

import process from "node:process";
import { check as findingsOf } from "../check/check.ts";
import { type Finding, worst } from "../check/finding.ts";
import type { CheckOptions } from "../check/options.ts";
import {
  failedAgain,
  jsonReport,
  summaryLine,
  terminalOf,
  terminalText,
  textLine,
} from "../check/report.ts";
import { CommandError, EXIT } from "../exit.ts";

/**
 * Prints the findings.
 *
 * @throws CommandError 1 if one is a FAIL, 2 if the options are not allowed together
 */
export async function check(
  options: CheckOptions & { readonly json: boolean },
): Promise<void> {
  const findings: Finding[] = [];
  const sent: string[] = [];
  const terminal = options.json ? undefined : terminalOf(process.stdout, process.env);
  for await (const found of findingsOf(options, sent)) {
    findings.push(found);
    if (options.json) continue;
    print(terminal === undefined ? textLine(found) : terminalText(found, terminal));
  }
  if (terminal !== undefined) { for (const line of failedAgain(findings, terminal)) print(line); }
  print(options.json ? jsonReport(findings, sent) : summaryLine(findings));
  if (worst(findings) === "fail") throw new CommandError(EXIT.failure, []);
}

function print(line: string): void {
  process.stdout.write(line + "\n");
}
