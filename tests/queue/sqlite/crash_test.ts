// What was acknowledged is there after a crash: of the process, and of the machine as far as that can be
// tried, by a log that was written in part or is damaged.

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { killAndLook } from "./kill_and_look.ts";
import { FRAME_HEADER, WrittenLog } from "./written_log.ts";

describe("a SQLite queue whose process was killed", () => {
  it("has everything that was acknowledged", () => killAndLook(5, 8));
});

describe("a SQLite queue whose log was written in part or is damaged", () => {
  const COUNT = 10;
  let log: WrittenLog;
  beforeEach(async () => {
    log = await WrittenLog.write(COUNT, 100, 6000, 300_000);
  });
  afterEach(() => log.remove());

  it("has what was synced, wherever the log is cut", async () => {
    const { octets, frames, frameLength } = log;
    assert.equal((await log.messagesWith(octets)).length, COUNT);
    for (const [index, { at }] of frames.entries()) {
      for (const end of [at + (index % 2 === 0 ? FRAME_HEADER : 2000), at + frameLength]) {
        const cut = octets.subarray(0, end);
        assert.deepEqual(await log.messagesWith(cut), log.expected(end), `cut at ${end}`);
      }
    }
  });

  it("has what was synced before a damaged frame", async () => {
    const { frames, frameLength } = log;
    for (const [index, { at }] of frames.entries()) {
      const place = at + (index * 997) % frameLength;
      // A frame without its commit is not there either.
      const found = await log.messagesWith(log.damagedAt(place, index));
      assert.deepEqual(found, log.expected(at), `bit of ${place}`);
    }
  });

  it("goes on after it", async () => {
    const { octets, frames, frameLength } = log;
    const { at } = frames.at(-1)!;
    const whole = log.expected(octets.length) as string[];
    const others = whole.slice(0, -1);
    await log.assertGoesOnWith(octets.subarray(0, at), others);
    await log.assertGoesOnWith(log.damagedAt(at + frameLength - 1, 0), others);
    await log.assertGoesOnWith(octets, whole);
  });
});
