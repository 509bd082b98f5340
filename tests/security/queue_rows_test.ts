// Whoever can write to the queue's database can delete mail or have it sent again, but one row with a number
// that no program writes, or that a disk has damaged, must not stop the mail of all others.

import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, it } from "node:test";
import { openSqliteAdministration } from "../../src/queue/sqlite/administration.ts";
import { openSqliteQueue } from "../../src/queue/sqlite/sqlite_queue.ts";
import { directory, ids, newMessage, NOBODY, read } from "../queue/sqlite/support.ts";

/** More than JavaScript's numbers hold exactly. */
const HUGE = ["9223372036854775807", "-9223372036854775808", "9007199254740993"];

describe("a row of the queue that was changed", () => {
  let place: ReturnType<typeof directory>;
  let path: string;
  beforeEach(async () => {
    place = directory();
    path = join(place.path, "queue.db");
    const store = await openSqliteQueue(path);
    await store.add(newMessage("bad", { mailbox: "a" }));
    await store.add(newMessage("good", { mailbox: "b" }));
    await store.close();
  });
  afterEach(() => place.remove());

  for (
    const change of [
      ...["due", "attempts", "received", "size", "octets"].map((column) =>
        `update message set ${column} = ? where id = 'bad'`
      ),
      "update message set state = 'dead', ready = null, due = ? where id = 'bad'",
      "update total set octets = ?",
      "update total set messages = ?",
      "update share set octets = ?",
    ]
  ) {
    it(`stops no other message, nor the start, nor a command: ${change}`, async () => {
      for (const value of HUGE) {
        const db = new DatabaseSync(path);
        db.prepare(change).run(BigInt(value));
        db.close();
        const store = await openSqliteQueue(path);
        const taken = await store.take(5, NOBODY);
        assert(ids(taken).includes("good"), value);
        assert(taken.every(({ stored }) => Number.isSafeInteger(stored.receivedAt)));
        await store.share("account");
        assert(Number.isFinite(store.usage().octets));
        assert(Number.isFinite(store.usage().oldestDead ?? 0));
        const good = taken.find(({ stored }) => stored.id === "good")!;
        assert.equal((await read(good.content())).length, 1000);
        const administration = await openSqliteAdministration(path);
        assert.equal((await administration.list(5)).length, 2);
        assert.equal((await administration.find("bad"))!.stored.id, "bad");
        await administration.close();
        await store.close();
      }
    });
  }
});
