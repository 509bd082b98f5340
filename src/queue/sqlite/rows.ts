// Rows of the table `message` as messages.

import type { SQLOutputValue } from "node:sqlite";
import type { MessageState, StoredMessage } from "../store.ts";

/** The last time that a `Date` can be, in milliseconds of Unix time. */
const LAST = 8_640_000_000_000_000;

/**
 * A number of a row as JavaScript can have it. Reading a larger one fails, and with it the whole query: one row
 * that is damaged, or that someone has changed, would stop all mail.
 */
export function bounded(expression: string): string {
  return `max(-${LAST}, min(${LAST}, ${expression}))`;
}

const NUMBERS = ["due", "attempts", "received", "size"].map((name) =>
  `${bounded(name)} as ${name}`
);

export const COLUMNS = `seq, id, state, ${NUMBERS.join(", ")}, code, in_file, mailbox, account, ` +
  "connection, record, note";

export type Row = Readonly<Record<string, SQLOutputValue>>;

export function messageOf(row: Row): StoredMessage {
  return {
    id: row["id"] as string,
    receivedAt: row["received"] as number,
    size: row["size"] as number,
    mailbox: row["mailbox"] as string,
    account: row["account"] as string,
    connection: row["connection"] as string,
    state: row["state"] as MessageState,
    due: row["due"] as number,
    attempts: row["attempts"] as number,
    code: row["code"] as string,
    note: row["note"] as Uint8Array,
    record: row["record"] as Uint8Array,
  };
}

/** The column `ready`: see schema.ts. */
export function readyOf(state: MessageState, due: number, now: number): 0 | 1 | null {
  if (state === "sending") return 1;
  if (state === "queued") return due <= now ? 1 : 0;
  return null;
}
