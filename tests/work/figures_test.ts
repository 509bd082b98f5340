// The comparison with recorded figures.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { differences, rounded } from "./figures.ts";

describe("figures of work", () => {
  it("are as recorded within a tenth", () => {
    assert.deepEqual(differences({ reads: 5, octets: 1000 }, { reads: 5.5, octets: 900 }), []);
  });

  it("are named where they have grown by more", () => {
    assert.deepEqual(differences({ reads: 5, writes: 5 }, { reads: 5, writes: 6 }), [
      "  writes: 5 → 6, +20 %: more than recorded",
    ]);
  });

  it("are named where they are lower by more, to be recorded", () => {
    assert.deepEqual(differences({ writes: 5 }, { writes: 4 }), [
      "  writes: 5 → 4, -20 %: less: record it, so that it stays so",
    ]);
  });

  it("are named where one is new, or there no more", () => {
    assert.deepEqual(differences({ timers: 2 }, { promises: 3 }), [
      "  timers: 2 → 0, -100 %: less: record it, so that it stays so",
      "  promises: 0 → 3, which was not there: more than recorded",
    ]);
  });

  it("may differ by their slack", () => {
    const slack = (name: string) => name === "others" ? 0.25 : 0;
    const found = differences({ others: 0.1, reads: 0.1 }, { others: 0.3, reads: 0.3 }, slack);
    assert.deepEqual(found, ["  reads: 0.1 → 0.3, +200 %: more than recorded"]);
    assert.equal(differences({ others: 0.1 }, { others: 0.4 }, slack).length, 1);
  });

  it("have two decimals where they are small", () => {
    assert.deepEqual([rounded(5.0049), rounded(22_141.7)], [5, 22_142]);
  });
});
