// The entries that one content of LOOKUP_FILE has: read, and checked, a part at a time, so that others get
// their turn.

import {
  type ColumnName,
  type Mistake,
  readEntry,
  type Row,
  tableKeyProblem,
  textOf,
} from "./entry.ts";
import type { FileContent } from "./lookup_file_content.ts";
import { LookupFileReader } from "./lookup_file_reader.ts";
import { parseId } from "./username.ts";

/** Characters that are read before others have their turn: less than a millisecond's work or two. */
export const SLICE = 32 * 1024;
/** Entries that are checked before others have their turn. */
export const CHECKED = 200;
/** Unusable entries that are named. */
const MAX_NAMED = 10;

/** Gives others their turn. */
export type Pause = () => Promise<unknown>;

/** What one content of the file says. */
export interface Loaded {
  readonly revision: string;
  readonly rows: ReadonlyMap<string, Row>;
  /** The rows of a client in the order of their ids. @param clientId UUID in lower case */
  ofClient(clientId: string): readonly Row[];
  readonly hasHashes: boolean;
  readonly at: number;
}

/** Entries whose logins are refused because of a mistake in them. */
export interface Unusable {
  readonly count: number;
  /** The first of them. */
  readonly named: readonly { readonly id: string; readonly problem: string }[];
}

/** @throws LookupFileError */
export async function load(
  { text, revision }: FileContent,
  pause: Pause,
): Promise<Loaded> {
  const reader = new LookupFileReader(text);
  const rows = new Map<string, Row>();
  const clients = new Map<string, Row[]>();
  let hasHashes = false;
  let paused = 0;
  for (let row = reader.next(); row !== undefined; row = reader.next()) {
    rows.set(row.id, row);
    hasHashes ||= HASHES.some((name) => name in row.columns);
    const client = tableKeyProblem(row.id) === undefined
      ? parseId(textOf(row.columns["client_id"]) ?? "")
      : undefined;
    if (client !== undefined) {
      const others = clients.get(client);
      if (others === undefined) clients.set(client, [row]);
      else others.push(row);
    }
    if (reader.position - paused < SLICE) continue;
    paused = reader.position;
    await pause();
  }
  return { revision, rows, ofClient: sortedAtUse(clients), hasHashes, at: Date.now() };
}

/** Most relays never ask for a client's entries, which may be all. */
function sortedAtUse(clients: ReadonlyMap<string, Row[]>): Loaded["ofClient"] {
  const sorted = new Set<string>();
  return (client) => {
    const own = clients.get(client);
    if (own === undefined) return NO_ROWS;
    if (!sorted.has(client)) {
      own.sort((a, b) => a.id < b.id ? -1 : 1);
      sorted.add(client);
    }
    return own;
  };
}

const NO_ROWS: readonly Row[] = [];

/** Looks at each entry whether logins can use it. */
export async function findUnusable({ rows }: Loaded, pause: Pause): Promise<Unusable> {
  let count = 0;
  const named: { id: string; problem: string }[] = [];
  let checked = 0;
  for (const row of rows.values()) {
    const problem = problemOf(row);
    if (problem !== undefined && ++count <= MAX_NAMED) named.push({ id: row.id, problem });
    if (++checked % CHECKED === 0) await pause();
  }
  return { count, named };
}

const HASHES: readonly ColumnName[] = ["password_hash", "password_hash_next"];

function problemOf(row: Row): string | undefined {
  const problem = tableKeyProblem(row.id);
  if (problem !== undefined) return `the id ${problem}`;
  const reading = readEntry(row);
  return reading.type === "malformed" ? textIn(reading.mistake) : undefined;
}

function textIn({ column, allowed }: Mistake): string {
  return `${column} must be ${allowed}`;
}
