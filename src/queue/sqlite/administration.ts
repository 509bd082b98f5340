// What an administrator does with the queue, beside a running relay or without one. It holds no lock: the
// database is in WAL mode with SQLite's own locks, and a change is a transaction of its own.

import { realpath } from "node:fs/promises";
import { resolve } from "node:path";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { type Clock, realClock } from "../../clock.ts";
import {
  type ChangeResult,
  type FoundMessage,
  type Notes,
  type QueueAdministration,
  type StoredMessage,
  StoreError,
} from "../store.ts";
import { codeOf, storeError, StoreSetupError } from "./errors.ts";
import { deleteContent, filesOf, type QueueFiles, readContent } from "./files.ts";
import { openDatabase } from "./open_database.ts";
import { refuseDirectory } from "./place.ts";
import { COLUMNS, messageOf, type Row } from "./rows.ts";
import { setUpExisting } from "./schema.ts";

/**
 * @param path of a database that a relay has made
 * @throws StoreSetupError if that needs somebody to change something; else StoreError
 */
export async function openSqliteAdministration(
  path: string,
  clock: Clock = realClock,
): Promise<QueueAdministration> {
  const absolute = resolve(path);
  let database: string;
  try {
    database = await realpath(absolute);
  } catch (error) {
    const code = codeOf(error);
    throw new StoreSetupError(
      code,
      code === "ENOENT"
        ? `${absolute}: there is no such file: QUEUE_URL must name the queue of the relay, which makes it ` +
          "at its first start with DELIVERY_MODE=queue"
        : `${absolute} cannot be read (${code})`,
    );
  }
  await refuseDirectory(database);
  const sqlite = await import("node:sqlite");
  const db = openDatabase(sqlite, database, (db) => setUpExisting(db, database));
  return new SqliteAdministration(db, filesOf(database), clock);
}

class SqliteAdministration implements QueueAdministration {
  readonly notes: Pick<Notes, "get">;
  readonly #db: DatabaseSync;
  readonly #files: QueueFiles;
  readonly #clock: Clock;
  /** Places in the order of arrival of the messages that were listed. */
  readonly #places = new WeakMap<StoredMessage, number>();

  constructor(db: DatabaseSync, files: QueueFiles, clock: Clock) {
    this.#db = db;
    this.#files = files;
    this.#clock = clock;
    this.notes = { get: (key) => this.#note(key) };
  }

  list(limit: number, after?: StoredMessage): Promise<readonly StoredMessage[]> {
    return this.#do(() => {
      const place = after === undefined ? 0 : this.#placeOf(after);
      const rows = this.#sql(
        `select ${COLUMNS} from message where seq > ? order by seq limit ?`,
      ).all(place, limit);
      return rows.map((row) => this.#listed(row));
    });
  }

  find(id: string): Promise<FoundMessage | undefined> {
    return this.#do(() => {
      const row = this.#sql(`select ${COLUMNS} from message where id = ?`).get(id);
      if (row === undefined) return undefined;
      return {
        stored: this.#listed(row),
        content: () => row["in_file"] === 1 ? readContent(this.#files, id) : this.#contentOf(id),
      };
    });
  }

  retry(id: string): Promise<ChangeResult> {
    return this.#do(() => {
      const now = Math.floor(this.#clock.date());
      const { changes } = this.#sql(
        `update message set state = 'queued', ready = 1, due = ? where id = ? and state <> 'sending'`,
      ).run(now, id);
      if (Number(changes) === 0) return this.#unchanged(id);
      // Its mailbox may be paused because it failed.
      this.#sql("delete from pause where mailbox = (select mailbox from message where id = ?)").run(
        id,
      );
      return "done";
    });
  }

  async delete(id: string): Promise<ChangeResult> {
    const row = await this.#do(() =>
      this.#sql("delete from message where id = ? and state <> 'sending' returning in_file").get(id)
    );
    if (row === undefined) return await this.#do(() => this.#unchanged(id));
    if (row["in_file"] === 1) await deleteContent(this.#files, id);
    return "done";
  }

  close(): Promise<void> {
    return this.#do(() => this.#db.close());
  }

  #note(key: string): Promise<Uint8Array | undefined> {
    return this.#do(() => {
      const now = Math.floor(this.#clock.date());
      const row = this.#sql("select value from note where key = ? and until > ?").get(key, now);
      return row?.["value"] as Uint8Array | undefined;
    });
  }

  async *#contentOf(id: string): AsyncGenerator<Uint8Array> {
    const row = await this.#do(() =>
      this.#sql(
        "select octets from content where seq = (select seq from message where id = ?)",
      ).get(id)
    );
    if (row === undefined) {
      throw new StoreError("ENOENT", `${this.#files.database} has no content of message ${id}`);
    }
    yield row["octets"] as Uint8Array;
  }

  /** Of one that is gone by now, its place is known if it was listed here. */
  #placeOf(message: StoredMessage): number {
    return this.#places.get(message) ??
      this.#sql("select seq from message where id = ?").get(message.id)?.["seq"] as number ??
      this.#sql("select max(seq) as seq from message where received <= ?").get(message.receivedAt)
        ?.["seq"] as number ??
      0;
  }

  #listed(row: Row): StoredMessage {
    const message = messageOf(row);
    this.#places.set(message, row["seq"] as number);
    return message;
  }

  #unchanged(id: string): ChangeResult {
    const row = this.#sql("select 1 from message where id = ?").get(id);
    return row === undefined ? "unknown" : "sending";
  }

  #sql(text: string): StatementSync {
    return this.#db.prepare(text);
  }

  // deno-lint-ignore require-await
  async #do<T>(run: () => T): Promise<T> {
    try {
      return run();
    } catch (error) {
      throw storeError(this.#files.database, error);
    }
  }
}
