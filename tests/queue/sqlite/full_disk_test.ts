// A full disk: nothing is half stored, nothing is lost, and what was sent can be deleted all the same.

import assert from "node:assert/strict";
import { existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { setTimeout } from "node:timers/promises";
import { openSqliteQueue } from "../../../src/queue/sqlite/sqlite_queue.ts";
import { type QueueStore, StoreError } from "../../../src/queue/store.ts";
import {
  contentFor,
  newMessage,
  NOBODY,
  noSmallDisk,
  read,
  smallDisk,
  takeAll,
} from "./support.ts";

const EMPTY = new Uint8Array();

describe("the SQLite store on a full disk", { skip: noSmallDisk }, () => {
  let disk: ReturnType<typeof smallDisk>;
  let path: string;
  let filler: string;
  let fillers = 0;
  let store: QueueStore;
  beforeEach(async () => {
    disk = smallDisk(26 * 1024 * 1024);
    path = join(disk.path, "queue.db");
    filler = join(disk.path, "filler");
    store = await openSqliteQueue(path);
  });
  afterEach(async () => {
    await store.close().catch(() => {});
    disk.remove();
  });

  const isFull = (error: unknown) => {
    assert(error instanceof StoreError);
    assert.equal(error.full, true, error.message);
    return true;
  };
  /** Adds until there is no room. @returns the messages that were acknowledged */
  const fill = async (sealedSize: number) => {
    const added: string[] = [];
    for (let index = 0;; index++) {
      const id = `m-${sealedSize}-${index}`;
      try {
        await store.add(newMessage(id, { sealedSize }));
        added.push(id);
      } catch (error) {
        isFull(error);
        return added;
      }
    }
  };
  /** Takes all the room that others left. */
  const takeRoom = () => {
    for (const octets of [1024 * 1024, 4096]) {
      while (true) {
        try {
          writeFileSync(`${filler}-${fillers++}`, new Uint8Array(octets), { flag: "wx" });
        } catch (error) {
          assert.equal((error as NodeJS.ErrnoException).code, "ENOSPC");
          break;
        }
      }
    }
  };
  const giveRoom = () => {
    for (const name of readdirSync(disk.path)) {
      if (name.startsWith("filler")) rmSync(join(disk.path, name));
    }
  };

  for (const size of [200_000, 2_000_000]) {
    it(`stores whole messages of ${size} octets or nothing, and can delete them`, async () => {
      const added = await fill(size);
      assert(added.length > 2);
      assert.equal(store.usage().messages.queued, added.length);
      const taken = await takeAll(store);
      assert.equal(taken.length, added.length);
      for (const message of taken) {
        const { id } = message.stored;
        assert((await read(message.content())).equals(contentFor(id, size)));
        assert.equal(await message.sending(1, EMPTY), true);
        await message.remove();
      }
      assert.deepEqual(readdirSync(`${path}.d`), []);
      await store.close();
      store = await openSqliteQueue(path);
      assert.deepEqual(store.usage().messages, { queued: 0, sending: 0, held: 0, dead: 0 });
      assert((await fill(size)).length > 2, "there is room again");
    });
  }

  it("gives its reserve up for changes alone, and makes it again when there is room", async () => {
    await fill(200_000);
    // While this is under way, the others come together.
    const first = store.notes.get("nothing");
    await undefined;
    const adding = assert.rejects(store.add(newMessage("more", { sealedSize: 200_000 })), isFull);
    const taken = [...await store.take(1, NOBODY), ...await takeAll(store)];
    await Promise.all([first, adding]);
    assert.equal(
      taken[0]!.stored.id,
      "m-200000-0",
      "not held up by what is added at the same time",
    );
    assert(existsSync(`${path}.reserve`));
    for (const message of taken) await message.sending(1, EMPTY);
    assert(!existsSync(`${path}.reserve`));
    await assert.rejects(store.add(newMessage("small", { sealedSize: 1 })), isFull);
    for (const message of taken) await message.remove();
    while (!existsSync(`${path}.reserve`)) {
      // The store sees to it a second after something is asked.
      await store.take(1, NOBODY);
      await setTimeout(200);
    }
    await store.add(newMessage("small", { sealedSize: 1 }));
  });

  it("sends nothing again that was sent, though its deletion cannot be stored", async () => {
    for (const id of ["sent", "later", "other"]) await store.add(newMessage(id));
    const [sent, later] = await takeAll(store);
    await sent!.sending(1, EMPTY);
    await fill(200_000);
    rmSync(`${path}.reserve`);
    takeRoom();
    // The room that the log still has is used up by what is stored in it.
    const use = async () => {
      while (true) {
        const result = await sent!.sending(1, new Uint8Array(100_000)).catch((error) => error);
        if (result !== true) return isFull(result);
        takeRoom();
      }
    };
    await use();
    await assert.rejects(sent!.remove(), isFull);
    const progress = { due: 0, attempts: 1, code: "gone", note: EMPTY };
    await assert.rejects(later!.giveBack({ state: "dead", ...progress }), isFull);
    const rest = await store.take(1000, NOBODY).catch(() => []);
    assert(rest.every(({ stored }) => !["sent", "later"].includes(stored.id)));
    giveRoom();
    while (store.usage().messages.dead === 0 || store.usage().messages.sending > 0) {
      await store.notes.get("nothing").catch(() => {});
      await setTimeout(200);
    }
    const now = await store.take(1000, NOBODY);
    assert(now.every(({ stored }) => !["sent", "later"].includes(stored.id)));
    await store.close();
    store = await openSqliteQueue(path);
    assert.equal(store.usage().messages.dead, 1);
    assert.equal(store.usage().messages.sending, 0);
  });

  it("opens on a full disk, with what is there", async () => {
    const added = await fill(200_000);
    await store.close();
    takeRoom();
    store = await openSqliteQueue(path);
    assert.equal(store.usage().messages.queued, added.length);
    const [taken] = await store.take(1, NOBODY);
    await taken!.remove();
  });
});
