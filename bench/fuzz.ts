// Fuzzing for any length of time: the targets of tests/fuzz/, guided by coverage, with a new seed
// each time.
//
// FUZZ_SECONDS for each target (30), FUZZ_SEED, FUZZ_TARGET for a single one.

import process from "node:process";
import { howToRepeat, ONLY } from "../tests/fuzz/budget.ts";
import { guided } from "../tests/fuzz/engine/guided.ts";
import { instrument } from "../tests/fuzz/engine/instrument.ts";
import { targetOf, TARGETS } from "../tests/fuzz/targets.ts";

export async function fuzzing(): Promise<void> {
  const seconds = Number(process.env["FUZZ_SECONDS"] ?? 30);
  const seed = Number(process.env["FUZZ_SEED"] ?? Date.now() % 2 ** 31);
  const targets = ONLY === undefined ? TARGETS : [targetOf(ONLY)];
  console.log(`seed ${seed}, ${seconds} s for each of ${targets.length} targets`);
  const instrumented = instrument();
  try {
    for (const { name } of targets) {
      const report = await guided(instrumented, name, { seed, seconds, runs: Infinity });
      if (report.finding !== undefined) {
        process.exitCode = 1;
        console.log(`${name}: ${howToRepeat(report.finding, seed)}`);
        continue;
      }
      const { runs = 0, edges = 0, corpus = 0, slowest = 0, growth = 0 } = report;
      console.log(
        `${name}: ${runs} runs, ${edges} branches, ${corpus} inputs kept, slowest ` +
          `${slowest.toFixed(0)} ms, heap ${growth < 0 ? "" : "+"}${
            (growth / 1024).toFixed(0)
          } KiB`,
      );
    }
  } finally {
    instrumented.remove();
  }
}
