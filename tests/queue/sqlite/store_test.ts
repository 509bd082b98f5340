// What the store promises, whatever is under it: src/queue/store.ts.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { openSqliteAdministration } from "../../../src/queue/sqlite/administration.ts";
import { openSqliteQueue } from "../../../src/queue/sqlite/sqlite_queue.ts";
import { type MessageProgress, type QueueStore, StoreError } from "../../../src/queue/store.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { contentFor, directory, ids, newMessage, NOBODY, read, takeAll } from "./support.ts";

const KIB = 1024;
const EMPTY = new Uint8Array();

describe("the SQLite store", () => {
  let place: ReturnType<typeof directory>;
  let path: string;
  let clock: FakeClock;
  let store: QueueStore;

  const reopen = async () => {
    await store.close();
    store = await openSqliteQueue(path, { clock });
  };
  const later = (given: Partial<MessageProgress> = {}): MessageProgress => ({
    state: "queued",
    due: clock.date() + 60_000,
    attempts: 1,
    code: "throttled",
    note: EMPTY,
    ...given,
  });

  beforeEach(async () => {
    place = directory();
    path = join(place.path, "queue.db");
    clock = new FakeClock();
    store = await openSqliteQueue(path, { clock });
  });
  afterEach(async () => {
    await store.close();
    place.remove();
  });

  it("gives back what was added, after a restart too", async () => {
    const message = newMessage("a", { receivedAt: 12_345, size: 900, account: "account 7" });
    await store.add(message);
    await reopen();
    const [taken] = await store.take(10, NOBODY);
    const { record, note, ...facts } = taken!.stored;
    assert.deepEqual(facts, {
      id: "a",
      receivedAt: 12_345,
      size: 900,
      mailbox: "mailbox",
      account: "account 7",
      connection: "connection of a",
      state: "queued",
      due: clock.date(),
      attempts: 0,
      code: "",
    });
    assert.equal(Buffer.from(record).toString(), "record of a");
    assert.equal(note.length, 0);
    assert.deepEqual(await read(taken!.content()), contentFor("a", 1000));
  });

  it("keeps contents up to 256 KiB in the database, and larger ones in files that go with them", async () => {
    const sizes = [0, 1, 256 * KIB, 256 * KIB + 1, 5_000_000];
    for (const size of sizes) await store.add(newMessage(`of-${size}`, { sealedSize: size }));
    const files = () => readdirSync(`${path}.d`).sort();
    assert.deepEqual(files(), [`of-${256 * KIB + 1}`, "of-5000000"]);
    assert.equal(statSync(join(`${path}.d`, "of-5000000")).mode & 0o777, 0o600);
    const records = sizes.reduce((sum, size) => sum + `record of of-${size}`.length, 0);
    assert.equal(store.usage().octets, sizes.reduce((sum, size) => sum + size, records));
    const taken = await takeAll(store);
    for (const message of taken) {
      const { id, size } = message.stored;
      assert((await read(message.content())).equals(contentFor(id, size)), id);
      await message.remove();
    }
    assert.equal(taken.length, sizes.length);
    assert.deepEqual(files(), []);
    assert.equal(store.usage().octets, 0);
  });

  it("lets only its owner read its files", async () => {
    await store.add(newMessage("a"));
    assert.equal(statSync(`${path}.d`).mode & 0o777, 0o700);
    for (const name of readdirSync(place.path).filter((name) => name !== "queue.db.d")) {
      assert.equal(statSync(join(place.path, name)).mode & 0o777, 0o600, name);
    }
  });

  it("refuses a second message of the same id, and adds the others of the moment", async () => {
    await store.add(newMessage("a"));
    const results = await Promise.allSettled(
      ["b", "a", "c"].map((id) => store.add(newMessage(id, { sealedSize: 10 }))),
    );
    assert.deepEqual(results.map(({ status }) => status), ["fulfilled", "rejected", "fulfilled"]);
    const error = (results[1] as PromiseRejectedResult).reason;
    assert(error instanceof StoreError);
    assert.equal(error.code, "SQLITE_CONSTRAINT");
    const taken = await takeAll(store);
    assert.deepEqual(ids(taken), ["a", "b", "c"]);
    assert.equal((await read(taken[0]!.content())).length, 1000);
  });

  it("keeps no file of a message that it refuses, and that of the other one of this id", async () => {
    await store.add(newMessage("a"));
    await store.add(newMessage("b", { sealedSize: 300 * KIB }));
    await assert.rejects(store.add(newMessage("a", { sealedSize: 300 * KIB })), StoreError);
    await assert.rejects(store.add(newMessage("b", { sealedSize: 400 * KIB })), StoreError);
    assert.deepEqual(readdirSync(`${path}.d`), ["b"]);
    const [, b] = await takeAll(store);
    assert((await read(b!.content())).equals(contentFor("b", 300 * KIB)));
  });

  it("refuses an id that is no file name", async () => {
    await assert.rejects(
      store.add(newMessage("../a", { sealedSize: 300 * KIB })),
      /not the id of a message/,
    );
  });

  it("keeps no file of a content that cannot be read to its end", async () => {
    const broken = {
      ...newMessage("a", { sealedSize: 600 * KIB }),
      async *content() {
        yield Buffer.alloc(300 * KIB);
        throw new Error("cannot be sealed");
      },
    };
    await assert.rejects(store.add(broken), /cannot be sealed/);
    assert.deepEqual(readdirSync(`${path}.d`), []);
    assert.equal(store.usage().messages.queued, 0);
  });

  it("gives nobody a message that is taken, until it is given back and due", async () => {
    await store.add(newMessage("a"));
    const [taken] = await store.take(10, NOBODY);
    assert.deepEqual(await store.take(10, NOBODY), []);
    await taken!.giveBack(later({ note: Buffer.from("what happened") }));
    assert.deepEqual(await store.take(10, NOBODY), []);
    clock.pass(59_999);
    assert.deepEqual(await store.take(10, NOBODY), []);
    clock.pass(1);
    const [again] = await store.take(10, NOBODY);
    assert.equal(again!.stored.attempts, 1);
    assert.equal(again!.stored.code, "throttled");
    assert.equal(Buffer.from(again!.stored.note).toString(), "what happened");
  });

  it("gives what was taken and not given back again after a restart", async () => {
    for (const id of ["a", "b"]) await store.add(newMessage(id));
    const [first] = await store.take(10, NOBODY);
    assert.equal(await first!.sending(1, Buffer.from("begun")), true);
    await reopen();
    const taken = await takeAll(store);
    assert.deepEqual(
      taken.map(({ stored }) => [stored.id, stored.state, stored.attempts]),
      [["a", "sending", 1], ["b", "queued", 0]],
    );
    assert.equal(Buffer.from(taken[0]!.stored.note).toString(), "begun");
    await taken[0]!.remove();
    await taken[1]!.giveBack(later({ state: "dead" }));
    await reopen();
    assert.deepEqual(await store.take(10, NOBODY), []);
    assert.deepEqual(store.usage().messages, { queued: 0, sending: 0, held: 0, dead: 1 });
  });

  it("does nothing for one that had a message before it was given back", async () => {
    await store.add(newMessage("a"));
    const [before] = await store.take(1, NOBODY);
    await before!.giveBack(later({ due: clock.date() }));
    const [now] = await store.take(1, NOBODY);
    assert.equal(await before!.sending(7, EMPTY), false);
    await before!.giveBack(later({ state: "dead" }));
    await before!.remove();
    assert.deepEqual(await store.take(1, NOBODY), [], "it is taken");
    assert.equal(await now!.sending(1, EMPTY), true);
    assert.equal(store.usage().messages.sending, 1);
  });

  it("rounds times up to whole milliseconds", async () => {
    await store.add(newMessage("a", { receivedAt: 1.5 }));
    const [taken] = await store.take(1, NOBODY);
    await taken!.giveBack(later({ due: clock.date() + 0.25 }));
    clock.pass(1);
    assert.equal((await store.take(1, NOBODY)).length, 1);
  });

  it("counts by state, and knows when the oldest that goes on was received", async () => {
    const states = ["held", "dead", "queued", "sending", "queued"] as const;
    for (const [index] of states.entries()) {
      await store.add(newMessage(`${index}`, { receivedAt: index * 100, sealedSize: 50 }));
    }
    assert.equal(store.usage().oldest, 0);
    const taken = await takeAll(store);
    for (const [index, state] of states.entries()) {
      if (state === "sending") await taken[index]!.sending(1, EMPTY);
      else await taken[index]!.giveBack(later({ state }));
    }
    assert.deepEqual(store.usage().messages, { queued: 2, sending: 1, held: 1, dead: 1 });
    assert.equal(store.usage().octets, 5 * (50 + "record of 0".length));
    assert.equal(store.usage().oldest, 200, "that of one that waits");
    await taken[2]!.remove();
    assert.equal(store.usage().oldest, 200, "it belonged to nobody any more");
    await reopen();
    assert.deepEqual(store.usage().messages, { queued: 2, sending: 1, held: 1, dead: 1 });
    clock.pass(60_000);
    for (const message of await takeAll(store)) await message.remove();
    assert.equal(store.usage().oldest, undefined);
    assert.deepEqual(store.usage().messages, { queued: 0, sending: 0, held: 1, dead: 1 });
    assert.equal(store.usage().octets, 2 * (50 + "record of 0".length));
  });

  it("knows when the first of the dead messages was given up", async () => {
    const oldest = async () => {
      clock.pass(1000);
      store.usage();
      await store.take(0, NOBODY);
      return store.usage().oldestDead;
    };
    for (const id of ["a", "b", "c", "d"]) await store.add(newMessage(id, { mailbox: id }));
    const [a, b, c, d] = await takeAll(store);
    await d!.giveBack(later({ state: "held", due: 1000 }));
    assert.equal(await oldest(), undefined, "held is not dead");
    await a!.giveBack(later({ state: "dead", due: 4000 }));
    await b!.giveBack(later({ state: "dead", due: 2000 }));
    await c!.giveBack(later({ state: "dead", due: 3000.5 }));
    assert.equal(await oldest(), 2000, "not that of the message that came first");
    await reopen();
    assert.equal(store.usage().oldestDead, 2000);
    const administration = await openSqliteAdministration(path, clock);
    assert.equal(await administration.retry("b"), "done");
    assert.equal(await oldest(), 3001);
    assert.equal(await administration.delete("c"), "done");
    assert.equal(await oldest(), 4000);
    assert.equal(await administration.delete("a"), "done");
    assert.equal(await oldest(), undefined);
    await administration.close();
  });

  it("says whether a message that is given back was still there", async () => {
    for (const id of ["a", "b"]) await store.add(newMessage(id, { mailbox: id }));
    const [kept, deleted] = await store.take(2, NOBODY);
    const administration = await openSqliteAdministration(path);
    assert.equal(await administration.delete("b"), "done");
    await administration.close();
    assert.equal(await kept!.giveBack(later({ state: "dead" })), true);
    assert.equal(await kept!.giveBack(later({ state: "dead" })), false, "it is not taken any more");
    assert.equal(await deleted!.giveBack(later({ state: "dead" })), false);
  });

  it("says what an account has, whatever becomes of it", async () => {
    const share = async (account: string) => {
      const { messages, octets, isAlone } = await store.share(account);
      return [messages, octets, isAlone];
    };
    assert.deepEqual(await share("a"), [0, 0, true]);
    const octets = 50 + "record of 0".length;
    for (const [index, account] of ["a", "a", "b"].entries()) {
      await store.add(newMessage(`${index}`, { account, sealedSize: 50, mailbox: `${index}` }));
    }
    assert.deepEqual(await share("a"), [2, 2 * octets, false]);
    assert.deepEqual(await share("b"), [1, octets, false]);
    assert.deepEqual(await share("c"), [0, 0, false]);
    const [first, second, third] = await takeAll(store);
    await second!.giveBack(later({ state: "dead" }));
    await third!.remove();
    assert.deepEqual(await share("a"), [2, 2 * octets, true]);
    await first!.remove();
    await reopen();
    const administration = await openSqliteAdministration(path);
    assert.deepEqual(await share("a"), [1, octets, true]);
    assert.equal(await administration.delete("1"), "done");
    await administration.close();
    assert.deepEqual(await share("a"), [0, 0, true]);
    assert.deepEqual(await share("c"), [0, 0, true]);
  });

  it("says how much room the disk has, and looks again after a second", async () => {
    await store.close();
    let free = 10;
    const statfs = () => Promise.resolve({ type: 0xef53, bsize: 100, blocks: 50, bavail: free });
    store = await openSqliteQueue(path, { clock, statfs });
    assert.deepEqual(store.usage().disk, { free: 1000, total: 5000 });
    free = 20;
    clock.pass(999);
    assert.equal(store.usage().disk!.free, 1000);
    clock.pass(1);
    store.usage();
    await store.take(0, NOBODY);
    assert.deepEqual(store.usage().disk, { free: 2000, total: 5000 });
  });

  it("keeps notes until their time, over a restart", async () => {
    await store.notes.set("key", Buffer.from("one"), clock.date() + 1000);
    await store.notes.set("key", Buffer.from("two"), clock.date() + 2000);
    assert.equal(await store.notes.get("other"), undefined);
    await reopen();
    clock.pass(1999);
    assert.equal(Buffer.from((await store.notes.get("key"))!).toString(), "two");
    clock.pass(1);
    assert.equal(await store.notes.get("key"), undefined);
  });

  it("stores what is under way when it is closed, and refuses what comes later", async () => {
    const adding = ["a", "b"].map((id, index) =>
      store.add(newMessage(id, { sealedSize: index * 2_000_000 }))
    );
    const closing = store.close();
    await Promise.all([...adding, closing]);
    await assert.rejects(store.add(newMessage("c")), /is closed/);
    await assert.rejects(store.take(1, NOBODY), /is closed/);
    assert.deepEqual(
      readdirSync(place.path).sort(),
      ["queue.db", "queue.db.d", "queue.db.lock", "queue.db.reserve"],
      "the log is in the database",
    );
    store = await openSqliteQueue(path, { clock });
    assert.equal(store.usage().messages.queued, 2);
  });

  it("says so when a content is missing, and keeps the message", async () => {
    await store.add(newMessage("a", { sealedSize: 300 * KIB }));
    await reopen();
    rmSync(join(`${path}.d`, "a"));
    const [taken] = await store.take(1, NOBODY);
    await assert.rejects(read(taken!.content()), (error) => {
      assert(error instanceof StoreError);
      assert.equal(error.code, "ENOENT");
      assert.match(error.message, /a is missing: .* stays in the queue/);
      return true;
    });
    await reopen();
    assert.equal(store.usage().messages.queued, 1);
  });

  it("fails everything when its worker is gone", async () => {
    await store.close();
    const ends: StoreError[] = [];
    store = await openSqliteQueue(path, {
      worker: new URL("./failing_worker.ts", import.meta.url),
      ended: (error) => void ends.push(error),
    });
    const results = await Promise.allSettled([
      store.add(newMessage("a")),
      store.take(1, NOBODY),
      store.add(newMessage("b", { sealedSize: 300 * KIB })),
    ]);
    for (const result of results) {
      assert(result.status === "rejected");
      assert(result.reason instanceof StoreError);
      assert.match(result.reason.message, /worker (?:failed|has ended)/);
    }
    await assert.rejects(store.notes.get("key"), StoreError);
    await assert.rejects(store.close(), StoreError);
    assert.deepEqual(ends.map(({ code }) => code), ["WORKER"], "told once");
    // Its row may have been committed: the next start knows, and deletes it if not.
    assert.deepEqual(readdirSync(`${path}.d`), ["b"]);
    store = await openSqliteQueue(path, { clock });
    assert.equal(store.usage().messages.queued, 0);
  });

  describe("beside its administration", () => {
    it("notices what is deleted and what is to be tried again", async () => {
      for (const id of ["a", "b", "c"]) await store.add(newMessage(id));
      const [a, b, c] = await takeAll(store);
      await b!.giveBack(later({ due: clock.date() + 3_600_000 }));
      await c!.giveBack(later({ state: "dead" }));
      const administration = await openSqliteAdministration(path, clock);
      assert.equal(await administration.delete("a"), "done");
      assert.equal(await a!.sending(1, EMPTY), false, "it is not sent");
      assert.equal(await administration.retry("b"), "done");
      assert.equal(await administration.retry("c"), "done");
      assert.deepEqual(ids(await takeAll(store)), ["b", "c"]);
      await administration.close();
    });

    it("keeps a message that is deleted meanwhile away, however it went on", async () => {
      for (const id of ["a", "b"]) await store.add(newMessage(id));
      const [a, b] = await takeAll(store);
      const administration = await openSqliteAdministration(path, clock);
      await administration.delete("a");
      await administration.delete("b");
      await a!.giveBack(later({ due: clock.date() }));
      await b!.remove();
      assert.deepEqual(await administration.list(10), []);
      assert.deepEqual(await store.take(10, NOBODY), []);
      await administration.close();
    });

    it("shows in its totals what was changed, after a second", async () => {
      await store.add(newMessage("a"));
      const administration = await openSqliteAdministration(path, clock);
      await administration.delete("a");
      await administration.close();
      clock.pass(1000);
      store.usage();
      await store.take(0, NOBODY);
      assert.equal(store.usage().messages.queued, 0);
    });
  });
});
