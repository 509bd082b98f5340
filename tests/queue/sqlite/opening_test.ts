// What keeps a queue from being opened, and that it is said clearly.

import assert from "node:assert/strict";
import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { afterEach, beforeEach, describe, it } from "node:test";
import { DatabaseSync } from "node:sqlite";
import { openSqliteAdministration } from "../../../src/queue/sqlite/administration.ts";
import { StoreSetupError } from "../../../src/queue/sqlite/errors.ts";
import { filesOf } from "../../../src/queue/sqlite/files.ts";
import { openQueue } from "../../../src/queue/sqlite/open_queue.ts";
import { MIGRATIONS, setUp } from "../../../src/queue/sqlite/schema.ts";
import {
  openSqliteQueue,
  type SqliteQueueOptions,
} from "../../../src/queue/sqlite/sqlite_queue.ts";
import {
  contentFor,
  directory,
  ids,
  newMessage,
  NOBODY,
  noSmallDisk,
  read,
  smallDisk,
  takeAll,
  Writer,
} from "./support.ts";

describe("opening a SQLite queue", () => {
  let place: ReturnType<typeof directory>;
  let path: string;
  beforeEach(() => {
    place = directory();
    path = join(place.path, "queue.db");
  });
  afterEach(() => place.remove());

  /** One line that names the file. */
  const rejects = async (
    message: RegExp,
    options: SqliteQueueOptions = {},
    file = path,
  ): Promise<void> => {
    await assert.rejects(openSqliteQueue(file, options), (error) => {
      assert(error instanceof StoreSetupError, String(error));
      assert.match(error.message, message);
      assert(error.message.includes(file), error.message);
      assert(!error.message.includes("\n"));
      assert.equal(error.full, false);
      return true;
    });
  };

  it("is for one process, until that one ends, even by kill -9", async () => {
    const other = new Writer(path, "a", "1", "1", "10");
    await other.untilLines(2);
    await rejects(/is in use by another relay, which holds .*queue\.db\.lock: .*azure-storage:/);
    const administration = await openSqliteAdministration(path);
    assert.deepEqual((await administration.list(9)).map(({ id }) => id), ["a-0"]);
    assert.equal(await administration.delete("a-0"), "done");
    await administration.close();
    await rejects(/is in use by another relay/);
    await other.kill();
    await (await openSqliteQueue(path)).close();
  });

  it("is for one relay in a process too, whatever name it has for the file", async () => {
    const store = await openSqliteQueue(path);
    const link = join(place.path, "link.db");
    symlinkSync(path, link);
    await assert.rejects(openSqliteQueue(link), /is in use by another relay/);
    await rejects(/is in use by another relay/);
    await store.add(newMessage("a"));
    await store.close();
    const through = await openSqliteQueue(link);
    assert.equal(through.usage().messages.queued, 1);
    await through.close();
  });

  it("is refused on network file systems, by name", async () => {
    const on = (type: number) => ({
      statfs: () => Promise.resolve({ type, bsize: 4096, blocks: 1000, bavail: 1000 }),
    });
    await rejects(/is on SMB: .*azure-storage:/, on(0xff534d42));
    await rejects(/is on SMB/, on(0xfe534d42));
    await rejects(/is on SMB/, on(0xfe534d42 | 0));
    await rejects(/is on SMB/, on(0x517b));
    await rejects(/is on NFS/, on(0x6969));
    assert.deepEqual(readdirSync(place.path), [], "and nothing is made");
    const warnings: string[] = [];
    const warn = (text: string) => void warnings.push(text);
    await (await openSqliteQueue(path, { ...on(0x65735546), warn })).close();
    assert.match(warnings.join("\n"), /^.*queue\.db is on FUSE: [^\n]+$/);
    const store = await openSqliteQueue(path, { ...on(0xef53), warn });
    assert.equal(warnings.length, 1);
    await store.add(newMessage("a"));
    await store.add(newMessage("b", { sealedSize: 300_000 }));
    await store.close();
    const names = readdirSync(place.path);
    await rejects(/is on SMB/, on(0xff534d42));
    assert.deepEqual(readdirSync(place.path), names);
    const again = await openSqliteQueue(path);
    const taken = await takeAll(again);
    assert.deepEqual(ids(taken), ["a", "b"], "all is there on a file system that holds it");
    assert((await read(taken[1]!.content())).equals(contentFor("b", 300_000)));
    await again.close();
  });

  it("needs its directory", async () => {
    const file = join(place.path, "missing", "queue.db");
    await rejects(/its directory is missing: make it/, {}, file);
    // Nobody can make a file there.
    if (process.platform === "linux") await rejects(/cannot be made/, {}, "/proc/queue.db");
  });

  it("needs to write", { skip: noSmallDisk }, async () => {
    const disk = smallDisk(40_000_000);
    try {
      const file = join(disk.path, "queue.db");
      disk.remount("ro");
      await rejects(/cannot be written \(EROFS\)/, {}, file);
      disk.remount("rw");
      const store = await openSqliteQueue(file);
      await store.add(newMessage("a"));
      await store.close();
      disk.remount("ro");
      await rejects(/cannot be written \(\w+\): the relay's user must own/, {}, file);
      await assert.rejects(openSqliteAdministration(file), /queue\.db cannot be written/);
      disk.remount("rw");
      const again = await openSqliteQueue(file);
      assert.equal(again.usage().messages.queued, 1);
      await again.close();
    } finally {
      disk.remove();
    }
  });

  it("is refused for what is no database, and leaves it as it is", async () => {
    const text = "a list of things to do\n".repeat(1000);
    writeFileSync(path, text);
    await rejects(/is not an SQLite database/);
    await assert.rejects(openSqliteAdministration(path), /is not an SQLite database/);
    assert.equal(readFileSync(path, "utf8"), text);
    mkdirSync(join(place.path, "folder.db"));
    await rejects(/folder\.db is a directory: name a file/, {}, join(place.path, "folder.db"));
    await assert.rejects(openSqliteAdministration(join(place.path, "folder.db")), /is a directory/);
    assert.deepEqual(readdirSync(place.path).filter((name) => name.startsWith("folder")), [
      "folder.db",
    ], "and nothing is made beside it");
  });

  it("is refused for another program's database", async () => {
    const db = new DatabaseSync(path);
    db.exec("create table appointment (day text)");
    db.close();
    await rejects(/is a database of another program/);
    await assert.rejects(openSqliteAdministration(path), /is a database of another program/);
  });

  it("is refused for a database of a newer version", async () => {
    await (await openSqliteQueue(path)).close();
    const db = new DatabaseSync(path);
    db.exec(`pragma user_version = ${MIGRATIONS.length + 1}`);
    db.close();
    await rejects(/was made by a newer version of this program \(its schema is 4,.* up to 3\)/);
    await assert.rejects(openSqliteAdministration(path), /was made by a newer version/);
  });

  it("is refused for a damaged database", async () => {
    const store = await openSqliteQueue(path);
    for (let index = 0; index < 50; index++) await store.add(newMessage(`${index}`));
    await store.close();
    const octets = readFileSync(path);
    octets.fill(0xaa, 100, 4096);
    writeFileSync(path, octets);
    await rejects(/queue\.db is damaged: keep a copy/);
  });

  it("is refused where the database is gone and its contents are there", async () => {
    const store = await openSqliteQueue(path);
    await store.add(newMessage("a", { sealedSize: 300_000 }));
    await store.close();
    rmSync(path);
    await rejects(/is missing, but .*queue\.db\.d has contents/);
    assert.deepEqual(readdirSync(`${path}.d`), ["a"]);
    await rejects(/is missing, but/);
  });

  it("deletes contents that have no row: their messages were not acknowledged, or are deleted", async () => {
    const store = await openSqliteQueue(path);
    await store.add(newMessage("a", { sealedSize: 300_000 }));
    await store.close();
    copyFileSync(join(`${path}.d`, "a"), join(`${path}.d`, "b"));
    writeFileSync(join(`${path}.d`, "not one of ours.txt"), "");
    const again = await openSqliteQueue(path);
    assert.deepEqual(readdirSync(`${path}.d`).sort(), ["a", "not one of ours.txt"]);
    const [taken] = await again.take(1, NOBODY);
    assert((await read(taken!.content())).equals(contentFor("a", 300_000)));
    await again.close();
  });

  it("is not kept from it by a command that deletes the same content", async () => {
    const store = await openSqliteQueue(path);
    await store.close();
    const file = join(`${path}.d`, "a");
    writeFileSync(file, "");
    class WithCommand extends DatabaseSync {
      override prepare(sql: string) {
        const statement = super.prepare(sql);
        if (!sql.includes("in_file = 1")) return statement;
        const get = statement.get.bind(statement);
        return Object.assign(statement, {
          get(name: string) {
            const row = get(name);
            rmSync(file);
            return row;
          },
        });
      }
    }
    const { db, unlock } = openQueue({ DatabaseSync: WithCommand }, filesOf(path));
    db.close();
    unlock();
  });

  it("brings an older database to the newest form, step by step, or leaves it", () => {
    const db = new DatabaseSync(path);
    const versions = [
      "create table a (x) strict",
      "alter table a add y any",
      "create table c (z any) strict",
    ];
    versions[0] = "create table a (x any) strict";
    setUp(db, path, versions.slice(0, 1));
    db.exec("insert into a values (7)");
    assert.throws(() => setUp(db, path, [...versions.slice(0, 2), "create nonsense"]), /syntax/);
    const version = () => db.prepare("pragma user_version").get()!["user_version"];
    assert.equal(version(), 2, "as far as it goes");
    setUp(db, path, versions);
    setUp(db, path, versions);
    assert.equal(version(), 3);
    assert.deepEqual({ ...db.prepare("select * from a").get() }, { x: 7, y: null });
    db.close();
  });

  it("counts what accounts have that a first version has stored", async () => {
    const db = new DatabaseSync(path);
    setUp(db, path, MIGRATIONS.slice(0, 1));
    const add = db.prepare(
      `insert into message (id, state, ready, head, due, attempts, code, received, size, octets, in_file,
         mailbox, account, connection, record, note)
       values (?, 'held', null, 0, 0, 0, '', 0, 1, 100, 0, 'm', ?, 'c', x'', x'')`,
    );
    for (const [id, account] of [["1", "a"], ["2", "a"], ["3", "b"]] as const) add.run(id, account);
    db.close();
    const store = await openSqliteQueue(path);
    assert.deepEqual(await store.share("a"), { messages: 2, octets: 200, isAlone: false });
    await store.close();
  });

  it("knows when the dead messages were given up that a second version has stored", async () => {
    const db = new DatabaseSync(path);
    setUp(db, path, MIGRATIONS.slice(0, 2));
    const add = db.prepare(
      `insert into message (id, state, ready, head, due, attempts, code, received, size, octets, in_file,
         mailbox, account, connection, record, note)
       values (?, ?, null, 0, ?, 0, '', 0, 1, 100, 0, 'm', 'a', 'c', x'', x'')`,
    );
    add.run("1", "held", 1000);
    add.run("2", "dead", 3000);
    add.run("3", "dead", 2000);
    db.close();
    const store = await openSqliteQueue(path);
    assert.equal(store.usage().oldestDead, 2000);
    await store.close();
  });

  it("leaves what it needs for stable storage switched on", async () => {
    const store = await openSqliteQueue(path);
    const db = new DatabaseSync(path);
    const pragma = (name: string) => Object.values(db.prepare(`pragma ${name}`).get()!)[0];
    assert.equal(pragma("journal_mode"), "wal");
    assert.equal(pragma("auto_vacuum"), 2, "incremental");
    db.close();
    await store.close();
  });
});
