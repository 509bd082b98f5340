// What `/readyz` and the status page say of each part that is in use.

import type { TableState } from "../accounts/lookup_cache.ts";
import type { LookupFile } from "../accounts/lookup_file.ts";
import { SMTP_SERVICES } from "../backend_name.ts";
import type { PartState } from "../observe/http.ts";
import type { ServiceName, ServiceState } from "../status/services.ts";
import type { Status } from "../status/status.ts";

export interface Lookups {
  readonly file: LookupFile | undefined;
  /** Undefined without a table. */
  readonly table: TableState | undefined;
  readonly hasTable: boolean;
}

/** LOOKUP_FILE and the lookup table. */
export function lookupParts(
  { file, table, hasTable }: Lookups,
): Readonly<Record<string, PartState>> {
  return {
    ...(file === undefined ? {} : { lookup: filePart(file) }),
    ...(hasTable ? { table: tablePart(table) } : {}),
  };
}

/** The services outside: Entra ID, Graph, and those that are reached by SMTP. */
export function serviceParts(status: Status | undefined): Readonly<Record<string, PartState>> {
  const named: readonly (readonly [string, ServiceName])[] = [
    ["entra", "Entra ID"],
    ["graph", "Graph"],
    ...Object.entries(SMTP_SERVICES),
  ];
  const parts = named.map(([name, service]) => servicePart(name, status?.services.state(service)));
  return Object.assign({}, ...parts);
}

/** The relay stays ready while a new LOOKUP_FILE cannot be used: the entries from before are. */
function filePart({ state: { entries, loadedAt, failed } }: LookupFile): PartState {
  return {
    ready: true,
    entries,
    loaded: new Date(loadedAt).toISOString(),
    ...(failed === undefined
      ? { usable: true }
      : { usable: false, since: new Date(failed.at).toISOString(), detail: failed.reason }),
  };
}

/**
 * The relay stays ready while the table does not answer: entries that were read are still used,
 * logins without an entry need no table, and a restart would only forget the entries.
 */
function tablePart(state: TableState | undefined): PartState {
  if (state === undefined || state === "not asked") return { ready: true };
  if (state === "answers") return { ready: true, answers: true };
  return { ready: true, answers: false, code: state.code };
}

/**
 * A service that does not answer is no reason against readiness either: a restart would not help, and
 * mail that cannot be sent now is deferred or queued.
 */
function servicePart(
  name: string,
  state: Readonly<ServiceState> | undefined,
): Readonly<Record<string, PartState>> {
  if (state?.silentSince !== undefined) {
    const since = new Date(state.silentSince).toISOString();
    return { [name]: { ready: true, answers: false, since, code: state.failed?.code } };
  }
  return state?.succeeded === undefined ? {} : { [name]: { ready: true, answers: true } };
}
