// The entries of the lookup table as logins need them: remembered for a minute, and while the table
// does not answer, for longer.

import { LRUCache } from "lru-cache";
import { type Reply, reply } from "../smtp/reply.ts";
import { type Entry, type EntryReading, readEntry, type Row, textOf } from "./entry.ts";
import { type EntrySource, isTrouble, type TableTrouble } from "./entry_source.ts";
import { isTableKey } from "./table_key.ts";
import { isDomain, parseTenant } from "./tenant.ts";
import { parseId } from "./username.ts";

export type EntryResult =
  | { readonly type: "entry"; readonly entry: Entry }
  | {
    readonly type: "refused" | "later";
    readonly reply: Reply;
    /** For the log. */
    readonly detail: string;
    /** The table's own code or the network's, or the relay's. */
    readonly code?: string;
  };

export interface EntriesOptions {
  readonly source: EntrySource;
  /** Milliseconds that an entry serves on while the table does not answer. */
  readonly maxAge: number | "off";
  /** Entries remembered at most, and as many that are not there. */
  readonly capacity?: number;
  /** The table did not answer; `served`: an entry that had been read before took its place. */
  onTrouble?(trouble: TableTrouble, served: boolean): void;
  /** It answers again. */
  onRecovery?(): void;
  now?(): number;
}

/** Milliseconds, from the question on, after which the table is asked again. */
const FRESH = 60_000;
/** Milliseconds that an entry counts as missing: one that is made meanwhile is not seen before. */
const ABSENT = 10_000;
/** Milliseconds for a query: a client waits for its 235 meanwhile. */
const TIMEOUT = 10_000;
/** The same where an entry is there that can take the answer's place. */
const SHORT_TIMEOUT = 3_000;
/** Milliseconds that a table which did not answer is left alone, where there is such an entry. */
const QUIET = 10_000;

interface Known {
  readonly result: EntryResult;
  /** When the question was asked that this is the answer to. */
  readonly askedAt: number;
}

type Ask = (timeout: number) => Promise<EntryResult | undefined | TableTrouble>;

export class Entries {
  readonly #options: EntriesOptions;
  readonly #now: () => number;
  readonly #known: LRUCache<string, Known>;
  /** When each was found missing; apart, so that strangers' guesses push out no entry. */
  readonly #absent: LRUCache<string, number>;
  /** Questions under way, each shared by all who ask the same. */
  readonly #pending = new Map<string, Promise<EntryResult>>();
  #quietUntil = -Infinity;
  #troubled = false;

  constructor(options: EntriesOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    const max = options.capacity ?? 10_000;
    this.#known = new LRUCache({ max });
    this.#absent = new LRUCache({ max });
  }

  /** The entry with this RowKey. */
  byId(id: string): Promise<EntryResult> | EntryResult {
    if (!isTableKey(id)) return NO_KEY;
    return this.#get(`id ${id}`, NO_ENTRY, async (timeout) => {
      const row = await this.#options.source.find(id, timeout);
      if (row === undefined || isTrouble(row)) return row;
      return resultOf(readEntry(row));
    });
  }

  /**
   * The entry of a login by tenant and client. Of several, the first by RowKey that is not disabled.
   *
   * @param tenantId UUID in lower case
   * @param clientId UUID in lower case
   */
  byTenantAndClient(tenantId: string, clientId: string): Promise<EntryResult> | EntryResult {
    return this.#get(`direct ${tenantId} ${clientId}`, NO_DIRECT_ENTRY, async (timeout) => {
      const rows = await this.#options.source.findByClient(clientId, timeout);
      if (isTrouble(rows)) return rows;
      return choose(rows, tenantId, clientId);
    });
  }

  #get(key: string, missing: EntryResult, ask: Ask): Promise<EntryResult> | EntryResult {
    const now = this.#now();
    const known = this.#known.get(key);
    if (known !== undefined && now - known.askedAt < FRESH) return known.result;
    if (now - (this.#absent.get(key) ?? -Infinity) < ABSENT) return missing;
    if (known !== undefined && now < this.#quietUntil && this.#serves(known)) return known.result;
    const pending = this.#pending.get(key);
    if (pending !== undefined) return pending;
    const asking = this.#ask(key, missing, ask, known).finally(() => this.#pending.delete(key));
    this.#pending.set(key, asking);
    return asking;
  }

  async #ask(
    key: string,
    missing: EntryResult,
    ask: Ask,
    known: Known | undefined,
  ): Promise<EntryResult> {
    const askedAt = this.#now();
    const replaceable = known !== undefined && this.#serves(known);
    const answer = await ask(replaceable ? SHORT_TIMEOUT : TIMEOUT);
    if (answer !== undefined && answer.type === "trouble") {
      return this.#trouble(answer, known);
    }
    this.#quietUntil = -Infinity;
    if (this.#troubled) {
      this.#troubled = false;
      this.#options.onRecovery?.();
    }
    if (answer === undefined) {
      this.#known.delete(key);
      this.#absent.set(key, askedAt);
      return missing;
    }
    this.#absent.delete(key);
    this.#known.set(key, { result: answer, askedAt });
    return answer;
  }

  #trouble(trouble: TableTrouble, known: Known | undefined): EntryResult {
    this.#troubled = true;
    const served = !trouble.gone && known !== undefined && this.#serves(known);
    this.#options.onTrouble?.(trouble, served);
    if (!trouble.gone) this.#quietUntil = this.#now() + QUIET;
    if (served) return known.result;
    const { code, detail } = trouble;
    return {
      type: "later",
      reply: reply(454, "4.7.0", `Temporary authentication failure: ${code}: ${detail}`),
      detail: `${code}: ${detail}`,
      code,
    };
  }

  /** Whether it may take the place of an answer that the table does not give. */
  #serves({ askedAt }: Known): boolean {
    const { maxAge } = this.#options;
    return maxAge !== "off" && this.#now() - askedAt < maxAge;
  }
}

/** Of several rows, the first that is not disabled: which one must not depend on chance. */
function choose(
  rows: readonly Row[],
  tenantId: string,
  clientId: string,
): EntryResult | undefined {
  const clients = rows.filter(({ columns }) => {
    return parseId(textOf(columns["client_id"]) ?? "") === clientId;
  }).sort((a, b) => a.id < b.id ? -1 : 1);
  const tenantOf = ({ columns }: Row) => parseTenant(textOf(columns["tenant_id"]) ?? "") ?? "";
  const readings = clients.filter((row) => tenantOf(row) === tenantId).map(readEntry);
  const reading = readings.find(({ type }) => type !== "disabled") ?? readings[0];
  if (reading !== undefined) return resultOf(reading);
  const other = clients.find((row) => isDomain(tenantOf(row)));
  if (other === undefined) return undefined;
  // Whose domain it is, only Entra ID knows.
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
      );
    case "malformed": {
      const { column, allowed } = reading.mistake;
      return refused(
        reply(535, "5.7.8", `The lookup table's entry has a mistake in ${column}; see the log`),
        `entry ${shown(reading.id)} of the lookup table: ${column} must be ${allowed}`,
        "ENTRY_MALFORMED",
      );
    }
  }
}

function refused(
  reply: Reply,
  detail: string,
  code = "NO_ENTRY",
): EntryResult & { readonly type: "refused" } {
  return { type: "refused", reply, detail, code };
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
    "asks for one",
);
