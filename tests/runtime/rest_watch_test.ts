/** When a process is at rest, so that it may give memory back. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { RestWatch } from "../../src/runtime/rest_watch.ts";

function watched() {
  let look: (() => void) | undefined;
  const calls = { begun: 0, rests: 0 };
  const watch = new RestWatch({
    every(next) {
      assert.equal(look, undefined, "one at a time");
      look = next;
      calls.begun++;
      return () => look = undefined;
    },
    atRest: () => calls.rests++,
  });
  return { watch, calls, look: () => look?.(), looks: () => look !== undefined };
}

describe("a process", () => {
  it("is not at rest while something happens between two looks", () => {
    const { watch, calls, look } = watched();
    for (let i = 0; i < 3; i++) {
      watch.active();
      watch.active();
      look();
    }
    assert.deepEqual(calls, { begun: 1, rests: 0 });
  });

  it("is at rest when nothing happens, is told so once, and is not woken any more", () => {
    const { watch, calls, look, looks } = watched();
    watch.active();
    look();
    assert(looks());
    look();
    assert.deepEqual([calls, looks()], [{ begun: 1, rests: 1 }, false]);
  });

  it("is at rest again after something has happened", () => {
    const { watch, calls, look } = watched();
    for (let i = 0; i < 2; i++) {
      watch.active();
      look();
      look();
    }
    assert.deepEqual(calls, { begun: 2, rests: 2 });
  });

  it("is not looked at before anything has happened", () => {
    const { looks } = watched();
    assert(!looks());
  });
});
