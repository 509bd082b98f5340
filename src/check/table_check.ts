// The lookup table: whether the relay's access can read it, and whether its rows are usable.

import type { Row } from "../accounts/entry.ts";
import {
  type EntrySource,
  type Explanation,
  isTrouble,
  type TableTrouble,
} from "../accounts/entry_source.ts";
import { type EntryRules, entryState } from "../accounts/entry_state.ts";
import { CommandError } from "../exit.ts";
import type { HttpClient } from "../http/client.ts";
import { openTable } from "../relay/open_lookup_table.ts";
import type { Settings } from "../settings/schema.ts";
import type { Code } from "./codes.ts";
import { type Finding, finding, identityFinding, lookupCommand } from "./finding.ts";
import type { Check } from "./run.ts";

export interface TableToCheck {
  /** All rows. @param timeout milliseconds */
  list(timeout: number): Promise<readonly Row[] | TableTrouble>;
}

export interface TableOptions {
  readonly url: URL;
  /** AZURE_TABLES_FORCE_USAGE: every login needs an entry. */
  readonly needed: boolean;
  /** Milliseconds. */
  readonly timeout: number;
  readonly rules: EntryRules;
}

/** Milliseconds for all entries of the table. */
const TABLE_TIMEOUT = 20_000;
/** Rows with a mistake that get a finding of their own. */
const MAX_ROW_FINDINGS = 10;

const OTHER_ID = "make an entry with another id, because no login can name this one: ";

/**
 * Opens the table as the relay does. It sends no request before its first use.
 *
 * @returns undefined if no table is set
 */
export async function openTableToCheck(
  settings: Settings,
  http: HttpClient,
): Promise<{ readonly entries: EntrySource; readonly run: Check["run"] } | undefined> {
  const { AZURE_TABLES_URL: url, AZURE_TABLES_FORCE_USAGE: needed } = settings;
  const { USERNAME_DELIMITER: delimiter, ALLOWED_SENDERS: allowedSenders } = settings;
  if (url === undefined) return undefined;
  try {
    const table = await openTable(settings, http);
    if (table === undefined) return undefined;
    const rules = { delimiter, allowedSenders, forced: needed };
    const options = { url, needed, timeout: TABLE_TIMEOUT, rules };
    return { entries: table, run: () => checkTable(table, options) };
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    const detail = error.lines.join("; ");
    const found = identityFinding("table.identity", error);
    const trouble = {
      type: "trouble",
      code: "IDENTITY",
      detail,
      gone: false,
      concerns: "table",
    } as const;
    const none = () => Promise.resolve(trouble);
    return {
      entries: { find: none, findByClient: none },
      run: () => Promise.resolve([found]),
    };
  }
}

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
    // Advice for this error code is better than advice for its whole kind.
    return [finding(code, what, ADVISED.has(code) ? advice : undefined)];
  }
  if (rows.length === 0) {
    const what = `${named} has no entry in AZURE_TABLES_PARTITION_KEY`;
    if (!needed) return [finding("table.empty", what)];
    return [
      finding(
        "table.empty-forced",
        `${what}, and AZURE_TABLES_FORCE_USAGE refuses every login without one`,
      ),
    ];
  }
  const states = rows.map((row) => ({ id: row.id, state: entryState(row, rules) }));
  const disabled = states.filter(({ state }) => state.type === "disabled").length;
  const mistakes = states.flatMap(({ id, state }) =>
    state.type === "mistake" ? [{ id, ...state }] : []
  );
  const count = `${named} has ${rows.length} ${rows.length === 1 ? "entry" : "entries"}`;
  const findings = [finding("table.ok", `${count}, ${disabled} of them disabled`)];
  for (const { id, problem, column } of mistakes.slice(0, MAX_ROW_FINDINGS)) {
    const what = `entry ${JSON.stringify(id)}: ${problem}`;
    const fix = column === undefined
      ? OTHER_ID + lookupCommand("delete", id)
      : `correct it with: ${lookupCommand("set", id, column)}`;
    findings.push(finding("table.row", what, fix));
  }
  const more = mistakes.length - MAX_ROW_FINDINGS;
  if (more > 0) findings.push(finding("table.row", `${more} more entries have a mistake`));
  return findings;
}

/** Where the error's own advice is better than the finding's. */
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
