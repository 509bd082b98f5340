import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { HeldValues } from "../../src/entra/held_values.ts";

describe("held values", () => {
  it("are one for each key, as long as one is held", () => {
    const values = new HeldValues<{ name: string }>();
    const one = { name: "one" };
    assert.equal(values.of("a", one), one);
    assert.equal(values.of("a", { name: "two" }), one);
    assert.notEqual(values.of("b", { name: "three" }), one);
  });

  it("are forgotten after they were collected, and not before", async () => {
    const values = new HeldValues<{ name: string }>();
    const kept = { name: "kept" };
    values.of("kept", kept);
    for (let i = 0; i < 1_000; i++) values.of(`${i}`, { name: `${i}` });
    // Garbage makes the collector run; it says when it has.
    for (let round = 0; round < 2_000 && values.size > 500; round++) {
      Array.from({ length: 10_000 }, (_, i) => ({ i }));
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    assert(values.size <= 500, `${values.size} are left`);
    assert.equal(values.of("kept", { name: "another" }), kept);
  });
});
