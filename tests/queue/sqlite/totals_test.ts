// What comes with each answer of the store's worker must not take longer the more messages there are.

import assert from "node:assert/strict";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { DatabaseSync } from "node:sqlite";
import { QueueDatabase } from "../../../src/queue/sqlite/database.ts";
import { filesOf } from "../../../src/queue/sqlite/files.ts";
import { openQueue } from "../../../src/queue/sqlite/open_queue.ts";
import { directory } from "./support.ts";

describe("the totals of a SQLite queue", () => {
  let place: ReturnType<typeof directory>;
  beforeEach(() => void (place = directory()));
  afterEach(() => place.remove());

  it("read the oldest dead message in one step, however many there are", () => {
    const prepared = new Set<string>();
    class Watched extends DatabaseSync {
      override prepare(sql: string) {
        prepared.add(sql);
        return super.prepare(sql);
      }
    }
    const files = filesOf(join(place.path, "queue.db"));
    const { db, reserve, unlock } = openQueue({ DatabaseSync: Watched }, files);
    prepared.clear();
    new QueueDatabase(db, files, reserve);
    const [text, ...others] = [...prepared].filter((sql) => sql.includes("state = 'dead'"));
    assert.deepEqual(others, []);
    const plan = db.prepare(`explain query plan ${text}`).all().map((row) => String(row["detail"]));
    // https://sqlite.org/eqp.html: in the order of the index, without sorting; the limit ends it.
    const scans = plan.filter((step) => /^SCAN message|B-TREE/.test(step));
    assert.deepEqual(scans, ["SCAN message USING COVERING INDEX message_dead"]);
    assert.match(text!, /where state = 'dead' order by due limit 1\)/);
    db.close();
    unlock();
  });
});
