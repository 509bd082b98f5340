// A database that is damaged where the opening does not look: it is said clearly, nothing more is
// acknowledged, nothing is deleted, and everything is there once the damage is undone.

import assert from "node:assert/strict";
import { copyFileSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, it } from "node:test";
import { StoreSetupError } from "../../../src/queue/sqlite/errors.ts";
import { openSqliteQueue } from "../../../src/queue/sqlite/sqlite_queue.ts";
import { StoreError } from "../../../src/queue/store.ts";
import { contentFor, directory, ids, newMessage, NOBODY, read, takeAll } from "./support.ts";

const PAGE = 4096;
const LARGE = 300_000;

describe("a damaged SQLite queue", () => {
  let place: ReturnType<typeof directory>;
  let path: string;
  let copy: string;
  let sizes: ReadonlyMap<string, number>;
  beforeEach(async () => {
    place = directory();
    path = join(place.path, "queue.db");
    copy = join(place.path, "copy");
    sizes = new Map(
      Array.from({ length: 40 }, (_, index) => [`m-${index}`, index % 10 === 3 ? LARGE : 1000]),
    );
    const store = await openSqliteQueue(path);
    for (const [id, sealedSize] of sizes) {
      // A page has three of these records.
      await store.add(newMessage(id, { sealedSize, mailbox: id, record: contentFor(id, 1000) }));
    }
    await store.close();
    copyFileSync(path, copy);
  });
  afterEach(() => place.remove());

  /**
   * Overwrites a page of a table or an index: its root, or the child of one of the root's cells
   * (https://www.sqlite.org/fileformat2.html#b_tree_pages).
   */
  const damage = (name: string, overwrite: (page: Uint8Array) => void, child?: number) => {
    const db = new DatabaseSync(path, { readOnly: true });
    const row = db.prepare("select rootpage from sqlite_schema where name = ?").get(name);
    db.close();
    const file = readFileSync(path);
    const page = (number: number) => file.subarray((number - 1) * PAGE, number * PAGE);
    const root = page(row!["rootpage"] as number);
    const cell = (index: number) => root.readUInt32BE(root.readUInt16BE(12 + 2 * index));
    overwrite(child === undefined ? root : page(cell(child)));
    writeFileSync(path, file);
  };
  const garbage = (page: Uint8Array) => void page.fill(0xaa);
  const files = () => readdirSync(`${path}.d`).sort();
  const large = [...Array(4).keys()].map((index) => `m-${index * 10 + 3}`).sort();
  const isDamage = (error: unknown) => {
    assert(error instanceof StoreError);
    assert.equal(error.code, "SQLITE_CORRUPT");
    assert.equal(error.full, false);
    assert(error.message.includes(path) && !error.message.includes("\n"), error.message);
    return true;
  };
  /** The damage is undone. */
  const assertWhole = async () => {
    copyFileSync(copy, path);
    const store = await openSqliteQueue(path);
    const taken = await takeAll(store);
    assert.deepEqual(ids(taken), [...sizes.keys()]);
    for (const message of taken) {
      const { id } = message.stored;
      assert((await read(message.content())).equals(contentFor(id, sizes.get(id)!)));
    }
    await store.close();
  };

  it("takes nothing more once the damage is seen, and has all when it is undone", async () => {
    damage("message_head", garbage);
    const store = await openSqliteQueue(path);
    await assert.rejects(store.take(10, NOBODY), isDamage);
    await assert.rejects(store.add(newMessage("more")), isDamage);
    await assert.rejects(store.add(newMessage("large", { sealedSize: LARGE })), isDamage);
    assert.deepEqual(files(), large, "nothing half stored, and nothing deleted");
    await store.close().catch(() => {});
    await assertWhole();
  });

  it("takes nothing more although there is room for it where nothing is damaged", async () => {
    damage("message", garbage, 2);
    const store = await openSqliteQueue(path);
    await store.add(newMessage("more"));
    await assert.rejects(store.take(10, NOBODY), isDamage);
    await assert.rejects(store.add(newMessage("after")), isDamage);
    assert.deepEqual(ids(await store.take(1, NOBODY)), ["m-0"], "what can be read goes on");
    await store.close();
    await assertWhole();
  });

  it("is not opened if the rows of its large contents cannot be read", async () => {
    damage("message", garbage, 1);
    await assert.rejects(openSqliteQueue(path), (error) => {
      assert(error instanceof StoreSetupError);
      assert.match(error.message, /queue\.db is damaged: keep a copy/);
      return isDamage(error);
    });
    assert.deepEqual(files(), large);
    await assertWhole();
  });

  it("gives no content that it cannot read, and keeps the message", async () => {
    damage("content", garbage);
    const store = await openSqliteQueue(path);
    const [taken] = await store.take(1, NOBODY);
    await assert.rejects(read(taken!.content()), isDamage);
    const { state, due, attempts, code, note } = taken!.stored;
    await taken!.giveBack({ state, due, attempts, code, note });
    await assert.rejects(store.add(newMessage("more")), isDamage);
    assert.equal(store.usage().messages.queued, sizes.size);
    await store.close();
    await assertWhole();
  });

  it("does not take contents for orphans because an index does not find their rows", async () => {
    // An empty leaf of an index: no error for SQLite.
    damage("sqlite_autoindex_message_1", (page) => {
      page.fill(0);
      page.set([0x0a, 0, 0, 0, 0, 0x10, 0x00, 0]);
    });
    await assert.rejects(openSqliteQueue(path), (error) => {
      assert(error instanceof StoreSetupError);
      assert.match(error.message, /queue\.db is damaged: keep a copy/);
      return isDamage(error);
    });
    assert.deepEqual(files(), large);
    await assertWhole();
  });
});
