// Where the database of a queue is, and whether it can be there.

import { realpath, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import process from "node:process";
import { codeOf, storeError, StoreSetupError } from "./errors.ts";
import { type FileSystemFacts, fileSystemOf, type Statfs, statfs } from "./file_system.ts";
import type { QueueFiles } from "./files.ts";

/**
 * The path of the database without symbolic links: relays that come to the same file by different paths
 * must come to the same lock.
 *
 * @throws StoreSetupError if its directory is not there
 */
export async function placeOf(path: string): Promise<string> {
  const absolute = resolve(path);
  let place: string;
  try {
    place = await realpath(absolute).catch(async () =>
      // There is no such file yet.
      join(await realpath(dirname(absolute)), basename(absolute))
    );
  } catch (error) {
    const code = codeOf(error);
    throw new StoreSetupError(
      code,
      code === "ENOENT"
        ? `${absolute}: its directory is missing: make it, or name another place in QUEUE_URL`
        : `${absolute}: its directory cannot be read (${code})`,
    );
  }
  await refuseDirectory(place);
  return place;
}

/** @throws StoreSetupError if the path of a database is a directory, beside which files would be made */
export async function refuseDirectory(path: string): Promise<void> {
  const stats = await stat(path).catch(() => undefined);
  if (stats?.isDirectory()) {
    throw new StoreSetupError(
      "EISDIR",
      `${path} is a directory: name a file in it, such as ${join(path, "queue.db")}`,
    );
  }
}

/** Others may write. */
const OTHERS_WRITE = 0o002;
/** In a directory: they may not replace what belongs to somebody else. */
const STICKY = 0o1000;

/**
 * Warns if every user of the machine can change the queue. The relay itself makes files for its own user
 * alone, but the directory, and files that were there before, are not its own.
 *
 * @param warn gets a line for each file and directory
 */
export async function warnOfOthers(
  { database, contents }: Pick<QueueFiles, "database" | "contents">,
  warn: (text: string) => void,
): Promise<void> {
  // Windows has no such modes.
  if (process.platform === "win32") return;
  for (const path of [dirname(database), database, contents]) {
    const mode = (await stat(path).catch(() => undefined))?.mode ?? 0;
    if ((mode & OTHERS_WRITE) === 0 || path === dirname(database) && (mode & STICKY) !== 0) {
      continue;
    }
    warn(
      `${path} can be changed by every user of this machine: they could delete mail, or have it sent again. ` +
        "Take that right away (chmod o-w), or name another place in QUEUE_URL",
    );
  }
}

/** @throws StoreError if the database's file system cannot hold a queue */
export async function diskOf(
  database: string,
  { statfs: ask = statfs, warn }: {
    readonly statfs?: Statfs;
    readonly warn?: (text: string) => void;
  },
): Promise<FileSystemFacts> {
  const directory = dirname(database);
  let facts: FileSystemFacts;
  try {
    facts = await ask(directory);
  } catch (error) {
    throw storeError(directory, error);
  }
  const { name, verdict, reason } = fileSystemOf(facts);
  if (verdict === "refused") {
    throw new StoreSetupError(
      "FILE_SYSTEM",
      `${database} is on ${name}: ${reason}. Put it on a disk of this machine, or use azure-storage: ` +
        "in QUEUE_URL",
    );
  }
  if (verdict === "doubtful") warn?.(`${database} is on ${name}: ${reason}`);
  return facts;
}
