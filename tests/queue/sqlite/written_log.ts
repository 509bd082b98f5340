// The log of a queue whose process was killed, and what is there if it is cut or damaged: as far as a power cut
// can be tried. What was synced last is the end of the log.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { copyFileSync, cpSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openSqliteAdministration } from "../../../src/queue/sqlite/administration.ts";
import { StoreSetupError } from "../../../src/queue/sqlite/errors.ts";
import { openSqliteQueue } from "../../../src/queue/sqlite/sqlite_queue.ts";
import type { QueueAdministration } from "../../../src/queue/store.ts";
import { contentFor, directory, newMessage, read, Writer } from "./support.ts";

/** https://www.sqlite.org/fileformat2.html#the_write_ahead_log */
const HEADER = 32;
export const FRAME_HEADER = 24;

export interface Frame {
  /** Where it begins. */
  readonly at: number;
  /** Whether it ends a commit. */
  readonly commits: boolean;
}

export class WrittenLog {
  readonly octets: Buffer;
  readonly frames: readonly Frame[];
  readonly frameLength: number;
  readonly #place: ReturnType<typeof directory>;
  readonly #path: string;
  readonly #count: number;

  private constructor(place: ReturnType<typeof directory>, path: string, count: number) {
    this.#place = place;
    this.#path = path;
    this.#count = count;
    const log = this.octets = readFileSync(`${path}-wal`);
    this.frameLength = FRAME_HEADER + log.readUInt32BE(8);
    const frames: Frame[] = [];
    // Of an older round of the log, frames have another salt.
    const salt = log.subarray(16, 24);
    for (let at = HEADER; at + this.frameLength <= log.length; at += this.frameLength) {
      if (!log.subarray(at + 8, at + 16).equals(salt)) break;
      frames.push({ at, commits: log.readUInt32BE(at + 4) !== 0 });
    }
    this.frames = frames;
  }

  /** A log with so many messages, one a commit, whose sizes repeat. */
  static async write(count: number, ...sizes: readonly number[]): Promise<WrittenLog> {
    const place = directory();
    const path = join(place.path, "queue.db");
    const writer = new Writer(path, "m", `${count}`, "1", ...sizes.map(String));
    await writer.untilLines(1 + count);
    await writer.kill();
    return new WrittenLog(place, path, count);
  }

  remove(): void {
    this.#place.remove();
  }

  /** A copy of the queue with this log. @returns the database's path */
  copyWith(log: Uint8Array): string {
    const copy = join(this.#place.path, "copy.db");
    copyFileSync(this.#path, copy);
    writeFileSync(`${copy}-wal`, log);
    if (existsSync(`${copy}-shm`)) writeFileSync(`${copy}-shm`, "");
    // What is there stays.
    cpSync(`${this.#path}.d`, `${copy}.d`, { recursive: true, force: false });
    return copy;
  }

  /** The messages that are there with this log. */
  async messagesWith(log: Uint8Array): Promise<string[] | "empty"> {
    let administration: QueueAdministration;
    try {
      administration = await openSqliteAdministration(this.copyWith(log));
    } catch (error) {
      assert(error instanceof StoreSetupError, String(error));
      // A new database comes to its schema version by version.
      assert.match(error.message, /is empty|was made by an older version/);
      return "empty";
    }
    try {
      return await wholeMessages(administration);
    } finally {
      await administration.close();
    }
  }

  /** A relay opens the queue with this log, and has all that is expected, and room for more. */
  async assertGoesOnWith(log: Uint8Array, expected: readonly string[]): Promise<void> {
    const copy = this.copyWith(log);
    const store = await openSqliteQueue(copy);
    assert.equal(store.usage().messages.queued, expected.length);
    await store.add(newMessage("new"));
    await store.close();
    const administration = await openSqliteAdministration(copy);
    assert.deepEqual(await wholeMessages(administration), [...expected, "new"]);
    await administration.close();
  }

  /** Those whose commits are before this place. */
  expected(end: number): string[] | "empty" {
    const all = this.frames.filter(({ commits }) => commits).length;
    const commits =
      this.frames.filter(({ at, commits }) => commits && at + this.frameLength <= end).length;
    const before = all - this.#count;
    if (commits < before) return "empty";
    return Array.from({ length: commits - before }, (_, index) => `m-${index}`);
  }

  /** A copy of the log in which one bit is another one. */
  damagedAt(place: number, bit: number): Buffer {
    const damaged = Buffer.from(this.octets);
    damaged[place]! ^= 1 << bit % 8;
    return damaged;
  }
}

/** @returns the ids of all, whose contents are as they were added */
export async function wholeMessages(administration: QueueAdministration): Promise<string[]> {
  const messages = await administration.list(100);
  for (const { id } of messages) {
    const found = await administration.find(id);
    const { size } = found!.stored;
    assert((await read(found!.content())).equals(contentFor(id, size)), `${id} is whole`);
  }
  return messages.map(({ id }) => id);
}
