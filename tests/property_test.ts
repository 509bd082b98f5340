/** Properties do the same in each run, unless they are told to try something new. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import process from "node:process";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import * as fc from "./support/property.ts";
import { factorIn, runsIn, seedIn, STANDARD_SEED } from "./support/property.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

describe("properties", () => {
  it("all take fast-check with its seed from tests/support/property.ts", () => {
    const folders = ["tests", "bench", "scripts"];
    const files = folders.flatMap((folder) =>
      readdirSync(`${ROOT}${folder}`, { recursive: true, encoding: "utf8" })
        .filter((file) => /\.m?[jt]s$/.test(file))
        .map((file) => `${folder}/${file.replaceAll("\\", "/")}`)
    );
    const importing = (pattern: RegExp) =>
      files.filter((file) => pattern.test(readFileSync(ROOT + file, "utf8")));
    assert.deepEqual(importing(/(?:from|import\(?)\s*"(?:npm:)?fast-check\b/), [
      "tests/support/property.ts",
    ]);
    // Else nothing would have been looked at.
    assert.ok(importing(/\bfc\.assert\(/).length > 20);
  });

  it("have the standard seed, or the one in PROPERTY_SEED", () => {
    assert.equal(seedIn({}), STANDARD_SEED);
    assert.equal(seedIn({ PROPERTY_SEED: "" }), STANDARD_SEED);
    assert.equal(seedIn({ PROPERTY_SEED: "-7" }), -7);
    for (const text of ["fresh", "1.5", "1e3", "2147483648", "99999999999"]) {
      assert.throws(() => seedIn({ PROPERTY_SEED: text }), new RegExp(`"${text}"`));
    }
  });

  it("try as many values as they say, or PROPERTY_RUNS times as many", () => {
    assert.equal(factorIn({}), 1);
    assert.equal(factorIn({ PROPERTY_RUNS: "20" }), 20);
    for (const text of ["0", "-1", "1001", "many"]) {
      assert.throws(() => factorIn({ PROPERTY_RUNS: text }), new RegExp(`"${text}"`));
    }
    let runs = 0;
    fc.assert(fc.property(fc.nat(), () => void runs++), { numRuns: 3 });
    assert.equal(runs, runsIn(process.env, 3));
  });

  it("try a quarter in npm test, but not fewer than 100, and all in npm run test:long", () => {
    assert.deepEqual([3, 100, 150, 300, 3000].map((runs) => runsIn({}, runs)), [
      3,
      100,
      100,
      100,
      750,
    ]);
    assert.equal(runsIn({ TEST_RUN: "again" }, 3000), 3000);
    assert.equal(runsIn({ PROPERTY_RUNS: "2" }, 3000), 6000);
  });

  it("try the same values in each run, and report the seed and path of a failure", () => {
    const tried = () => {
      const values: number[] = [];
      fc.assert(fc.property(fc.integer(), (value) => void values.push(value)));
      return values;
    };
    assert.deepEqual(tried(), tried());
    const seed = seedIn(process.env);
    assert.throws(
      () => fc.assert(fc.property(fc.nat(), (value) => assert.ok(value < 1000))),
      new RegExp(`seed: ${seed}, path: "\\d+[\\d:]*"`),
    );
  });
});
