// The largest of many groups.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "../support/property.ts";
import { Ranking } from "../../src/server/ranking.ts";

describe("a ranking", () => {
  it("knows the largest group after any change", () => {
    const steps = fc.array(fc.record({ group: fc.nat(5), size: fc.nat(8) }));
    fc.assert(fc.property(steps, (steps) => {
      const ranking = new Ranking<number>();
      const sizes = new Map<number, number>();
      for (const { group, size } of steps) {
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
    const ranking = new Ranking<string>();
    for (const group of ["a", "b", "c"]) ranking.resize(group, 2);
    assert.equal(ranking.largest, "a");
    ranking.resize("a", 1);
    ranking.resize("a", 2);
    assert.equal(ranking.largest, "b");
    ranking.touch("b");
    assert.equal(ranking.largest, "c");
    assert.equal(ranking.largestSize, 2);
  });
});
