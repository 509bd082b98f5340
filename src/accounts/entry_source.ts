// The source of the lookup table's rows: the table itself, or the sandbox's imitation.

import type { Row } from "./entry.ts";

export interface EntrySource {
  /**
   * The row with this RowKey.
   *
   * @param id what a table's key may be
   * @param timeout milliseconds
   */
  find(id: string, timeout: number): Promise<Row | undefined | TableTrouble>;
  /**
   * All rows of this client, and perhaps some of others: the caller compares their columns.
   *
   * @param clientId UUID in lower case
   * @param timeout milliseconds
   */
  findByClient(clientId: string, timeout: number): Promise<readonly Row[] | TableTrouble>;
}

export interface Explanation {
  readonly problem: string;
  /** What the administrator can do about it. */
  readonly advice?: string;
}

/** The table service did not answer the query. */
export interface TableTrouble {
  readonly type: "trouble";
  /** The table service's own code, such as `TableNotFound`, or the network's. */
  readonly code: string;
  /** For reply and log: what happened, and what to do about it. Never a secret. */
  readonly detail: string;
  /** The detail in its two parts. Left out if it has no advice. */
  readonly explanation?: Explanation;
  /** There is no such table: what was read from it before does not count any more. */
  readonly gone: boolean;
  /** Whether other queries would fail, too, or the service rejects this one alone. */
  readonly concerns: "table" | "question";
}

export function isTrouble<T extends object>(answer: T | TableTrouble): answer is TableTrouble {
  return "type" in answer && answer.type === "trouble";
}
