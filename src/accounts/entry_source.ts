// Where entries of the lookup table come from: the table itself, or the sandbox's imitation.

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
   * The rows that may be of this client, by their RowKey: all that are, and perhaps some that are
   * not. What they hold is for the caller to compare.
   *
   * @param clientId UUID in lower case
   * @param timeout milliseconds
   */
  findByClient(clientId: string, timeout: number): Promise<readonly Row[] | TableTrouble>;
}

export interface Words {
  readonly problem: string;
  /** What to do about it. */
  readonly advice?: string;
}

/** The table gave no answer to the question. */
export interface TableTrouble {
  readonly type: "trouble";
  /** The table service's own code, such as `TableNotFound`, or the network's. */
  readonly code: string;
  /** For reply and log: what happened, and what to do about it. Never a secret. */
  readonly detail: string;
  /** The detail in its two parts, where it has advice in it. */
  readonly words?: Words;
  /** There is no such table: whatever was in it counts no more. */
  readonly gone: boolean;
  /** Whether other questions would fare the same, or this one alone is not understood. */
  readonly concerns: "table" | "question";
}

export function isTrouble<T extends object>(answer: T | TableTrouble): answer is TableTrouble {
  return "type" in answer && answer.type === "trouble";
}
