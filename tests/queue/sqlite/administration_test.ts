import assert from "node:assert/strict";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { openSqliteAdministration } from "../../../src/queue/sqlite/administration.ts";
import { StoreSetupError } from "../../../src/queue/sqlite/errors.ts";
import { openSqliteQueue } from "../../../src/queue/sqlite/sqlite_queue.ts";
import type { QueueAdministration } from "../../../src/queue/store.ts";
import { contentFor, directory, newMessage, read, takeAll } from "./support.ts";

const EMPTY = new Uint8Array();

describe("the administration of a SQLite queue", () => {
  let place: ReturnType<typeof directory>;
  let path: string;
  let administration: QueueAdministration;
  beforeEach(async () => {
    place = directory();
    path = join(place.path, "queue.db");
    const store = await openSqliteQueue(path);
    for (const id of ["a", "b", "c", "d", "e"]) {
      await store.add(newMessage(id, { sealedSize: id === "b" ? 300_000 : 100 }));
    }
    const taken = await takeAll(store);
    await taken[0]!.sending(1, EMPTY);
    const rest = { due: Date.now(), attempts: 1, code: "refused", note: EMPTY };
    await taken[2]!.giveBack({ state: "held", ...rest });
    await taken[3]!.giveBack({ state: "dead", ...rest });
    await store.close();
    administration = await openSqliteAdministration(path);
  });
  afterEach(async () => {
    await administration.close();
    place.remove();
  });

  const list = async () =>
    (await administration.list(100)).map(({ id, state }) => `${id} ${state}`);

  it("lists in order of arrival, page by page, also if the last one is gone by then", async () => {
    assert.deepEqual(await list(), ["a sending", "b queued", "c held", "d dead", "e queued"]);
    const first = await administration.list(2);
    await administration.delete("b");
    const second = await administration.list(2, first[1]);
    assert.deepEqual(second.map(({ id }) => id), ["c", "d"]);
    const other = await openSqliteAdministration(path);
    assert.deepEqual((await other.list(9, second[1])).map(({ id }) => id), ["e"]);
    await other.close();
  });

  it("finds one with its content, in the database and in a file", async () => {
    for (const [id, size] of [["a", 100], ["b", 300_000]] as const) {
      const found = await administration.find(id);
      assert.equal(found!.stored.id, id);
      assert((await read(found!.content())).equals(contentFor(id, size)));
    }
    assert.equal(await administration.find("z"), undefined);
  });

  it("changes all but what is being sent", async () => {
    assert.equal(await administration.retry("a"), "sending");
    assert.equal(await administration.delete("a"), "sending");
    assert.equal(await administration.retry("z"), "unknown");
    assert.equal(await administration.delete("z"), "unknown");
    for (const id of ["b", "c", "d"]) assert.equal(await administration.retry(id), "done");
    assert.equal(await administration.delete("b"), "done");
    assert.deepEqual(readdirSync(`${path}.d`), [], "with its file");
    assert.deepEqual(await list(), ["a sending", "c queued", "d queued", "e queued"]);
  });

  it("has a message tried now although its mailbox is paused", async () => {
    const store = await openSqliteQueue(path);
    try {
      const later = Date.now() + 300_000;
      await store.add(newMessage("f", { mailbox: "failing" }));
      const [taken] = await store.take(1, new Set(["mailbox"]));
      await taken!.giveBack(
        { state: "queued", due: later, attempts: 1, code: "", note: EMPTY },
        later,
      );
      await store.add(newMessage("g", { mailbox: "failing" }));
      assert.deepEqual(await store.take(9, new Set(["mailbox"])), []);
      assert.equal(await administration.retry("f"), "done");
      const [retried] = await store.take(9, new Set(["mailbox"]));
      assert.equal(retried?.stored.id, "f");
    } finally {
      await store.close();
    }
  });

  it("needs a queue that is there", async () => {
    const rejects = async (name: string, message: RegExp) => {
      await assert.rejects(openSqliteAdministration(join(place.path, name)), (error) => {
        assert(error instanceof StoreSetupError);
        assert.match(error.message, message);
        assert(!error.message.includes("\n"));
        return true;
      });
    };
    await rejects("other.db", /other\.db: there is no such file: QUEUE_URL must name/);
    assert(!readdirSync(place.path).includes("other.db"), "and makes none");
    writeFileSync(join(place.path, "empty.db"), "");
    await rejects("empty.db", /is empty: no relay has used it/);
  });
});
