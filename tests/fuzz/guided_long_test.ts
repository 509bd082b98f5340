/**
 * The same targets, instrumented: an input that reaches something new is kept and changed further.
 * Each target is a separate process, so that a hang is found, too.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { guidedBudget, howToRepeat, ONLY, SEED } from "./budget.ts";
import { guided } from "./engine/guided.ts";
import { instrument, type Instrumented } from "./engine/instrument.ts";
import { TARGETS } from "./targets.ts";

/** Octets by which the heap may grow in 300 runs: what the runtime keeps by itself, and no more. */
const MAX_GROWTH = 2_000_000;

/** Branches that each target reaches at least: with fewer, the feedback does not work. */
const LEAST_EDGES = 60;

describe(`inputs that coverage guides, FUZZ_SEED=${SEED}`, () => {
  let instrumented: Instrumented;
  before(() => {
    instrumented = instrument();
  });
  after(() => instrumented.remove());

  for (const { name, seeds } of TARGETS) {
    if (ONLY !== undefined && ONLY !== name) continue;
    it(`break no rule of ${name}, do not hang, and leak no memory`, async () => {
      const report = await guided(instrumented, name, guidedBudget(name));
      if (report.finding !== undefined) assert.fail(howToRepeat(report.finding));
      const { edges = 0, corpus = 0, growth = Infinity } = report;
      assert.ok(edges > LEAST_EDGES, `only ${edges} branches`);
      assert.ok(corpus > seeds.length, "no input was worth keeping");
      assert.ok(growth < MAX_GROWTH, `the heap has grown by ${growth} octets`);
    });
  }
});
