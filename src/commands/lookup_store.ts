// Where `lookup` reads and writes entries: LOOKUP_FILE, or else the lookup table.

import type { Row } from "../accounts/entry.ts";
import type { TableTrouble } from "../accounts/entry_source.ts";
import type { Change, LookupTable } from "../accounts/lookup_table.ts";
import { CommandError, EXIT } from "../exit.ts";
import { openTable, type TableSettings } from "../relay/open_lookup_table.ts";
import type { ProxySettings } from "../relay/http_client.ts";
import { misspelled } from "../settings/load.ts";
import type { Settings } from "../settings/schema.ts";
import type { Environment } from "../settings/setting.ts";
import type { Changes } from "./lookup_arguments.ts";
import { outgoingHttp } from "./outgoing.ts";

/** The table answers with a trouble where it cannot; a file throws a CommandError. */
export interface EntryStore {
  find(id: string, timeout: number): Promise<Row | undefined | TableTrouble>;
  /** All entries; of a file, in its order. */
  list(timeout: number): Promise<readonly Row[] | TableTrouble>;
  /** @param make whether to create the entry where it does not exist */
  set(
    id: string,
    changes: Changes,
    make: boolean,
    timeout: number,
  ): Promise<Change | TableTrouble>;
  delete(id: string, timeout: number): Promise<Change | TableTrouble>;
}

export interface OpenStore {
  readonly store: EntryStore;
  /** In words, as the subject of a sentence. */
  readonly place: string;
  readonly isFile: boolean;
  close(): void;
}

export type StoreSettings =
  & TableSettings
  & ProxySettings
  & Pick<Settings, "EXTRA_CA_CERTS_FILEPATH" | "LOOKUP_FILE">;

/**
 * Sends no request, and reads no file yet.
 *
 * @param variables of the settings, to find a misspelled one
 * @throws CommandError 78 if neither is set
 */
export async function openStore(
  settings: StoreSettings,
  variables: Environment,
): Promise<OpenStore> {
  const { LOOKUP_FILE: path } = settings;
  if (path !== undefined) {
    const { LookupFileStore } = await import("./lookup_file_store.ts");
    const store = new LookupFileStore(path);
    return { store, place: `LOOKUP_FILE is ${path}`, isFile: true, close() {} };
  }
  const http = await outgoingHttp(settings);
  let table: LookupTable | undefined;
  try {
    table = await openTable(settings, http);
  } catch (error) {
    http.close();
    throw error;
  }
  if (table === undefined) {
    http.close();
    throw new CommandError(EXIT.config, [
      "LOOKUP_FILE or AZURE_TABLES_URL must be set: it names the file or the table",
      ...misspelled(variables),
    ]);
  }
  const place = `the table is ${table.address}`;
  return { store: table, place, isFile: false, close: () => http.close() };
}
