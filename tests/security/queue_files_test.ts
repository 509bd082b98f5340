// A user of the machine who can make files beside the queue's database: links and pipes in place of what
// the relay makes itself.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, it } from "node:test";
import { openSqliteAdministration } from "../../src/queue/sqlite/administration.ts";
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

  it("or that others can change, are warned about", async () => {
    const warnings: string[] = [];
    const open = async () => {
      warnings.length = 0;
      // On a disk of this machine, whatever the test runs on.
      const ext4 = { type: 0xef53, bsize: 4096, blocks: 1e6, bavail: 1e6 };
      const statfs = () => Promise.resolve(ext4);
      await (await openSqliteQueue(path, { statfs, warn: (text) => warnings.push(text) })).close();
      return warnings.map((text) => /^(\S+) can be changed by every user/.exec(text)?.[1]);
    };
    assert.deepEqual(await open(), [], "as the relay makes them");
    chmodSync(path, 0o666);
    chmodSync(`${path}.d`, 0o707);
    chmodSync(place.path, 0o777);
    assert.deepEqual(await open(), [place.path, path, `${path}.d`]);
    chmodSync(path, 0o664);
    chmodSync(`${path}.d`, 0o770);
    chmodSync(place.path, 0o1777);
    assert.deepEqual(await open(), []);
  });

  it("are neither read nor deleted by way of an id, not even by root's `queue delete`", async () => {
    const store = await openSqliteQueue(path);
    await store.add(newMessage("m1", { sealedSize: LARGE }));
    await store.add(newMessage("m2", { sealedSize: LARGE, mailbox: "m2" }));
    await store.close();
    const db = new DatabaseSync(path);
    for (const id of ["m1", "m2"]) {
      const out = id === "m1" ? "../victim" : victim;
      db.prepare("update message set id = ? where id = ?").run(out, id);
    }
    db.close();
    const again = await openSqliteQueue(path);
    const administration = await openSqliteAdministration(path);
    try {
      const [first, second] = await again.take(2, NOBODY);
      await assert.rejects(read(first!.content()), StoreError);
      await first!.remove();
      const found = await administration.find(second!.stored.id);
      await assert.rejects(read(found!.content()), StoreError);
      assert.equal(await administration.delete(second!.stored.id), "done");
      assert.equal(readFileSync(victim, "utf8"), OTHERS);
    } finally {
      await administration.close();
      await again.close();
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
