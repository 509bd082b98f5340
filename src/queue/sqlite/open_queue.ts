// Opens a queue's files for the one relay that may use them.

import {
  closeSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  opendirSync,
  openSync,
  statSync,
  unlinkSync,
} from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import type { DatabaseSync } from "node:sqlite";
import { codeOf, damaged, storeError, StoreSetupError } from "./errors.ts";
import { isMessageId } from "../store.ts";
import type { QueueFiles } from "./files.ts";
import { openDatabase, openingError, type Sqlite } from "./open_database.ts";
import { Reserve } from "./reserve.ts";
import { setUp } from "./schema.ts";

export interface OpenQueue {
  readonly db: DatabaseSync;
  readonly reserve: Reserve;
  /** After the database is closed. */
  unlock(): void;
}

/** @throws StoreError; then nothing is open */
export function openQueue(sqlite: Sqlite, files: QueueFiles): OpenQueue {
  const lock = takeLock(sqlite, files);
  const reserve = new Reserve(files.reserve);
  try {
    prepareFiles(files);
    let db: DatabaseSync;
    try {
      db = openForWriting(sqlite, files);
    } catch (error) {
      // A full disk: the log and its index need some room.
      if (!storeError(files.database, error).full || !reserve.release()) throw error;
      db = openForWriting(sqlite, files);
    }
    try {
      deleteOrphans(db, files);
    } catch (error) {
      db.close();
      throw openingError(files.database, error);
    }
    reserve.make();
    return { db, reserve, unlock: () => lock.close() };
  } catch (error) {
    lock.close();
    throw storeError(files.database, error);
  }
}

function openForWriting(sqlite: Sqlite, { database }: QueueFiles): DatabaseSync {
  return openDatabase(sqlite, database, (db) => {
    setUp(db, database);
    // Changes nothing: that the database can only be read shows now, and not with the first message.
    db.exec("delete from note where false");
  });
}

/** Held until the process ends, even by `kill -9`: the kernel frees it. */
function takeLock(sqlite: Sqlite, { database, lock }: QueueFiles): DatabaseSync {
  make(lock);
  try {
    return openDatabase(sqlite, lock, (db) => {
      db.exec("pragma busy_timeout = 0");
      // Nothing is ever written, but a journal in a file would need room.
      db.prepare("pragma journal_mode = memory").get();
      db.exec("begin exclusive");
    });
  } catch (error) {
    if (codeOf(error) !== "SQLITE_BUSY") throw error;
    throw new StoreSetupError(
      "LOCKED",
      `${database} is in use by another relay, which holds ${lock}: stop that one, or give this one a ` +
        "queue of its own in QUEUE_URL; several relays can share azure-storage:",
    );
  }
}

/** SQLite gives its other files the mode of the database. */
function prepareFiles({ database, contents }: QueueFiles): void {
  // Files in it that belong to no message are deleted.
  const found = lstatSync(contents, { throwIfNoEntry: false });
  if (found !== undefined && !found.isDirectory()) {
    throw new StoreSetupError(
      "ENOTDIR",
      `${contents} is not a directory: move it away; the relay makes the directory itself`,
    );
  }
  const isNew = statSync(database, { throwIfNoEntry: false }) === undefined;
  if (isNew && [...entries(contents)].length > 0) {
    throw new StoreSetupError(
      "ENOENT",
      `${database} is missing, but ${contents} has contents of its messages: put the database back, or ` +
        "move that directory away",
    );
  }
  make(database);
  mkdirSync(contents, { recursive: true, mode: 0o700 });
  if (process.platform === "win32") return;
  const directory = openSync(dirname(database), "r");
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}

/** Makes an empty file; one that is there is not opened. */
function make(path: string): void {
  try {
    closeSync(openSync(path, "wx", 0o600));
  } catch (error) {
    if (codeOf(error) !== "EEXIST") throw openingError(path, error);
  }
}

/** A file without a row belongs to a message that never was acknowledged, or that was deleted. */
function deleteOrphans(db: DatabaseSync, files: QueueFiles): void {
  const { contents } = files;
  const find = db.prepare("select 1 from message where id = ? and in_file = 1");
  let isSound = false;
  for (const name of entries(contents)) {
    if (find.get(name) !== undefined) continue;
    // A damaged index does not find a row that is there.
    if (!isSound) assertSound(db, files);
    isSound = true;
    try {
      unlinkSync(join(contents, name));
    } catch (error) {
      // `queue delete` was quicker.
      if (codeOf(error) !== "ENOENT") throw error;
    }
  }
}

/** @throws StoreError if the rows and indexes of messages are damaged */
function assertSound(db: DatabaseSync, { database }: QueueFiles): void {
  const [first] = db.prepare("pragma integrity_check(message)").all();
  if (Object.values(first!)[0] !== "ok") throw damaged(database);
}

/** Names that can be those of contents. */
function* entries(contents: string): Generator<string> {
  let directory;
  try {
    directory = opendirSync(contents);
  } catch (error) {
    if (codeOf(error) === "ENOENT") return;
    throw storeError(contents, error);
  }
  try {
    for (let entry = directory.readSync(); entry !== null; entry = directory.readSync()) {
      if (entry.isFile() && isMessageId(entry.name)) yield entry.name;
    }
  } finally {
    directory.closeSync();
  }
}
