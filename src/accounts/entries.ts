// The entries of the lookup for logins: which row counts, and what it means. An id that is in LOOKUP_FILE
// is the file's; the lookup table has the others.

import { type Reply, reply } from "../smtp/reply.ts";
import type { LoginFailure } from "./account.ts";
import {
  LookupCache,
  type LookupCacheOptions,
  type LookupResult,
  type TableState,
} from "./lookup_cache.ts";
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
  /** The lookup table. */
  readonly source?: EntrySource;
  /** LOOKUP_FILE. */
  readonly file?: EntryFile;
}

/** The entries of LOOKUP_FILE: all of them are in memory. */
export interface EntryFile {
  find(id: string): Row | undefined;
  /** In the order of their ids; the same list until they change. @param clientId UUID in lower case */
  findByClient(clientId: string): readonly Row[];
  /** A login was refused, perhaps because of an entry. */
  doubt(): void;
  /** Reads the file again if it was doubted and has changed; does not take long. */
  beforeLogin(): Promise<void>;
}

/** Where a row is, in words. */
type Place = "LOOKUP_FILE" | "the lookup table";

/** A row that may be the one of a login. */
interface Candidate {
  /** Its RowKey. */
  readonly id: string;
  readonly place: Place;
  /** As `parseTenant` writes it; "" where the column holds no tenant. */
  readonly tenant: string;
  readonly reading: EntryReading;
  /** Whether a device has a password of its own: no other login uses the row. */
  readonly isOfDevice: boolean;
}

type Candidates = readonly [Candidate, ...Candidate[]];

export class Entries {
  readonly #source: EntrySource | undefined;
  readonly #file: EntryFile | undefined;
  /** Those of a client in the file, by their rows: thousands of entries may share an app. */
  readonly #ofFile = new WeakMap<readonly Row[], readonly Candidate[]>();
  /** The rows of an id or of a client, as they were read. */
  readonly #cache: LookupCache<Candidates>;

  constructor(options: EntriesOptions) {
    this.#source = options.source;
    this.#file = options.file;
    this.#cache = new LookupCache(options);
  }

  /** Whether the table responded to the last query; "not asked" without one. Causes none. */
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
    if (login) await this.#file?.beforeLogin();
    const own = this.#file?.find(id);
    if (own !== undefined) return resultOf(candidate(own, "LOOKUP_FILE"));
    const source = this.#source;
    if (source === undefined) return NO_ENTRY_IN_FILE;
    const result = await this.#inTable(id, source, login);
    if (result === "nothing") return NO_ENTRY;
    return isTrouble(result) ? later(result) : resultOf(result[0]);
  }

  /**
   * Before a login by an id is refused: an id of the file causes the query that any other has caused, so that the
   * time does not tell which ids the file has. Nothing of the answer is used.
   */
  async beforeRefusal(id: string): Promise<void> {
    const source = this.#source;
    if (source !== undefined && this.#file?.find(id) !== undefined) {
      await this.#inTable(id, source, true);
    }
  }

  #inTable(
    id: string,
    source: EntrySource,
    login: boolean,
  ): Promise<LookupResult<Candidates>> | LookupResult<Candidates> {
    return this.#cache.get(keyOf({ type: "lookup", id }), async (timeout) => {
      const row = await source.find(id, timeout);
      return row === undefined || isTrouble(row) ? row : [candidate(row, "the lookup table")];
    }, login);
  }

  /**
   * The entry of a login by tenant and client. Of several, the first by RowKey that is not disabled, and
   * the file's before the table's.
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
    const file = this.#file;
    if (login) await file?.beforeLogin();
    const own = this.#candidatesInFile(clientId);
    const source = this.#source;
    if (source === undefined || own.some((one) => isOpenTo(one, tenantId))) {
      return choose(own, tenantId, NO_DIRECT_ENTRY_IN_FILE);
    }
    const key = keyOf({ type: "direct", clientId });
    const result = await this.#cache.get(key, async (timeout) => {
      const rows = await source.findByClient(clientId, timeout);
      if (isTrouble(rows)) return rows;
      const [first, ...others] = rows.filter(({ columns }) => {
        return parseId(textOf(columns["client_id"]) ?? "") === clientId;
      }).sort((a, b) => a.id < b.id ? -1 : 1).map((row) => candidate(row, "the lookup table"));
      return first === undefined ? undefined : [first, ...others];
    }, login);
    if (result === "nothing") return choose(own, tenantId);
    if (isTrouble(result)) return later(result);
    const others = result.filter(({ id }) => file?.find(id) === undefined);
    return choose([...own, ...others], tenantId);
  }

  #candidatesInFile(clientId: string): readonly Candidate[] {
    const rows = this.#file?.findByClient(clientId);
    if (rows === undefined) return [];
    let candidates = this.#ofFile.get(rows);
    if (candidates === undefined) {
      candidates = rows.map((row) => candidate(row, "LOOKUP_FILE"));
      this.#ofFile.set(rows, candidates);
    }
    return candidates;
  }

  /**
   * A login was refused because of this entry, or by Entra ID: an administrator who corrects the entry
   * waits for the next login. So the entry is read again for that, at most once in two seconds.
   */
  doubt(name: EntryName): void {
    this.#file?.doubt();
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

function candidate(row: Row, place: Place): Candidate {
  const tenant = parseTenant(textOf(row.columns["tenant_id"]) ?? "") ?? "";
  const isOfDevice = HASHES.some((name) => textOf(row.columns[name]) !== "");
  let reading: EntryReading | undefined;
  return {
    ...{ id: row.id, place, tenant, isOfDevice },
    // Not before it is needed: of thousands with one app, the first may do.
    get reading() {
      return reading ??= readEntry(row);
    },
  };
}

function isOpenTo(one: Candidate, tenantId: string): boolean {
  return one.tenant === tenantId && !one.isOfDevice && one.reading.type !== "disabled";
}

/**
 * The first row of this tenant that is not disabled: the choice must not depend on chance.
 *
 * @param none the result without one
 */
function choose(
  candidates: readonly Candidate[],
  tenantId: string,
  none: LoginFailure = NO_DIRECT_ENTRY,
): EntryResult {
  const ofTenant = candidates.filter(({ tenant }) => tenant === tenantId);
  const own = ofTenant.filter(({ isOfDevice }) => !isOfDevice);
  const found = own.find((one) => isOpenTo(one, tenantId)) ?? own[0];
  if (found !== undefined) return resultOf(found);
  const [device] = ofTenant;
  if (device !== undefined) {
    return refused(
      NO_DIRECT_ENTRY.reply,
      `entry ${
        shown(device.id)
      } of ${device.place}, the only one with this tenant_id and client_id, ` +
        "has a password_hash: only its device logs in by it, with the entry's id",
    );
  }
  const other = candidates.find(({ tenant }) => isDomain(tenant));
  if (other === undefined) return none;
  // Only Entra ID knows which tenant a domain belongs to.
  return refused(
    NO_DIRECT_ENTRY.reply,
    `entry ${shown(other.id)} of ${other.place} has this client, but a domain as its ` +
      "tenant_id: write the tenant's id there to allow this login",
  );
}

function resultOf({ place, reading }: Candidate): EntryResult {
  switch (reading.type) {
    case "entry":
      return reading;
    case "disabled":
      return refused(
        reply(535, "5.7.8", "This account is disabled in the lookup"),
        `entry ${shown(reading.id)} of ${place} is disabled`,
        "ENTRY_DISABLED",
        { id: reading.id },
      );
    case "malformed": {
      const { column, allowed } = reading.mistake;
      return refused(
        reply(535, "5.7.8", `The lookup's entry has a mistake in ${column}; see the log`),
        `entry ${shown(reading.id)} of ${place}: ${column} must be ${allowed}`,
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
  reply(535, "5.7.8", "The lookup has no entry for this id"),
  "the lookup table has no entry with this id as its RowKey in AZURE_TABLES_PARTITION_KEY",
);

const NO_ENTRY_IN_FILE = refused(NO_ENTRY.reply, "LOOKUP_FILE has no entry with this id");

const NO_DIRECT_ENTRY = refused(
  reply(535, "5.7.8", "The lookup has no entry for this tenant and client"),
  "the lookup table has no entry with this tenant_id and client_id, and AZURE_TABLES_FORCE_USAGE " +
    "requires one",
);

const NO_DIRECT_ENTRY_IN_FILE = refused(
  NO_DIRECT_ENTRY.reply,
  "LOOKUP_FILE has no entry with this tenant_id and client_id, and AZURE_TABLES_FORCE_USAGE requires one",
);
