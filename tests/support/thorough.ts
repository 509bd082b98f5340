// How much the tests try. `npm test` is quick: `npm run test:long` tries the rest, with TEST_RUN=again for
// the same files and TEST_RUN=long for those that take long (scripts/test.mjs).

import process from "node:process";

/** What each of the two suites needs of a file that has a quick form. */
export type TestRun = "quick" | "again" | "long";

/** @throws Error where TEST_RUN is something else */
export function testRunIn(environment: Readonly<Record<string, string | undefined>>): TestRun {
  const run = environment["TEST_RUN"] ?? "";
  if (run === "") return "quick";
  if (run === "again" || run === "long") return run;
  throw new Error(`TEST_RUN must be "again" or "long", not "${run}"`);
}

export const TEST_RUN = testRunIn(process.env);
export const THOROUGH = TEST_RUN !== "quick";
