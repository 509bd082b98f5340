// What SQLite and the file system say, as errors of the store.

import { StoreError } from "../store.ts";

/** The store cannot be opened, and will not be until somebody changes something. */
export class StoreSetupError extends StoreError {}

/** An error that can pass from one thread to another. */
export interface ErrorFacts {
  readonly code: string;
  readonly message: string;
  readonly full: boolean;
  readonly setup: boolean;
}

export function factsOf(error: StoreError): ErrorFacts {
  const { code, message, full } = error;
  return { code, message, full, setup: error instanceof StoreSetupError };
}

export function errorOf({ code, message, full, setup }: ErrorFacts): StoreError {
  return setup ? new StoreSetupError(code, message) : new StoreError(code, message, full);
}

/** Result codes of SQLite (https://www.sqlite.org/rescode.html): the low octet of `errcode`. */
const CODES: Readonly<Record<number, string>> = {
  5: "SQLITE_BUSY",
  6: "SQLITE_LOCKED",
  7: "SQLITE_NOMEM",
  8: "SQLITE_READONLY",
  10: "SQLITE_IOERR",
  11: "SQLITE_CORRUPT",
  13: "SQLITE_FULL",
  14: "SQLITE_CANTOPEN",
  18: "SQLITE_TOOBIG",
  19: "SQLITE_CONSTRAINT",
  26: "SQLITE_NOTADB",
};

/** One runtime's constructor gives the text alone. */
const TEXTS: readonly (readonly [RegExp, string])[] = [
  [/database is locked/, "SQLITE_BUSY"],
  [/readonly database/, "SQLITE_READONLY"],
  [/disk I\/O error/, "SQLITE_IOERR"],
  [/malformed/, "SQLITE_CORRUPT"],
  [/disk is full/, "SQLITE_FULL"],
  [/unable to open/, "SQLITE_CANTOPEN"],
  [/not a database/, "SQLITE_NOTADB"],
];

/** The file of shared memory beside the database could not be made larger: no room either. */
const IOERR_SHMSIZE = 4874;

const FULL = new Set(["SQLITE_FULL", "ENOSPC", "EDQUOT"]);

const DAMAGED = new Set(["SQLITE_CORRUPT", "SQLITE_NOTADB"]);

/** Whether SQLite has found the database damaged. */
export function isDamage({ code }: Pick<StoreError, "code">): boolean {
  return DAMAGED.has(code);
}

export function damaged(database: string): StoreError {
  return new StoreError("SQLITE_CORRUPT", `${database} is damaged (SQLITE_CORRUPT)`);
}

/** @param path of the database or the file that it happened to */
export function storeError(path: string, error: unknown): StoreError {
  if (error instanceof StoreError) return error;
  const { code, full, text } = read(error);
  return new StoreError(code, `${path}: ${text} (${code})`, full);
}

/** @returns such as `SQLITE_FULL` or `ENOENT` */
export function codeOf(error: unknown): string {
  return error instanceof StoreError ? error.code : read(error).code;
}

function read(error: unknown): { code: string; full: boolean; text: string } {
  const { code = "", errcode, message: text } = error as Error & {
    readonly code?: string;
    readonly errcode?: number;
  };
  if (errcode === IOERR_SHMSIZE) return { code: "SQLITE_FULL", full: true, text };
  const named = errcode !== undefined
    ? CODES[errcode & 0xff] ?? `SQLITE_${errcode}`
    : code === "" || code === "ERR_SQLITE_ERROR"
    ? TEXTS.find(([pattern]) => pattern.test(text))?.[1] ?? "SQLITE_ERROR"
    : code;
  return { code: named, full: FULL.has(named), text };
}
