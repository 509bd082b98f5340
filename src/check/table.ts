// The lookup table: whether it can be read with the access that the relay has, and its rows.

import { readEntry, type Row } from "../accounts/entry.ts";
import { isTrouble, type TableTrouble } from "../accounts/entry_source.ts";
import type { Code } from "./codes.ts";
import { type Finding, finding } from "./finding.ts";

export interface TableToCheck {
  /** All rows. @param timeout milliseconds */
  list(timeout: number): Promise<readonly Row[] | TableTrouble>;
}

/** Rows with a mistake that are told one by one. */
const MOST_TOLD = 10;

export async function checkTable(
  table: TableToCheck,
  url: URL,
  timeout: number,
): Promise<readonly Finding[]> {
  const named = `${url.host}${url.pathname}`;
  const rows = await table.list(timeout);
  if (isTrouble(rows)) {
    return [finding(codeOf(rows), `${named}: ${rows.code}: ${rows.detail}`)];
  }
  if (rows.length === 0) {
    return [finding("table.empty", `${named} has no entry in AZURE_TABLES_PARTITION_KEY`)];
  }
  const readings = rows.map(readEntry);
  const disabled = readings.filter(({ type }) => type === "disabled").length;
  const mistakes = readings.flatMap((reading) => reading.type === "malformed" ? [reading] : []);
  const count = `${named} has ${rows.length} ${rows.length === 1 ? "entry" : "entries"}`;
  const findings = [finding("table.ok", `${count}, ${disabled} of them disabled`)];
  for (const { id, mistake: { column, allowed } } of mistakes.slice(0, MOST_TOLD)) {
    const what = `entry ${JSON.stringify(id)}: ${column} must be ${allowed}`;
    findings.push(finding("table.row", what));
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
