// The largest of many groups.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "../support/property.ts";
import { Ranking } from "../../src/server/ranking.ts";

describe("a ranking", () => {
  it("knows the largest group after any change", () => {
    const steps = fc.array(fc.record({ group: fc.nat(5), size: fc.nat(8) }));
    fc.assert(fc.property(steps, (steps) => {
      const groups = Array.from({ length: 6 }, (_, number) => ({ number }));
      const ranking = new Ranking<object>();
      const sizes = new Map<object, number>();
      for (const { group: number, size } of steps) {
        const group = groups[number]!;
        ranking.resize(group, size);
        sizes.set(group, size);
        const largest = Math.max(...sizes.values());
        assert.equal(ranking.largestSize, largest);
        if (largest === 0) assert.equal(ranking.largest, undefined);
        else assert.equal(sizes.get(ranking.largest!), largest);
      }
    }));
  });

  it("names the group that has had the size longest", () => {
    const [a, b, c] = [{ name: "a" }, { name: "b" }, { name: "c" }];
    const ranking = new Ranking<object>();
    for (const group of [a, b, c]) ranking.resize(group, 2);
    assert.equal(ranking.largest, a);
    ranking.resize(a, 1);
    ranking.resize(a, 2);
    assert.equal(ranking.largest, b);
    ranking.touch(b);
    assert.equal(ranking.largest, c);
    assert.equal(ranking.largestSize, 2);
  });
});
