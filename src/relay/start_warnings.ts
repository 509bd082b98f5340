// What the log says at each start, because it is easily overlooked in the settings.

import { shownUsername } from "../accounts/shown_username.ts";
import type { LookupFile } from "../accounts/lookup_file.ts";
import type { LookupTable } from "../accounts/lookup_table.ts";
import { CREDENTIAL_NAMES } from "../entra/app_credentials.ts";
import { CREDENTIAL_SETTINGS } from "../entra/entra_errors.ts";
import type { OwnCredentials } from "../entra/relay_credentials.ts";
import { CommandError, EXIT } from "../exit.ts";
import type { Log } from "../observe/log.ts";
import type { Settings } from "../settings/schema.ts";

/** Milliseconds for the lookup table to answer. */
const TABLE_TIMEOUT = 20_000;

/** Entries of the file whose devices get 454. Those of a table are not read at the start. */
export function warnOfUnsetCredentials(
  file: Pick<LookupFile, "rows"> | undefined,
  own: Pick<OwnCredentials, "list">,
  log: Pick<Log, "warning">,
): void {
  const known = new Set<unknown>(own.list().map(({ name }) => name));
  for (const name of CREDENTIAL_NAMES) {
    if (file === undefined || known.has(name)) continue;
    let [entries, first] = [0, ""];
    for (const { id, columns } of file.rows) {
      if (columns["credential"] !== name) continue;
      if (entries++ === 0) first = id;
    }
    if (entries === 0) continue;
    log.warning(
      `Logins of entries with the credential "${name}" are deferred: ` +
        `set ${CREDENTIAL_SETTINGS[name]}`,
      { entries, first },
    );
  }
}

/**
 * For AZURE_TABLES_FORCE_USAGE: every login needs an entry.
 *
 * @throws CommandError if the table does not answer: no login could succeed
 */
export async function probeEntries(
  file: LookupFile | undefined,
  table: LookupTable | undefined,
  log: Log,
): Promise<void> {
  const result = await table?.probe(TABLE_TIMEOUT);
  if (result !== undefined && "type" in result) {
    throw new CommandError(EXIT.unavailable, [
      `AZURE_TABLES_FORCE_USAGE needs the lookup table: ${result.code}: ${result.detail} ` +
      `(the table is ${table!.address})`,
    ]);
  }
  if (result?.empty === false || (file?.state.entries ?? 0) > 0) return;
  const places = file === undefined
    ? "The lookup table has no entry"
    : result === undefined
    ? "LOOKUP_FILE has no entry"
    : "LOOKUP_FILE and the lookup table have no entry";
  log.warning(`${places}, and AZURE_TABLES_FORCE_USAGE is set: all logins fail`);
}

/** Warns at each start that some clients may send without a login. */
export function warnOfTrusted(settings: Settings, log: Log): void {
  const { TRUSTED_NETWORKS: networks, TRUSTED_USERNAME: username = "" } = settings;
  if (networks === undefined) return;
  log.warning("Clients in TRUSTED_NETWORKS send without a login, as TRUSTED_USERNAME", {
    networks: String(networks),
    username: shownUsername(username, settings.USERNAME_DELIMITER),
  });
}
