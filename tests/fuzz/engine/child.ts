// The fuzzing program: runs one target, writes a report as JSON. It is a separate process, so that
// its parent can end it when an input makes it hang, and knows which input it was.
//
// Arguments: the module with the targets, how many branches it has, the target's name, the seed, runs,
// seconds, and a file for the input that is being run.

import { closeSync, ftruncateSync, openSync, writeSync } from "node:fs";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { Coverage } from "./coverage.ts";
import { base64, fuzz, type Report } from "./fuzz.ts";
import type { Target } from "./target.ts";

/** The child's report at its end. */
export interface ChildReport extends Omit<Report, "corpus"> {
  readonly corpus: number;
  /** Branches that were taken, of how many. */
  readonly edges: number;
  readonly branches: number;
  /** Octets that the heap has grown by while known inputs were run {@link RUNS_AGAIN} times, at least. */
  readonly growth: number;
}

/** Inputs that are run again, and how often altogether, to see whether memory grows. */
const MAX_AGAIN = 100;
const RUNS_AGAIN = 300;
/**
 * Spans of so many runs: the collector may not see yet that the last buffer of one is free, some
 * megabytes at once. What each run leaks grows in all of them.
 */
const SPANS = 3;
/** Milliseconds for all of it: inputs that were made to take time need not be run as often. */
const MAX_TIME = 10_000;
/** Octets of growth that are worth another span. */
const NOTICEABLE = 1_000_000;

const { gc } = globalThis as { gc?: () => unknown };

async function heap(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    gc?.();
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  return process.memoryUsage().heapUsed;
}

/** Runs known inputs again: what is left after by each shows as growth. */
async function growth(target: Target, inputs: readonly Uint8Array[]): Promise<number> {
  const end = performance.now() + MAX_TIME;
  const again = async (runs: number) => {
    for (let i = 0; i < runs && performance.now() < end; i++) {
      const pending = target.run(inputs[i % inputs.length]!);
      if (pending !== undefined) await pending;
    }
  };
  await again(MAX_AGAIN);
  let before = await heap();
  let least = Infinity;
  for (let span = 0; span < SPANS && least > NOTICEABLE; span++) {
    await again(RUNS_AGAIN);
    const after = await heap();
    least = Math.min(least, after - before);
    before = after;
  }
  return least;
}

async function main(): Promise<void> {
  const [module = "", branches, name = "", seed, runs, seconds, file = ""] = process.argv.slice(2);
  const coverage = new Coverage(Number(branches));
  coverage.listen();
  // Only now: it is instrumented, and says so from its first line on.
  const { targetOf } = await import(pathToFileURL(module).href) as typeof import("../targets.ts");
  const target = targetOf(name);
  const noted = openSync(file, "w");
  const budget = { seed: Number(seed), runs: Number(runs), seconds: Number(seconds) };
  const { corpus, ...report } = await fuzz(target, budget, coverage, (input) => {
    const text = base64(input);
    ftruncateSync(noted, text.length);
    writeSync(noted, text, 0);
  });
  const said: ChildReport = {
    ...report,
    corpus: corpus.length,
    edges: coverage.edges,
    branches: coverage.size,
    growth: report.finding === undefined ? await growth(target, corpus.slice(0, MAX_AGAIN)) : 0,
  };
  closeSync(noted);
  console.log(JSON.stringify(said));
}

process.on("unhandledRejection", (error) => {
  console.error("unhandled rejection:", error);
  process.exit(3);
});
await main();
process.exit(0);
