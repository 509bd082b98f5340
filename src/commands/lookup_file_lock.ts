// One program at a time changes LOOKUP_FILE: a lock that the kernel frees, also after `kill -9`.

import { chownSync, closeSync, openSync } from "node:fs";
import type { DatabaseSync } from "node:sqlite";
import type { Owner } from "./lookup_file_store.ts";

/** Milliseconds that a change waits for the others. */
const TIMEOUT = 20_000;

/**
 * Waits for the lock, which is an exclusive transaction of an empty SQLite database beside the file:
 * the same on all systems and both runtimes.
 *
 * @param path of the file itself, not of a link to it: all who change it must come to the same lock
 * @param owner of the file
 * @returns frees it
 * @throws Error with a `code`; undefined result if another program has held it for too long
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
    db = new DatabaseSync(name);
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
  try {
    closeSync(openSync(name, "wx", 0o600));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    return;
  }
  try {
    if (uid !== undefined && gid !== undefined) chownSync(name, uid, gid);
  } catch {
    // Not root: it can only be this user's.
  }
}
