// The entries of the lookup table as logins need them: which row counts, and what it means.

import { type Reply, reply } from "../smtp/reply.ts";
import { Answers, type AnswersOptions, type TableState } from "./lookup_cache.ts";
import {
  type Culprit,
  type Entry,
  type EntryReading,
  readEntry,
  type Row,
  textOf,
} from "./entry.ts";
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
    readonly culprit?: Culprit;
  };

export interface EntriesOptions extends AnswersOptions {
  readonly source: EntrySource;
}

/** What counts of a row. */
interface Candidate {
  /** Its RowKey. */
  readonly id: string;
  /** As `parseTenant` writes it; "" for what is none. */
  readonly tenant: string;
  readonly reading: EntryReading;
}

export class Entries {
  readonly #source: EntrySource;
  /** The rows of an id or of a client, as they were read. */
  readonly #answers: Answers<readonly [Candidate, ...Candidate[]]>;

  constructor(options: EntriesOptions) {
    this.#source = options.source;
    this.#answers = new Answers(options);
  }

  /** Whether the table answered the last question. Nothing is asked for it. */
  get tableState(): TableState {
    return this.#answers.state;
  }

  /**
   * The entry with this RowKey.
   *
   * @param login whether it is asked for by a login, which may have to wait for a doubted entry
   */
  async byId(id: string, login = true): Promise<EntryResult> {
    if (!isTableKey(id)) return NO_KEY;
    const answer = await this.#answers.get(keyOf({ type: "lookup", id }), async (timeout) => {
      const row = await this.#source.find(id, timeout);
      return row === undefined || isTrouble(row) ? row : [candidate(row)];
    }, login);
    if (answer === "nothing") return NO_ENTRY;
    return isTrouble(answer) ? later(answer) : resultOf(answer[0].reading);
  }

  /**
   * The entry of a login by tenant and client. Of several, the first by RowKey that is not disabled.
   * The table is asked for the client, so guessing tenants is no more than one question.
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
    const answer = await this.#answers.get(key, async (timeout) => {
      const rows = await this.#source.findByClient(clientId, timeout);
      if (isTrouble(rows)) return rows;
      const [first, ...others] = rows.filter(({ columns }) => {
        return parseId(textOf(columns["client_id"]) ?? "") === clientId;
      }).sort((a, b) => a.id < b.id ? -1 : 1).map(candidate);
      return first === undefined ? undefined : [first, ...others];
    }, login);
    if (answer === "nothing") return NO_DIRECT_ENTRY;
    return isTrouble(answer) ? later(answer) : choose(answer, tenantId);
  }

  /**
   * A login was refused by what was read, or Entra ID refused it: who mends the entry now waits for
   * the next login. So it is read again for that, at most once in two seconds.
   */
  doubt(question: Question): void {
    this.#answers.doubt(keyOf(question));
  }
}

/** What is asked for: a RowKey, or all entries of a client. */
type Question =
  | { readonly type: "lookup"; readonly id: string }
  | { readonly type: "direct"; readonly clientId: string };

function keyOf(question: Question): string {
  return question.type === "lookup" ? `id ${question.id}` : `client ${question.clientId}`;
}

function candidate(row: Row): Candidate {
  const tenant = parseTenant(textOf(row.columns["tenant_id"]) ?? "") ?? "";
  return { id: row.id, tenant, reading: readEntry(row) };
}

/** Of a client's rows, the first that is not disabled: which one must not depend on chance. */
function choose(candidates: readonly Candidate[], tenantId: string): EntryResult {
  const own = candidates.filter(({ tenant }) => tenant === tenantId);
  const found = own.find(({ reading }) => reading.type !== "disabled") ?? own[0];
  if (found !== undefined) return resultOf(found.reading);
  const other = candidates.find(({ tenant }) => isDomain(tenant));
  if (other === undefined) return NO_DIRECT_ENTRY;
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

function later({ code, detail }: TableTrouble): EntryResult {
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
  culprit?: Culprit,
): EntryResult & { readonly type: "refused" } {
  return { type: "refused", reply, detail, code, ...(culprit === undefined ? {} : { culprit }) };
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
