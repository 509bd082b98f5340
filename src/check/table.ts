// The lookup table: whether it can be read with the access that the relay has, and its rows.

import type { Row } from "../accounts/entry.ts";
import { type Explanation, isTrouble, type TableTrouble } from "../accounts/entry_source.ts";
import { type EntryRules, entryState } from "../accounts/entry_state.ts";
import type { Code } from "./codes.ts";
import { type Finding, finding } from "./finding.ts";
import { lookupCommand } from "./lookup_command.ts";

export interface TableToCheck {
  /** All rows. @param timeout milliseconds */
  list(timeout: number): Promise<readonly Row[] | TableTrouble>;
}

export interface TableOptions {
  readonly url: URL;
  /** AZURE_TABLES_FORCE_USAGE: nobody logs in without an entry. */
  readonly needed: boolean;
  /** Milliseconds. */
  readonly timeout: number;
  readonly rules: EntryRules;
}

/** Rows with a mistake that are told one by one. */
const MOST_TOLD = 10;

const OTHER_ID = "make an entry with another id; no login finds this one: ";

export async function checkTable(
  table: TableToCheck,
  { url, needed, timeout, rules }: TableOptions,
): Promise<readonly Finding[]> {
  const named = `${url.host}${url.pathname}`;
  const rows = await table.list(timeout);
  if (isTrouble(rows)) {
    const code = codeOf(rows);
    const { problem, advice }: Explanation = rows.explanation ?? { problem: rows.detail };
    const what = `${named}: ${rows.code}: ${problem}`;
    // What the code says is better than what all troubles of its kind have in common.
    return [finding(code, what, ADVISED.has(code) ? advice : undefined)];
  }
  if (rows.length === 0) {
    const what = `${named} has no entry in AZURE_TABLES_PARTITION_KEY`;
    if (!needed) return [finding("table.empty", what)];
    return [
      finding("table.empty-forced", `${what}, and AZURE_TABLES_FORCE_USAGE lets nobody in without`),
    ];
  }
  const states = rows.map((row) => ({ id: row.id, state: entryState(row, rules) }));
  const disabled = states.filter(({ state }) => state.type === "disabled").length;
  const mistakes = states.flatMap(({ id, state }) =>
    state.type === "mistake" ? [{ id, ...state }] : []
  );
  const count = `${named} has ${rows.length} ${rows.length === 1 ? "entry" : "entries"}`;
  const findings = [finding("table.ok", `${count}, ${disabled} of them disabled`)];
  for (const { id, problem, column } of mistakes.slice(0, MOST_TOLD)) {
    const what = `entry ${JSON.stringify(id)}: ${problem}`;
    const fix = column === undefined
      ? OTHER_ID + lookupCommand("delete", id)
      : `correct it with: ${lookupCommand("set", id, column)}`;
    findings.push(finding("table.row", what, fix));
  }
  const more = mistakes.length - MOST_TOLD;
  if (more > 0) findings.push(finding("table.row", `${more} more entries have a mistake`));
  return findings;
}

/** Where the trouble's own advice is better than the finding's. */
const ADVISED: ReadonlySet<Code> = new Set<Code>(["table.forbidden", "table.identity"]);

/** By the codes of accounts/table_error.ts. */
function codeOf({ code, gone }: TableTrouble): Code {
  if (gone) return "table.missing";
  if (
    /^AADSTS|^NO_IDENTITY$|^(?:CredentialUnavailable|.*Authentication(?:Required)?)Error$/.test(
      code,
    )
  ) {
    return "table.identity";
  }
  if (FORBIDDEN.test(code)) return "table.forbidden";
  return /^(?:E[A-Z]|PROXY_|CERT|UNABLE_|.*SELF_SIGNED|ERR_TLS|TIMEOUT$)/.test(code)
    ? "table.unreachable"
    : "table.refused";
}

const FORBIDDEN =
  /^(?:Auth\w+|InsufficientAccountPermissions|KeyBasedAuthenticationNotPermitted|InvalidAuthenticationInfo|NoAuthenticationInformation|HTTP 40[13])$/;
