// fast-check with the seed and the number of runs that all properties share. Tests import it from here,
// as `import * as fc`, and `tests/property_test.ts` holds them to it: a property with a seed of its own
// would fail once, in the run of somebody who has changed nothing.
//
// PROPERTY_SEED and PROPERTY_RUNS, as `npm run bench -- properties` prints them, do the same again:
// `PROPERTY_SEED=7 PROPERTY_RUNS=10 npm test -- FILE`.

import process from "node:process";
import * as original from "fast-check";
import { testRunIn } from "./thorough.ts";

export * from "fast-check";

type Environment = Readonly<Record<string, string | undefined>>;

/** The seed of `npm test`. */
export const STANDARD_SEED = 20_261_105;

/**
 * The seed that `PROPERTY_SEED` names, or the standard one.
 *
 * @throws Error where it is no whole number of 32 bits, which is all that fast-check uses
 */
export function seedIn(environment: Environment): number {
  const text = environment["PROPERTY_SEED"] ?? "";
  if (text === "") return STANDARD_SEED;
  const seed = /^-?\d{1,10}$/.test(text) ? Number(text) : NaN;
  if (seed !== (seed | 0)) throw new Error(`PROPERTY_SEED must be a whole number, not "${text}"`);
  return seed;
}

/**
 * How many times as many values as usual each property is to try: `PROPERTY_RUNS`, or 1.
 *
 * @throws Error where it is no number from 1 to 1000
 */
export function factorIn(environment: Environment): number {
  const text = environment["PROPERTY_RUNS"] ?? "";
  if (text === "") return 1;
  const factor = /^\d{1,4}$/.test(text) ? Number(text) : NaN;
  if (factor >= 1 && factor <= 1000) return factor;
  throw new Error(`PROPERTY_RUNS must be a number from 1 to 1000, not "${text}"`);
}

/** As many runs as a property has in `npm test`, at least, if it has so many. */
const QUICK_RUNS = 100;

/**
 * The runs of a property that is to have so many: in `npm test` a quarter of them, but not fewer than 100,
 * unless PROPERTY_RUNS is set; in `npm run test:long` all.
 */
export function runsIn(environment: Environment, runs: number): number {
  const quick = testRunIn(environment) === "quick" && !environment["PROPERTY_RUNS"];
  const least = Math.min(runs, QUICK_RUNS);
  return quick ? Math.max(least, Math.ceil(runs / 4)) : runs * factorIn(environment);
}

const SEED = seedIn(process.env);
/** What fast-check does unless it is told otherwise. */
const RUNS = 100;

/** As fast-check's own; where the property fails, the error has the seed and the way from it. */
export const assert: typeof original.assert = (
  property: Parameters<typeof original.assert>[0],
  { numRuns = RUNS, ...parameters }: Parameters<typeof original.assert>[1] = {},
) =>
  original.assert(property, {
    seed: SEED,
    ...parameters,
    numRuns: runsIn(process.env, numRuns),
  }) as never;
