// The lookup table: whether the relay's access can read it, and whether its rows are usable.

import type { Row } from "../accounts/entry.ts";
import {
  type EntrySource,
  type Explanation,
  isTrouble,
  type TableTrouble,
} from "../accounts/entry_source.ts";
import type { EntryRules } from "../accounts/entry_state.ts";
import { CommandError } from "../exit.ts";
import type { HttpClient } from "../http/client.ts";
import { openTable } from "../relay/open_lookup_table.ts";
import type { Settings } from "../settings/schema.ts";
import type { Code } from "./codes.ts";
import { judgeRows, stateRows } from "./entry_findings.ts";
import { type Finding, finding, identityFinding } from "./finding.ts";
import type { Check } from "./run.ts";

export interface TableToCheck {
  /** All rows. @param timeout milliseconds */
  list(timeout: number): Promise<readonly Row[] | TableTrouble>;
}

export interface TableOptions {
  readonly url: URL;
  /** AZURE_TABLES_FORCE_USAGE: every login needs an entry. */
  readonly needed: boolean;
  /** Whether LOOKUP_FILE is set, too. */
  readonly isBesideFile: boolean;
  /** Milliseconds. */
  readonly timeout: number;
  readonly rules: EntryRules;
}

/** Milliseconds for all entries of the table. */
const TABLE_TIMEOUT = 20_000;
export interface OpenTable {
  readonly entries: EntrySource;
  /** All rows; none if they cannot be read. */
  readonly rows: () => Promise<readonly Row[]>;
  readonly run: Check["run"];
}

/**
 * Opens the table as the relay does. It sends no request before its first use.
 *
 * @returns undefined if no table is set
 */
export async function openTableToCheck(
  settings: Settings,
  http: HttpClient,
  rules: EntryRules,
): Promise<OpenTable | undefined> {
  const { AZURE_TABLES_URL: url, AZURE_TABLES_FORCE_USAGE: needed } = settings;
  if (url === undefined) return undefined;
  try {
    const table = await openTable(settings, http);
    if (table === undefined) return undefined;
    const isBesideFile = settings.LOOKUP_FILE !== undefined;
    const options = {
      url,
      // With LOOKUP_FILE, its entries do as well.
      needed: needed && !isBesideFile,
      isBesideFile,
      timeout: TABLE_TIMEOUT,
      rules,
    };
    let listed: ReturnType<TableToCheck["list"]> | undefined;
    const list = (timeout: number) => listed ??= table.list(timeout);
    return {
      entries: table,
      async rows() {
        const rows = await list(TABLE_TIMEOUT);
        return isTrouble(rows) ? [] : rows;
      },
      run: () => checkTable({ list }, options),
    };
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
      rows: () => Promise.resolve([]),
      run: () => Promise.resolve([found]),
    };
  }
}

export async function checkTable(
  table: TableToCheck,
  { url, needed, isBesideFile, timeout, rules }: TableOptions,
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
  const states = stateRows(rows, rules);
  return [
    finding("table.ok", `${named} has ${states.text}`),
    ...judgeRows("table.row", states, isBesideFile),
  ];
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
