// What was acknowledged is there after a crash: of the process, and of the machine as far as that can be
// tried, by a log that was written in part or is damaged.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { copyFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { openSqliteAdministration } from "../../../src/queue/sqlite/administration.ts";
import { StoreSetupError } from "../../../src/queue/sqlite/errors.ts";
import { openSqliteQueue } from "../../../src/queue/sqlite/sqlite_queue.ts";
import { killAndLook } from "./kill_and_look.ts";
import { contentFor, directory, newMessage, read, Writer } from "./support.ts";

describe("a SQLite queue whose process was killed", () => {
  it("has everything that was acknowledged", () => killAndLook(5, 8));
});

/** https://www.sqlite.org/fileformat2.html#the_write_ahead_log */
const HEADER = 32;
const FRAME_HEADER = 24;

describe("a SQLite queue whose log was written in part or is damaged", () => {
  const COUNT = 10;
  let place: ReturnType<typeof directory>;
  let path: string;
  let log: Buffer;
  /** Where each frame begins, and whether it ends a commit. */
  let frames: { readonly at: number; readonly commits: boolean }[];
  let frameLength: number;
  beforeEach(async () => {
    place = directory();
    path = join(place.path, "queue.db");
    const writer = new Writer(path, "m", `${COUNT}`, "1", "100", "6000", "300000");
    await writer.untilLines(1 + COUNT);
    await writer.kill();
    log = readFileSync(`${path}-wal`);
    frameLength = FRAME_HEADER + log.readUInt32BE(8);
    frames = [];
    // Of an older round of the log, frames have another salt.
    const salt = log.subarray(16, 24);
    for (let at = HEADER; at + frameLength <= log.length; at += frameLength) {
      if (!log.subarray(at + 8, at + 16).equals(salt)) break;
      frames.push({ at, commits: log.readUInt32BE(at + 4) !== 0 });
    }
  });
  afterEach(() => place.remove());

  /** The messages that are there with this log. */
  async function messagesWith(log: Uint8Array): Promise<string[] | "empty"> {
    const copy = join(place.path, "copy.db");
    copyFileSync(path, copy);
    writeFileSync(`${copy}-wal`, log);
    if (existsSync(`${copy}-shm`)) writeFileSync(`${copy}-shm`, "");
    try {
      const administration = await openSqliteAdministration(copy);
      const messages = await administration.list(100);
      for (const { id } of messages) {
        const found = await administration.find(id);
        // Contents in files are those of the original.
        const { size } = found!.stored;
        if (size < 300_000) assert((await read(found!.content())).equals(contentFor(id, size)));
      }
      await administration.close();
      return messages.map(({ id }) => id);
    } catch (error) {
      assert(error instanceof StoreSetupError, String(error));
      assert.match(error.message, /is empty/);
      return "empty";
    }
  }

  /** Those whose commits are before this place. */
  function expected(end: number): string[] | "empty" {
    const all = frames.filter(({ commits }) => commits).length;
    const commits = frames.filter(({ at, commits }) => commits && at + frameLength <= end).length;
    const before = all - COUNT;
    if (commits < before) return "empty";
    return Array.from({ length: commits - before }, (_, index) => `m-${index}`);
  }

  it("has what was synced, wherever the log is cut", async () => {
    assert.equal((await messagesWith(log)).length, COUNT);
    for (const { at } of frames) {
      for (const end of [at, at + FRAME_HEADER, at + 2000, at + frameLength]) {
        assert.deepEqual(await messagesWith(log.subarray(0, end)), expected(end), `cut at ${end}`);
      }
    }
  });

  it("has what was synced before a damaged frame", async () => {
    for (const [index, { at }] of frames.entries()) {
      const damaged = Buffer.from(log);
      const place = at + (index * 997) % frameLength;
      damaged[place]! ^= 1 << index % 8;
      // A frame without its commit is not there either.
      assert.deepEqual(await messagesWith(damaged), expected(at), `bit of ${place}`);
    }
  });

  it("goes on after it", async () => {
    const { at } = frames.at(-1)!;
    const copy = join(place.path, "other.db");
    copyFileSync(path, copy);
    writeFileSync(`${copy}-wal`, log.subarray(0, at));
    const store = await openSqliteQueue(copy);
    assert.equal(store.usage().messages.queued, COUNT - 1);
    await store.add(newMessage("new"));
    await store.close();
    const administration = await openSqliteAdministration(copy);
    assert.equal((await administration.list(100)).at(-1)!.id, "new");
    await administration.close();
  });
});
