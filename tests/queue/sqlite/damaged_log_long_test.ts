import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { MAX_IN_ROW } from "../../../src/queue/sqlite/files.ts";
import { FRAME_HEADER, WrittenLog } from "./written_log.ts";

describe("a SQLite queue whose log has rows as large as can be, and is cut or damaged", () => {
  let log: WrittenLog;
  before(async () => {
    log = await WrittenLog.write(6, 100, MAX_IN_ROW, MAX_IN_ROW + 1);
  });
  after(() => log.remove());

  it("has what was synced, at each boundary of a frame", async () => {
    const { octets, frames, frameLength } = log;
    assert(frames.length > MAX_IN_ROW / frameLength, `${frames.length} frames`);
    for (const { at } of frames) {
      const end = at + frameLength;
      const cut = octets.subarray(0, end);
      assert.deepEqual(await log.messagesWith(cut), log.expected(end), `cut at ${end}`);
    }
  });

  it("has what was synced before a single bit, in each part of a frame", async () => {
    // Page, size of the database, two salts, two checksums, and the page's octets.
    const parts = [0, 4, 8, 12, 16, 20, FRAME_HEADER, log.frameLength - 1];
    for (const [index, { at, commits }] of log.frames.entries()) {
      // Commits, and some of the frames before them.
      if (!commits && index % 20 !== 0) continue;
      for (const [bit, part] of parts.entries()) {
        const found = await log.messagesWith(log.damagedAt(at + part, bit + index));
        assert.deepEqual(found, log.expected(at), `bit of part ${part} at ${at}`);
      }
    }
  });

  it("goes on from each commit", async () => {
    const { octets, frames, frameLength } = log;
    let cuts = 0;
    for (const { at, commits } of frames) {
      const expected = log.expected(at + frameLength);
      if (!commits || expected === "empty") continue;
      await log.assertGoesOnWith(octets.subarray(0, at + frameLength), expected);
      cuts++;
    }
    assert(cuts > 6, `${cuts} commits`);
  });
});
