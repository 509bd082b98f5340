import assert from "node:assert/strict";
import { join } from "node:path";
import { openSqliteAdministration } from "../../../src/queue/sqlite/administration.ts";
import { openSqliteQueue } from "../../../src/queue/sqlite/sqlite_queue.ts";
import type { StoredMessage } from "../../../src/queue/store.ts";
import { contentFor, directory, read, Writer } from "./support.ts";

const SIZES = ["100", "10000", "300000", "200000", "1000"];

/** Adds under load, kills, and looks whether all that was acknowledged is there. */
export async function killAndLook(rounds: number, adders: number): Promise<void> {
  const place = directory();
  const path = join(place.path, "queue.db");
  const acknowledged = new Set<string>();
  for (let round = 0; round < rounds; round++) {
    const writer = new Writer(path, `r${round}`, "100000", `${adders}`, ...SIZES);
    await writer.untilLines(2 + (round * 37) % 150);
    await writer.kill();
    for (const line of writer.lines) if (line !== "open") acknowledged.add(line);
    const store = await openSqliteQueue(path);
    const { queued } = store.usage().messages;
    await store.close();
    const administration = await openSqliteAdministration(path);
    let last: StoredMessage | undefined;
    const there = new Set<string>();
    while (true) {
      const page = await administration.list(100, last);
      if (page.length === 0) break;
      for (const { id } of page) there.add(id);
      last = page.at(-1);
    }
    assert.equal(there.size, queued, "counted rightly");
    for (const id of acknowledged) assert(there.has(id), `${id} is lost`);
    for (const id of there) {
      if (!id.startsWith(`r${round}-`)) continue;
      const number = Number(id.split("-")[1]);
      const found = await administration.find(id);
      const size = Number(SIZES[number % SIZES.length]);
      assert((await read(found!.content())).equals(contentFor(id, size)), `${id} is whole`);
    }
    for (const id of there) {
      if (Math.random() < 0.5) {
        await administration.delete(id);
        acknowledged.delete(id);
      }
    }
    await administration.close();
  }
  assert(acknowledged.size > 0);
  place.remove();
}
