// The files of a queue: the database, what lies beside it, and the contents that are too large for a row.

import { constants } from "node:fs";
import { type FileHandle, open, unlink } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { free } from "../../octets.ts";
import { isMessageId, StoreError } from "../store.ts";
import { storeError } from "./errors.ts";

/**
 * While the database is open, no process that has it open may open it, its `-wal` or its `-shm` with
 * `node:fs`: closing any descriptor of a file drops all locks that the process has on it (fcntl(2)).
 */
export interface QueueFiles {
  readonly database: string;
  /** An empty database. The relay that holds it locked is the only one. */
  readonly lock: string;
  /** Takes up room that is given up when a full disk keeps messages from being deleted. */
  readonly reserve: string;
  /** Has a file for each large content, by the message's id. */
  readonly contents: string;
}

/** @param database without symbolic links */
export function filesOf(database: string): QueueFiles {
  return {
    database,
    lock: `${database}.lock`,
    reserve: `${database}.reserve`,
    contents: `${database}.d`,
  };
}

/**
 * Octets of sealed content up to which it is in a row. Up to about this, a row costs less than a file
 * with its two syncs; from there on it costs more, and a row is written and read in one call.
 */
export const MAX_IN_ROW = 256 * 1024;

/** Octets that are read at once. */
const READ = 256 * 1024;
/** Not what a link points to, and no waiting for the other end of a pipe. Windows has neither flag. */
const READ_FILE = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);

/**
 * @param id may come from a row that someone has changed
 * @throws StoreError if it is not the id of a message: it could lead to any other file
 */
export function contentFile({ contents }: QueueFiles, id: string): string {
  if (!isMessageId(id)) {
    throw new StoreError("EINVAL", `not the id of a message: ${JSON.stringify(id)}`);
  }
  return join(contents, id);
}

/**
 * Writes a content and resolves once it is on stable storage under its name. On the main thread, not
 * in the store's worker: `node:fs/promises` does the work in threads of its own, a piece at a time as it
 * is sealed, and nothing needs to be copied into another thread.
 *
 * @throws StoreError; then there is no file
 */
export async function writeContent(
  files: QueueFiles,
  id: string,
  pieces: AsyncIterable<Uint8Array>,
): Promise<void> {
  const path = contentFile(files, id);
  let isOurs = false;
  try {
    const file = await open(path, "wx", 0o600);
    isOurs = true;
    try {
      for await (const piece of pieces) {
        await writeAll(file, piece);
        free(piece);
      }
      await file.datasync();
    } finally {
      await file.close();
    }
    await syncDirectory(files.contents);
  } catch (error) {
    if (isOurs) await deleteContent(files, id);
    throw storeError(path, error);
  }
}

/** @throws StoreError */
export async function* readContent(files: QueueFiles, id: string): AsyncGenerator<Uint8Array> {
  const path = contentFile(files, id);
  let file: FileHandle | undefined;
  try {
    file = await open(path, READ_FILE);
    const memory = new Uint8Array(READ);
    while (true) {
      const { bytesRead } = await file.read(memory, 0, READ);
      if (bytesRead === 0) return;
      yield memory.subarray(0, bytesRead);
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw storeError(path, error);
    throw new StoreError(
      "ENOENT",
      `${path} is missing: it has the content of message ${id}, which stays in the queue`,
    );
  } finally {
    await file?.close();
  }
}

/** What cannot be deleted stays until the next start, which finds no row for it. */
export async function deleteContent(files: QueueFiles, id: string): Promise<void> {
  if (isMessageId(id)) await unlink(contentFile(files, id)).catch(() => {});
}

/** Writes the names in a directory to stable storage. Windows does not let a directory be opened. */
async function syncDirectory(path: string): Promise<void> {
  if (process.platform === "win32") return;
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

async function writeAll(file: FileHandle, octets: Uint8Array): Promise<void> {
  let written = 0;
  while (written < octets.length) {
    written += (await file.write(octets, written, octets.length - written)).bytesWritten;
  }
}
