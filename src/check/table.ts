// The lookup table: whether it can be read with the access that the relay has, and its rows.

import type { Row } from "../accounts/entry.ts";
import { isTrouble, type TableTrouble } from "../accounts/entry_source.ts";
import { type EntryRules, entryState } from "../accounts/entry_state.ts";
import type { Code } from "./codes.ts";
import { type Finding, finding } from "./finding.ts";

export interface TableToCheck {
  /** All rows. @param timeout milliseconds */
  list(timeout: number): Promise<readonly Row[] | TableTrouble>;
}

export interface TableOptions {
  readonly url: URL;
  /** Milliseconds. */
  readonly timeout: number;
  readonly rules: EntryRules;
}

/** Rows with a mistake that are told one by one. */
const MOST_TOLD = 10;

const OTHER_ID =
  "make an entry with another id, and delete this one: smtp-oauth-relay lookup delete ID";

export async function checkTable(
  table: TableToCheck,
  { url, timeout, rules }: TableOptions,
): Promise<readonly Finding[]> {
  const named = `${url.host}${url.pathname}`;
  const rows = await table.list(timeout);
  if (isTrouble(rows)) {
    return [finding(codeOf(rows), `${named}: ${rows.code}: ${rows.detail}`)];
  }
  if (rows.length === 0) {
    return [finding("table.empty", `${named} has no entry in AZURE_TABLES_PARTITION_KEY`)];
  }
  const states = rows.map((row) => ({ id: row.id, state: entryState(row, rules) }));
  const disabled = states.filter(({ state }) => state.type === "disabled").length;
  const mistakes = states.flatMap(({ id, state }) =>
    state.type === "mistake" ? [{ id, ...state }] : []
  );
  const count = `${named} has ${rows.length} ${rows.length === 1 ? "entry" : "entries"}`;
  const findings = [finding("table.ok", `${count}, ${disabled} of them disabled`)];
  for (const { id, problem, inId } of mistakes.slice(0, MOST_TOLD)) {
    const what = `entry ${JSON.stringify(id)}: ${problem}`;
    findings.push(inId ? finding("table.row", what, OTHER_ID) : finding("table.row", what));
  }
  const more = mistakes.length - MOST_TOLD;
  if (more > 0) findings.push(finding("table.row", `${more} more entries have a mistake`));
  return findings;
}

/** By the codes of accounts/table_trouble.ts. */
function codeOf({ code, gone }: TableTrouble): Code {
  if (gone) return "table.missing";
  if (/^AADSTS|^(?:CredentialUnavailable|.*Authentication(?:Required)?)Error$/.test(code)) {
    return "table.identity";
  }
  if (FORBIDDEN.test(code)) return "table.forbidden";
  return /^(?:E[A-Z]|PROXY_|CERT|UNABLE_|.*SELF_SIGNED|ERR_TLS|TIMEOUT$)/.test(code)
    ? "table.unreachable"
    : "table.refused";
}

const FORBIDDEN =
  /^(?:Auth\w+|InsufficientAccountPermissions|KeyBasedAuthenticationNotPermitted|InvalidAuthenticationInfo|NoAuthenticationInformation|HTTP 40[13])$/;
