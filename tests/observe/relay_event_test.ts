// Several listeners to one stream of events. What one of them does wrong must be no other's fault, and none
// of a message's.

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { notifyAll, type RelayEvent } from "../../src/observe/relay_event.ts";

const MEMORY: RelayEvent = { type: "memory", used: 2, limit: 1 };
const FAULT: RelayEvent = { type: "fault", error: new Error("of another room") };

describe("several listeners", () => {
  /** What the process would get after the current task. */
  let left: (() => void)[] = [];
  const queue = globalThis.queueMicrotask;
  beforeEach(() => {
    left = [];
    globalThis.queueMicrotask = (run) => void left.push(run);
  });
  afterEach(() => {
    globalThis.queueMicrotask = queue;
  });

  const failing = () => {
    throw new Error("of the listener");
  };

  it("get each event, in their order", () => {
    const got: string[] = [];
    const notify = notifyAll([
      ({ type }) => void got.push(`first ${type}`),
      ({ type }) => void got.push(`second ${type}`),
    ]);
    notify(MEMORY);
    notify(FAULT);
    assert.deepEqual(got, ["first memory", "second memory", "first fault", "second fault"]);
    assert.deepEqual(left, []);
  });

  it("get it although one before them throws, whose fault is left to the process", () => {
    const got: RelayEvent[] = [];
    notifyAll([failing, (event) => void got.push(event)])(MEMORY);
    assert.deepEqual(got, [MEMORY]);
    assert.equal(left.length, 1);
    assert.throws(left[0]!, /of the listener/);
  });

  it("do not make another fault out of one that cannot be reported", () => {
    const got: RelayEvent[] = [];
    notifyAll([failing, (event) => void got.push(event)])(FAULT);
    assert.deepEqual(got, [FAULT]);
    assert.deepEqual(left, []);
  });
});
