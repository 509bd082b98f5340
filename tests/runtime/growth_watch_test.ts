/** When a number has grown by so much that something is to be done. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { GrowthWatch } from "../../src/runtime/growth_watch.ts";

function watched(step: number) {
  const calls = { grown: 0 };
  const watch = new GrowthWatch({ step, grown: () => calls.grown++ });
  const more = (times: number) => {
    for (let i = 0; i < times; i++) watch.more();
    return calls.grown;
  };
  const less = (times: number) => {
    for (let i = 0; i < times; i++) watch.less();
  };
  return { more, less };
}

describe("a number that is watched", () => {
  it("has grown with each step", () => {
    const { more } = watched(4);
    assert.deepEqual([more(3), more(1), more(3), more(1)], [0, 1, 1, 2]);
  });

  it("has not grown while it goes up and down by less than two steps", () => {
    const { more, less } = watched(4);
    assert.equal(more(8), 2);
    for (let i = 0; i < 10; i++) {
      less(7);
      assert.equal(more(7), 2);
    }
  });

  it("has grown again two steps above its lowest value", () => {
    const { more, less } = watched(4);
    more(100);
    less(100);
    const before = more(7);
    assert.equal(more(1), before + 1);
  });
});
