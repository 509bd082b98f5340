// The entries of LOOKUP_FILE for `lookup`. A change writes a new file and renames it, so that the relay
// reads the old one or the new one and nothing between.

import {
  closeSync,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  lstatSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import process from "node:process";
import { isDeepStrictEqual } from "node:util";
import type { Row } from "../accounts/entry.ts";
import { LookupFileError } from "../accounts/lookup_file.ts";
import { BYTE_ORDER_MARK, MAX_FILE, readLookupFile } from "../accounts/lookup_file_content.ts";
import { EMPTY_FILE, withChanges, withoutEntry } from "../accounts/lookup_file_edit.ts";
import { LookupFileReader, SCHEMA_KEY } from "../accounts/lookup_file_reader.ts";
import type { Change } from "../accounts/lookup_table.ts";
import { CommandError, EXIT } from "../exit.ts";
import { fileErrorText } from "../settings/file_error.ts";
import type { Changes } from "./lookup_arguments.ts";
import { ForeignLock, lockFile } from "./lookup_file_lock.ts";
import type { EntryStore } from "./lookup_store.ts";
import { shown } from "./printed.ts";

export class LookupFileStore implements EntryStore {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  async find(id: string): Promise<Row | undefined> {
    return (await this.list()).find((row) => row.id === id);
  }

  async list(): Promise<readonly Row[]> {
    const content = await this.#read();
    if (content === undefined) {
      throw this.#failure("there is no such file; lookup set creates it");
    }
    return this.#rows(content.text);
  }

  async set(id: string, changes: Changes, make: boolean): Promise<Change> {
    if (id === SCHEMA_KEY) throw this.#failure(`${SCHEMA_KEY} can be no id there`);
    return await this.#change((rows, text) => {
      const known = rows.find((row) => row.id === id);
      if (known === undefined && !make) return "missing";
      const columns: Record<string, unknown> = { ...known?.columns };
      for (const [name, value] of Object.entries(changes)) {
        if (value === undefined) delete columns[name];
        else columns[name] = value;
      }
      const row = { id, columns };
      return {
        text: withChanges(text, id, changes),
        rows: known === undefined ? [...rows, row] : rows.map((one) => one === known ? row : one),
        change: known === undefined ? "created" : "changed",
      };
    });
  }

  async delete(id: string): Promise<Change> {
    return await this.#change((rows, text) => {
      if (!rows.some((row) => row.id === id)) return "missing";
      const rest = rows.filter((row) => row.id !== id);
      return { text: withoutEntry(text, id), rows: rest, change: "deleted" };
    });
  }

  /** @param edit the new text and what a reader must find in it; or the result, without a change */
  async #change(
    edit: (rows: readonly Row[], text: string) => Edit | Change,
  ): Promise<Change> {
    const target = this.#target();
    const unlock = await this.#lock(target, ownerOf(target));
    try {
      const content = await this.#read();
      const { text = EMPTY_FILE, hasMark = false } = content ?? {};
      const edited = edit(this.#rows(text), text);
      if (typeof edited === "string") return edited;
      // What a fault in the edit would destroy is worth a second look.
      if (!isDeepStrictEqual(this.#rows(edited.text), edited.rows)) {
        throw new Error("the edit of LOOKUP_FILE has not the result that it should have");
      }
      this.#replace(target, (hasMark ? BYTE_ORDER_MARK : "") + edited.text);
      return edited.change;
    } finally {
      unlock();
    }
  }

  /** The file itself, where LOOKUP_FILE is a symbolic link to it. */
  #target(): string {
    const path = resolve(this.#path);
    try {
      return realpathSync(path);
    } catch (error) {
      const isLink = lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink();
      if (isLink) throw this.#failure("it is a symbolic link to a file that does not exist");
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw this.#unwritable(error, path);
      try {
        return join(realpathSync(dirname(path)), basename(path));
      } catch (parent) {
        throw this.#unwritable(parent, path);
      }
    }
  }

  async #lock(target: string, owner: Owner): Promise<() => void> {
    let unlock: (() => void) | undefined;
    try {
      unlock = await lockFile(target, owner);
    } catch (error) {
      if (error instanceof ForeignLock) throw this.#failure(error.message);
      throw this.#unwritable(error, target);
    }
    if (unlock !== undefined) return unlock;
    throw this.#failure("another program is changing it for 20 seconds already");
  }

  async #read(): Promise<Awaited<ReturnType<typeof readLookupFile>> | undefined> {
    try {
      return await readLookupFile(this.#path);
    } catch (error) {
      if (error instanceof LookupFileError) throw this.#failure(error.message);
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw this.#failure(`cannot be read: ${fileErrorText(error)}`);
    }
  }

  #rows(text: string): Row[] {
    const reader = new LookupFileReader(text);
    const rows: Row[] = [];
    try {
      for (let row = reader.next(); row !== undefined; row = reader.next()) rows.push(row);
    } catch (error) {
      if (error instanceof LookupFileError) throw this.#failure(error.message);
      throw error;
    }
    return rows;
  }

  /** Keeps owner and mode of the file. The lock is held. */
  #replace(target: string, text: string): void {
    const octets = new TextEncoder().encode(text);
    if (octets.length > MAX_FILE) throw this.#failure("it would become larger than 16 MiB");
    const made = `${target}.new`;
    try {
      // Of a program that was killed: the lock is this one's.
      rmSync(made, { force: true });
      const file = openSync(made, "wx", 0o600);
      try {
        writeFileSync(file, octets);
        this.#keepOwner(file, ownerOf(target));
        fsyncSync(file);
      } finally {
        closeSync(file);
      }
      renameSync(made, target);
    } catch (error) {
      rmSync(made, { force: true });
      throw error instanceof CommandError ? error : this.#unwritable(error, target);
    }
    syncDirectory(dirname(target));
  }

  #keepOwner(file: number, { mode, uid, gid }: Owner): void {
    if (process.platform === "win32") return;
    const own = fstatSync(file);
    try {
      if (uid !== undefined && (own.uid !== uid || own.gid !== gid)) fchownSync(file, uid, gid!);
    } catch {
      throw this.#failure(`only its owner (user ${uid}, group ${gid}) and root can change it`);
    }
    // After the owner: a change of that may take bits away.
    fchmodSync(file, mode & 0o7777);
  }

  #unwritable(error: unknown, target: string): CommandError {
    const code = (error as NodeJS.ErrnoException).code ?? "";
    if (code === "EBUSY" || code === "EXDEV") {
      return this.#failure(
        `it cannot be replaced (${code}): it is mounted as a single file; mount its directory instead, ` +
          "or change the file where it comes from",
      );
    }
    return this.#failure(
      `the directory ${dirname(target)} cannot be written: ${
        fileErrorText(error)
      }; lookup writes a ` +
        "new file there",
    );
  }

  #failure(problem: string): CommandError {
    return new CommandError(EXIT.failure, [`LOOKUP_FILE ${shown(this.#path)}: ${problem}`]);
  }
}

/** The owner and the mode that the file is to have. */
export interface Owner {
  readonly mode: number;
  /** Left out: of the user who runs the program. */
  readonly uid?: number;
  readonly gid?: number;
}

/**
 * The owner of the file. A file that root creates gets the owner of its directory, which is the relay's
 * user for a state directory of systemd.
 */
function ownerOf(target: string): Owner {
  const file = statSync(target, { throwIfNoEntry: false });
  if (file !== undefined) return file;
  if (process.getuid?.() !== 0) return { mode: 0o600 };
  const directory = statSync(dirname(target), { throwIfNoEntry: false });
  if (directory === undefined) return { mode: 0o600 };
  const { uid, gid } = directory;
  return { mode: 0o600, uid, gid };
}

interface Edit {
  readonly text: string;
  readonly rows: readonly Row[];
  readonly change: Change;
}

/** So that the rename is on the disk, too. */
function syncDirectory(path: string): void {
  if (process.platform === "win32") return;
  const directory = openSync(path, "r");
  try {
    fsyncSync(directory);
  } catch {
    // Some file systems do not sync directories.
  } finally {
    closeSync(directory);
  }
}
