// How long each target is fuzzed, and with which seed: by numbers of runs, so that every machine does
// the same. Seconds end it only where a machine is so slow that the suite would wait for it.

import process from "node:process";
import { THOROUGH } from "../support/thorough.ts";
import type { Budget, Finding } from "./engine/fuzz.ts";

/** `FUZZ_SEED`, or the standard one. */
export const SEED = Number(process.env["FUZZ_SEED"] ?? 20_261_105);

/** Only this target, where `FUZZ_TARGET` names one. */
export const ONLY = process.env["FUZZ_TARGET"];

/** Runs without coverage; a run of some targets is much more work than one of others. */
const BLIND: Readonly<Record<string, number>> = {
  session: 3000,
  message: 1500,
  mime: 800,
  graph: 3000,
  upload: 150,
  entra: 2000,
  settings: 3000,
  log: 1500,
  repeated: 200,
  three: 200,
};
/** With coverage. */
const GUIDED: Readonly<Record<string, number>> = {
  session: 1500,
  message: 1500,
  mime: 1000,
  http_response: 3000,
  graph: 3000,
  upload: 250,
  entra: 2000,
  settings: 4000,
  log: 2000,
  repeated: 200,
  three: 200,
};

/** In `npm test` a third of the runs: the first ones of the same seed. */
export function blindBudget(target: string): Budget {
  const runs = BLIND[target] ?? 5000;
  return { seed: SEED, runs: THOROUGH ? runs : Math.ceil(runs / 3), seconds: 20 };
}

export function guidedBudget(target: string): Budget {
  return { seed: SEED, runs: GUIDED[target] ?? 8000, seconds: 30 };
}

/** What to do with a finding, as the tests and the bench say it. */
export function howToRepeat(
  { target, input, error }: Finding,
  seed = SEED,
): string {
  return `${error}\n\nTo see it again, add this to FINDINGS in tests/fuzz/findings.ts:\n` +
    `  { target: ${JSON.stringify(target)}, what: "…", input: ${JSON.stringify(input)} },\n` +
    `It was found with FUZZ_SEED=${seed}.`;
}
