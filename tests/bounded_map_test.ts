/** A map with a bound: what it forgets, and when. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { BoundedMap } from "../src/bounded_map.ts";
import { FakeClock } from "./support/fake_clock.ts";

describe("a bounded map", () => {
  it("forgets the entry used least recently; only get and set are use", () => {
    const map = new BoundedMap<true>({ max: 3 });
    for (const key of ["a", "b", "c"]) map.set(key, true);
    assert.equal(map.get("a"), true);
    map.peek("b");
    map.has("b");
    map.set("d", true);
    assert.deepEqual(["a", "b", "c", "d"].map((key) => map.has(key)), [true, false, true, true]);
  });

  it("has nothing before its first entry, and after clear", () => {
    const map = new BoundedMap<true>({ max: 3 });
    const seen = () => [map.get("a"), map.peek("a"), map.has("a")];
    assert.deepEqual(seen(), [undefined, undefined, false]);
    map.delete("a");
    map.clear();
    map.set("a", true);
    assert.deepEqual(seen(), [true, true, true]);
    map.delete("a");
    assert.equal(map.has("a"), false);
    map.set("a", true);
    map.clear();
    assert.deepEqual(seen(), [undefined, undefined, false]);
  });

  it("forgets an entry when its lifetime is over since it was last set", () => {
    const clock = new FakeClock();
    const map = new BoundedMap<true>({ max: 3, lifetime: 1000, clock });
    map.set("a", true);
    clock.pass(600);
    map.get("a");
    map.set("b", true);
    clock.pass(401);
    assert.deepEqual([map.has("a"), map.has("b")], [false, true]);
  });
});
