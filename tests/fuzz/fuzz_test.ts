/**
 * Whatever strangers and services send, the rules of each target hold: inputs made by chance of a
 * fixed seed. Each is run again where its octets are known to have broken something once.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import { blindBudget, howToRepeat, ONLY, SEED } from "./budget.ts";
import { fuzz, TOO_SLOW } from "./engine/fuzz.ts";
import { FINDINGS } from "./findings.ts";
import { targetOf, TARGETS } from "./targets.ts";

describe("what fuzzing has found", () => {
  for (const { target, what, input } of FINDINGS) {
    it(`stays mended: ${target}, ${what}`, async () => {
      const before = performance.now();
      await targetOf(target).run(Buffer.from(input, "base64"));
      assert.ok(performance.now() - before < TOO_SLOW, "it takes too long");
    });
  }
});

describe(`inputs by chance, FUZZ_SEED=${SEED}`, () => {
  for (const target of TARGETS) {
    if (ONLY !== undefined && ONLY !== target.name) continue;
    it(`break no rule of ${target.name}`, async () => {
      const { finding, runs } = await fuzz(target, blindBudget(target.name));
      if (finding !== undefined) assert.fail(howToRepeat(finding));
      assert.ok(runs > target.seeds.length);
    });
  }
});
