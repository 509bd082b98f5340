// What SQLite and the file system say, as errors of the store.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { storeError } from "../../../src/queue/sqlite/errors.ts";

describe("an error of SQLite or the file system", () => {
  // https://www.sqlite.org/rescode.html
  for (
    const [given, code, full] of [
      [{ errcode: 13, message: "database or disk is full" }, "SQLITE_FULL", true],
      // SQLITE_IOERR_SHMSIZE: the index of the log could not be made larger.
      [{ errcode: 4874, message: "disk I/O error" }, "SQLITE_FULL", true],
      [{ errcode: 778, message: "disk I/O error" }, "SQLITE_IOERR", false],
      [{ errcode: 267, message: "database disk image is malformed" }, "SQLITE_CORRUPT", false],
      [{ code: "ERR_SQLITE_ERROR", message: "database is locked" }, "SQLITE_BUSY", false],
      [{ code: "ENOSPC", message: "no space left on device" }, "ENOSPC", true],
      [{ code: "EDQUOT", message: "quota exceeded" }, "EDQUOT", true],
      [{ code: "EROFS", message: "read-only file system" }, "EROFS", false],
    ] as const
  ) {
    it(`${JSON.stringify(given)} is ${code}`, () => {
      const error = storeError("/queue.db", Object.assign(new Error(given.message), given));
      assert.deepEqual([error.code, error.full], [code, full]);
      assert.equal(error.message, `/queue.db: ${given.message} (${code})`);
    });
  }
});
