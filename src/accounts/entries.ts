// The entries of the lookup table for logins: which row counts, and what it means.

import { type Reply, reply } from "../smtp/reply.ts";
import type { LoginFailure } from "./account.ts";
import { LookupCache, type LookupCacheOptions, type TableState } from "./lookup_cache.ts";
import {
  type Entry,
  type EntryReading,
  type EntryReference,
  isTableKey,
  readEntry,
  type Row,
  textOf,
} from "./entry.ts";
import { type EntrySource, isTrouble, type TableTrouble } from "./entry_source.ts";
import { isDomain, parseId, parseTenant } from "./username.ts";

/** A failure's reply answers AUTH. */
export type EntryResult = { readonly type: "entry"; readonly entry: Entry } | LoginFailure;

export interface EntriesOptions extends LookupCacheOptions {
  readonly source: EntrySource;
}

/** A row that may be the one of a login. */
interface Candidate {
  /** Its RowKey. */
  readonly id: string;
  /** As `parseTenant` writes it; "" where the column holds no tenant. */
  readonly tenant: string;
  readonly reading: EntryReading;
  /** Whether a device has a password of its own: no other login uses the row. */
  readonly isOfDevice: boolean;
}

export class Entries {
  readonly #source: EntrySource;
  /** The rows of an id or of a client, as they were read. */
  readonly #cache: LookupCache<readonly [Candidate, ...Candidate[]]>;

  constructor(options: EntriesOptions) {
    this.#source = options.source;
    this.#cache = new LookupCache(options);
  }

  /** Whether the table responded to the last query. Causes none. */
  get tableState(): TableState {
    return this.#cache.state;
  }

  /**
   * The entry with this RowKey.
   *
   * @param login whether it is for a login, which may have to wait until a doubted entry is read again
   */
  async byId(id: string, login = true): Promise<EntryResult> {
    if (!isTableKey(id)) return NO_KEY;
    const result = await this.#cache.get(keyOf({ type: "lookup", id }), async (timeout) => {
      const row = await this.#source.find(id, timeout);
      return row === undefined || isTrouble(row) ? row : [candidate(row)];
    }, login);
    if (result === "nothing") return NO_ENTRY;
    return isTrouble(result) ? later(result) : resultOf(result[0].reading);
  }

  /**
   * The entry of a login by tenant and client. Of several, the first by RowKey that is not disabled.
   * The query is for the client, so that guessing its tenants costs no more than one query.
   *
   * @param tenantId UUID in lower case
   * @param clientId UUID in lower case
   * @param login as for {@link byId}
   */
  async byTenantAndClient(
    tenantId: string,
    clientId: string,
    login = true,
  ): Promise<EntryResult> {
    const key = keyOf({ type: "direct", clientId });
    const result = await this.#cache.get(key, async (timeout) => {
      const rows = await this.#source.findByClient(clientId, timeout);
      if (isTrouble(rows)) return rows;
      const [first, ...others] = rows.filter(({ columns }) => {
        return parseId(textOf(columns["client_id"]) ?? "") === clientId;
      }).sort((a, b) => a.id < b.id ? -1 : 1).map(candidate);
      return first === undefined ? undefined : [first, ...others];
    }, login);
    if (result === "nothing") return NO_DIRECT_ENTRY;
    return isTrouble(result) ? later(result) : choose(result, tenantId);
  }

  /**
   * A login was refused because of this entry, or by Entra ID: an administrator who corrects the entry
   * waits for the next login. So the entry is read again for that, at most once in two seconds.
   */
  doubt(name: EntryName): void {
    this.#cache.doubt(keyOf(name));
  }
}

/** A RowKey, or all entries of a client. */
type EntryName =
  | { readonly type: "lookup"; readonly id: string }
  | { readonly type: "direct"; readonly clientId: string };

function keyOf(name: EntryName): string {
  return name.type === "lookup" ? `id ${name.id}` : `client ${name.clientId}`;
}

const HASHES = ["password_hash", "password_hash_next"] as const;

function candidate(row: Row): Candidate {
  const tenant = parseTenant(textOf(row.columns["tenant_id"]) ?? "") ?? "";
  const isOfDevice = HASHES.some((name) => textOf(row.columns[name]) !== "");
  return { id: row.id, tenant, reading: readEntry(row), isOfDevice };
}

/** The first row of this tenant that is not disabled: the choice must not depend on chance. */
function choose(candidates: readonly Candidate[], tenantId: string): EntryResult {
  const ofTenant = candidates.filter(({ tenant }) => tenant === tenantId);
  const own = ofTenant.filter(({ isOfDevice }) => !isOfDevice);
  const found = own.find(({ reading }) => reading.type !== "disabled") ?? own[0];
  if (found !== undefined) return resultOf(found.reading);
  const [device] = ofTenant;
  if (device !== undefined) {
    return refused(
      NO_DIRECT_ENTRY.reply,
      `entry ${
        shown(device.id)
      } of the lookup table, the only one with this tenant_id and client_id, ` +
        "has a password_hash: only its device logs in by it, with the entry's id",
    );
  }
  const other = candidates.find(({ tenant }) => isDomain(tenant));
  if (other === undefined) return NO_DIRECT_ENTRY;
  // Only Entra ID knows which tenant a domain belongs to.
  return refused(
    NO_DIRECT_ENTRY.reply,
    `entry ${
      shown(other.id)
    } of the lookup table has this client, but a domain as its tenant_id: ` +
      "write the tenant's id there to allow this login",
  );
}

function resultOf(reading: EntryReading): EntryResult {
  switch (reading.type) {
    case "entry":
      return reading;
    case "disabled":
      return refused(
        reply(535, "5.7.8", "This account is disabled in the lookup table"),
        `entry ${shown(reading.id)} of the lookup table is disabled`,
        "ENTRY_DISABLED",
        { id: reading.id },
      );
    case "malformed": {
      const { column, allowed } = reading.mistake;
      return refused(
        reply(535, "5.7.8", `The lookup table's entry has a mistake in ${column}; see the log`),
        `entry ${shown(reading.id)} of the lookup table: ${column} must be ${allowed}`,
        "ENTRY_MALFORMED",
        { id: reading.id, column },
      );
    }
  }
}

function later({ code, detail }: TableTrouble): LoginFailure {
  return {
    type: "later",
    reply: reply(454, "4.7.0", `Temporary authentication failure: ${code}: ${detail}`),
    detail: `${code}: ${detail}`,
    code,
  };
}

function refused(
  reply: Reply,
  detail: string,
  code = "NO_ENTRY",
  entry?: EntryReference,
): LoginFailure {
  return { type: "refused", reply, detail, code, ...(entry === undefined ? {} : { entry }) };
}

function shown(id: string): string {
  return JSON.stringify(id);
}

const NO_KEY = refused(
  reply(535, "5.7.8", "The lookup id has characters that no key of a table may have"),
  "the lookup id has characters that no key of a table may have, or is longer than 1 KiB",
);

const NO_ENTRY = refused(
  reply(535, "5.7.8", "The lookup table has no entry for this id"),
  "the lookup table has no entry with this id as its RowKey in AZURE_TABLES_PARTITION_KEY",
);

const NO_DIRECT_ENTRY = refused(
  reply(535, "5.7.8", "The lookup table has no entry for this tenant and client"),
  "the lookup table has no entry with this tenant_id and client_id, and AZURE_TABLES_FORCE_USAGE " +
    "requires one",
);
