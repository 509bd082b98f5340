import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Counts, Tally } from "../../../src/queue/azure/counts.ts";
import type { BlobEntry } from "../../../src/queue/azure/message_blob.ts";

/** More than are remembered. */
const MANY = 5000;

function dead(index: number, due: number): BlobEntry {
  return {
    id: `${index}`,
    receivedAt: index,
    size: 1,
    mailbox: "m",
    account: "a",
    connection: "c",
    state: "dead",
    due,
    attempts: 1,
    code: "X",
    note: new Uint8Array(),
    recordSize: 1,
    generation: 0,
    pause: 0,
    changing: 0,
  };
}

describe("the counts of an Azure queue with many dead messages", () => {
  it("have the time of the first that was given up, wherever it is in the list", () => {
    for (const first of [0, 1500, 2500, MANY - 1]) {
      const tally = new Tally();
      for (let index = 0; index < MANY; index++) {
        const entry = dead(index, index === first ? 7 : 10 + (index * 7919) % MANY);
        tally.add({ entry, size: 10, etag: "", modifiedAt: 0 });
      }
      const counts = new Counts();
      counts.replace(tally);
      assert.equal(counts.usage().oldestDead, 7, `message ${first}`);
      assert.equal(counts.usage().messages.dead, MANY);
    }
  });

  it("keep it while others are given up, and have the next one's after it", () => {
    const counts = new Counts();
    const [first, second] = [dead(0, 5), dead(1, 6)];
    counts.change(first, 10, "queued", first);
    counts.change(second, 10, "queued", second);
    for (let index = 2; index < MANY; index++) {
      const next = dead(index, index + 10);
      counts.change(next, 10, "queued", next);
    }
    assert.equal(counts.usage().oldestDead, 5);
    counts.change(first, 10, "dead", { state: "sending", due: 9 });
    assert.equal(counts.usage().oldestDead, 6, "its pointer turned up");
    counts.change(second, 10, "dead", undefined);
    assert.equal(counts.usage().oldestDead, 12);
  });
});
