// An imitation of the lookup table: a few entries in memory, to try usernames of the form id@lookup.

import type { Row } from "../accounts/entry.ts";
import type { EntrySource } from "../accounts/entry_source.ts";

export class SandboxTable implements EntrySource {
  readonly rows: readonly Row[];

  constructor(rows: readonly Row[]) {
    this.rows = rows;
  }

  find(id: string): Promise<Row | undefined> {
    return Promise.resolve(this.rows.find((row) => row.id === id));
  }

  findByClient(): Promise<readonly Row[]> {
    return Promise.resolve(this.rows);
  }
}
