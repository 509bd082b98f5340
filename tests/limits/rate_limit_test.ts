/** Rates on a clock: the window slides, pending uses count, and memory is bounded. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { RateLimit } from "../../src/limits/rate_limit.ts";
import { FakeClock } from "../support/fake_clock.ts";

const MINUTE = 60_000;

function open(most: number, capacity?: number, window = MINUTE) {
  const clock = new FakeClock();
  const rate = { most, window };
  return {
    clock,
    limit: new RateLimit({ rate, clock, ...(capacity === undefined ? {} : { capacity }) }),
  };
}

describe("a rate limit", () => {
  it("is reached with its last use, not before", () => {
    const { limit } = open(3);
    for (const used of [0, 1, 2]) {
      assert.equal(limit.used("a"), used);
      assert.equal(limit.reached("a"), false);
      limit.count("a");
    }
    assert.equal(limit.reached("a"), true);
    assert.equal(limit.reached("b"), false);
  });

  it("forgets each use when it has left the window", () => {
    const { limit, clock } = open(3);
    for (let i = 0; i < 3; i++) {
      limit.count("a");
      clock.pass(10_000);
    }
    clock.pass(MINUTE - 30_000 - 1);
    assert.equal(limit.used("a"), 3);
    clock.pass(1);
    assert.equal(limit.used("a"), 2);
    clock.pass(10_000);
    assert.equal(limit.used("a"), 1);
    clock.pass(10_000);
    assert.equal(limit.used("a"), 0);
  });

  it("allows no more than the limit in any window, at any pace", () => {
    for (const pace of [1, 37, 999, 1000, 1001, 7000]) {
      const { limit, clock } = open(10);
      const passed: number[] = [];
      for (let at = 0; at < 5 * MINUTE; at += pace) {
        const end = limit.begin("a");
        if (end !== undefined) {
          end(true);
          passed.push(clock.now());
        }
        clock.pass(pace);
      }
      passed.forEach((at, i) => {
        const next = passed[i + 10];
        assert(next === undefined || next - at >= MINUTE, `11 in ${next! - at} ms, pace ${pace}`);
      });
      // Nor much less: a use is forgotten a sixtieth of the window late at most.
      const possible = Math.min(5 * MINUTE / pace, 40);
      assert(passed.length >= possible, `${passed.length} at a pace of ${pace}`);
    }
  });

  it("counts pending uses, so that concurrent ones cannot evade it", () => {
    const { limit } = open(3);
    limit.count("a");
    const [first, second, third] = [limit.begin("a"), limit.begin("a"), limit.begin("a")];
    assert(first !== undefined && second !== undefined);
    assert.equal(third, undefined);
    assert.equal(limit.reached("a"), false, "they may come to nothing");
    // A use that does not count is given back, and only once.
    first(false);
    first(false);
    assert.equal(limit.free("a"), true);
    const again = limit.begin("a");
    assert.equal(limit.free("a"), false);
    second(true);
    again?.(true);
    assert.equal(limit.reached("a"), true);
  });

  it("remembers a limited number of keys, and all pending uses", () => {
    const { limit } = open(1, 100);
    const end = limit.begin("under way");
    limit.count("used");
    for (let i = 0; i < 100; i++) limit.count(`key ${i}`);
    assert.equal(limit.reached("used"), false, "it was the one used least recently");
    assert.equal(limit.reached("key 99"), true);
    assert.equal(limit.begin("under way"), undefined);
    end?.(false);
    assert.notEqual(limit.begin("under way"), undefined);
  });
});
