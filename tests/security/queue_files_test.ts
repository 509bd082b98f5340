// A user of the machine who can make files beside the queue's database: links and pipes in place of what
// the relay makes itself.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { openSqliteQueue } from "../../src/queue/sqlite/sqlite_queue.ts";
import { StoreError } from "../../src/queue/store.ts";
import { directory, newMessage, NOBODY, read } from "../queue/sqlite/support.ts";

const LARGE = 300 * 1024;
const OTHERS = "another program's file";

describe("files beside the queue that others have made", () => {
  let place: ReturnType<typeof directory>;
  let path: string;
  let victim: string;
  beforeEach(() => {
    place = directory();
    path = join(place.path, "queue.db");
    victim = join(place.path, "victim");
    writeFileSync(victim, OTHERS);
  });
  afterEach(() => place.remove());

  it("are not written to in place of the reserve", async () => {
    symlinkSync(victim, `${path}.reserve`);
    const store = await openSqliteQueue(path);
    await store.close();
    assert.equal(readFileSync(victim, "utf8"), OTHERS);
    assert(lstatSync(`${path}.reserve`).isFile());
  });

  it("are not written to in place of the lock", async () => {
    symlinkSync(victim, `${path}.lock`);
    await assert.rejects(openSqliteQueue(path), StoreError);
    assert.equal(readFileSync(victim, "utf8"), OTHERS);
  });

  it("are not written to in place of the database", async () => {
    symlinkSync(victim, path);
    await assert.rejects(openSqliteQueue(path), /is not an SQLite database/);
    assert.equal(readFileSync(victim, "utf8"), OTHERS);
  });

  it("are not deleted by a link in place of the directory of contents", async () => {
    await (await openSqliteQueue(path)).close();
    const others = join(place.path, "others");
    mkdirSync(others);
    writeFileSync(join(others, "0123456789abcdef"), OTHERS);
    rmSync(`${path}.d`, { recursive: true });
    symlinkSync(others, `${path}.d`);
    await assert.rejects(openSqliteQueue(path), /queue\.db\.d is not a directory/);
    assert.deepEqual(readdirSync(others), ["0123456789abcdef"]);
  });

  it("are not overwritten in place of a new content", async () => {
    const store = await openSqliteQueue(path);
    try {
      symlinkSync(victim, join(`${path}.d`, "m1"));
      await assert.rejects(store.add(newMessage("m1", { sealedSize: LARGE })), StoreError);
      assert.equal(readFileSync(victim, "utf8"), OTHERS);
    } finally {
      await store.close();
    }
  });

  it("are not read in place of a content, and a pipe holds nothing up", async () => {
    const store = await openSqliteQueue(path);
    try {
      for (const id of ["m1", "m2"]) {
        await store.add(newMessage(id, { sealedSize: LARGE, mailbox: id }));
        rmSync(join(`${path}.d`, id));
      }
      symlinkSync(victim, join(`${path}.d`, "m1"));
      execFileSync("mkfifo", [join(`${path}.d`, "m2")]);
      const [first, second] = await store.take(2, NOBODY);
      await assert.rejects(read(first!.content()), StoreError);
      assert.equal((await read(second!.content())).length, 0);
    } finally {
      await store.close();
    }
  });
});
