// One program at a time changes LOOKUP_FILE: a lock that the kernel frees, also after `kill -9`.

import { closeSync, fchownSync, lstatSync, openSync } from "node:fs";
import type { DatabaseSync } from "node:sqlite";
import { pathToFileURL } from "node:url";
import type { Owner } from "./lookup_file_store.ts";

/** Milliseconds that a change waits for the others. */
const TIMEOUT = 20_000;

/** What is in the place of the lock is not the lock. */
export class ForeignLock extends Error {
  override readonly name = "ForeignLock";
}

/**
 * Waits for the lock, which is an exclusive transaction of an empty SQLite database beside the file:
 * the same on all systems and both runtimes.
 *
 * @param path of the file itself, not of a link to it: all who change it must come to the same lock
 * @param owner of the file
 * @returns frees it
 * @throws ForeignLock, or an Error with a `code`; undefined result if another program has held it for too long
 */
export async function lockFile(
  path: string,
  owner: Owner,
): Promise<(() => void) | undefined> {
  const name = `${path}.lock`;
  make(name, owner);
  const { DatabaseSync } = await import("node:sqlite");
  let db: DatabaseSync | undefined;
  try {
    // Opened as it is and never made: SQLite follows a link to wherever it leads.
    const url = pathToFileURL(name);
    url.searchParams.set("mode", "rw");
    db = new DatabaseSync(url.href);
    db.exec(`pragma busy_timeout = ${TIMEOUT}`);
    // Nothing is ever written, but a journal in a file would need room.
    db.prepare("pragma journal_mode = memory").get();
    db.exec("begin exclusive");
    const held = db;
    return () => held.close();
  } catch (error) {
    db?.close();
    if (/locked|SQLITE_BUSY/.test(String(error))) return undefined;
    throw error;
  }
}

/** With the owner of the file, so that root does not keep the file's own user out. */
function make(name: string, { uid, gid }: Owner): void {
  let lock: number;
  try {
    lock = openSync(name, "wx", 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    if (lstatSync(name, { throwIfNoEntry: false })?.isFile() !== false) return;
    throw new ForeignLock(`${name} is not a regular file: remove it`);
  }
  try {
    // Not by its name: the directory may be another user's, who puts a link there meanwhile.
    if (uid !== undefined && gid !== undefined) fchownSync(lock, uid, gid);
  } catch {
    // Not root: it can only be this user's.
  } finally {
    closeSync(lock);
  }
}
