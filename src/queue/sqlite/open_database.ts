// Opens a database, with errors that say what to do.

import type { DatabaseSync } from "node:sqlite";
import type { StoreError } from "../store.ts";
import { codeOf, storeError, StoreSetupError } from "./errors.ts";
import { BUSY_TIMEOUT } from "./schema.ts";

/** `node:sqlite`; handed in, so that it is loaded only where a queue is used. */
export interface Sqlite {
  readonly DatabaseSync: new (path: string) => DatabaseSync;
}

/**
 * @param setUp what else belongs to opening it
 * @throws StoreError; the database is then closed
 */
export function openDatabase(
  sqlite: Sqlite,
  path: string,
  setUp: (db: DatabaseSync) => void,
): DatabaseSync {
  let db: DatabaseSync | undefined;
  try {
    db = new sqlite.DatabaseSync(path);
    db.exec(`pragma busy_timeout = ${BUSY_TIMEOUT}`);
    setUp(db);
    return db;
  } catch (error) {
    try {
      db?.close();
    } catch {
      // The first error is the one that matters.
    }
    throw openingError(path, error);
  }
}

/** @param path of the file that is opened */
export function openingError(path: string, error: unknown): StoreError {
  if (error instanceof StoreSetupError) return error;
  const code = codeOf(error);
  const say = (text: string) => new StoreSetupError(code, `${path} ${text}`);
  switch (code) {
    case "SQLITE_NOTADB":
      return say(
        "is not an SQLite database, or its first page is damaged: keep a copy of it and of the files " +
          "beside it, and name another file in QUEUE_URL",
      );
    case "SQLITE_CORRUPT":
      return say(
        "is damaged: keep a copy of it and of the files beside it, and name another file in QUEUE_URL; " +
          "`sqlite3 FILE .recover` may read the rest",
      );
    case "SQLITE_READONLY":
    case "SQLITE_CANTOPEN":
    case "EROFS":
    case "EACCES":
    case "EPERM":
      return say(
        `cannot be written (${code}): the relay's user must own its directory and all files of the queue ` +
          "in it",
      );
    case "ENOENT":
      return say(`cannot be made (${code}): name another directory in QUEUE_URL`);
    default:
      return storeError(path, error);
  }
}
