// Checks LOOKUP_FILE: whether it can be read, who else can, and each of its entries.

import { LookupFile, LookupFileError, type LookupFileReport } from "../accounts/lookup_file.ts";
import { fileErrorText } from "../settings/file_error.ts";
import { quoted } from "../settings/quoted.ts";
import type { EntryRules } from "../accounts/entry_state.ts";
import { judgeRows, stateRows } from "./entry_findings.ts";
import { type Finding, finding } from "./finding.ts";

export interface LookupFileToCheck {
  /** Undefined if it cannot be used. To be closed. */
  readonly file: LookupFile | undefined;
  readonly findings: readonly Finding[];
}

export interface LookupFileOptions {
  readonly path: string;
  readonly rules: EntryRules;
  /** AZURE_TABLES_FORCE_USAGE without a table: every login needs an entry of the file. */
  readonly alone: boolean;
}

export async function checkLookupFile(
  { path, rules, alone }: LookupFileOptions,
): Promise<LookupFileToCheck> {
  const named = `LOOKUP_FILE ${quoted(path)}`;
  let unreadable = false;
  const reports: LookupFileReport[] = [];
  try {
    const file = await LookupFile.open({
      path,
      report: (report) => reports.push(report),
      explain(error) {
        unreadable = true;
        return fileErrorText(error);
      },
    });
    const findings = [
      ...reports.flatMap((report) => report.type === "exposed" ? [exposed(named, report)] : []),
      ...judgeEntries(named, file, { rules, alone }),
    ];
    return { file, findings };
  } catch (error) {
    if (!(error instanceof LookupFileError)) throw error;
    const code = unreadable ? "lookup.unreadable" : "lookup.malformed";
    return { file: undefined, findings: [finding(code, `${named}: ${error.message}`)] };
  }
}

function judgeEntries(
  named: string,
  file: LookupFile,
  { rules, alone }: Omit<LookupFileOptions, "path">,
): readonly Finding[] {
  const rows = [...file.rows];
  if (rows.length === 0) {
    return rules.forced && alone
      ? [
        finding(
          "lookup.empty-forced",
          `${named} has no entry, and AZURE_TABLES_FORCE_USAGE refuses every login without one`,
        ),
      ]
      : [finding("lookup.empty", `${named} has no entry`)];
  }
  const states = stateRows(rows, rules);
  return [
    finding("lookup.ok", `${named} has ${states.text}`),
    ...judgeRows("lookup.row", states),
  ];
}

function exposed(
  named: string,
  { to, mode }: Extract<LookupFileReport, { type: "exposed" }>,
): Finding {
  const who = to === "write" ? "every user may change" : "every user may read the hashes in";
  return finding("lookup.exposed", `${who} ${named} (mode ${mode.toString(8).padStart(4, "0")})`);
}
