// `npm test` and `npm run test:long`: together they run each test file, and what they count is right.

import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { filesAgain, pieces, runtimesOf, testFiles } from "../../scripts/test_plan.mjs";
import { counts, failedFiles, failureText } from "../../scripts/test_results.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const LONG = "tests/fuzz/guided_long_test.ts";
const QUICK = "tests/fuzz/fuzz_test.ts";

describe("the tests that are run", () => {
  it("are all there are, each once, by one of the two commands", () => {
    const all = readdirSync(`${root}tests`, { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith("_test.ts"))
      .map((name) => `tests/${name}`);
    const both = [...testFiles(root, ["tests"], false), ...testFiles(root, ["tests"], true)];
    const run = pieces(both).flatMap(({ files }) => files);
    assert.deepEqual(run.sort(), all.sort());
  });

  it("are those of a folder, or the file that is named, however long it takes", () => {
    const quick = testFiles(root, ["tests/fuzz/"], false);
    assert.ok(quick.includes(QUICK) && !quick.includes(LONG), String(quick));
    assert.deepEqual(testFiles(root, ["tests/fuzz"], true), [LONG]);
    assert.deepEqual(testFiles(root, [`./${LONG}`, QUICK], false), [QUICK, LONG]);
    assert.throws(() => testFiles(root, ["tests/nowhere"], false), /there is no tests\/nowhere/);
  });

  it("are run again by the long suite where there is more to try, or another program", () => {
    const property = "tests/message/structure_test.ts";
    const program = "tests/end_to_end/stop_test.ts";
    const neither = "tests/smtp/purity_test.ts";
    const again = filesAgain(root, [property, program, neither, QUICK, LONG]);
    assert.deepEqual(again.Deno, [QUICK, property]);
    assert.deepEqual(again.Bun, [program, QUICK, property]);
  });

  it("run on both runtimes, but for those of scripts and of what is deployed", () => {
    const runtimes = ["Deno", "Bun"];
    const once = new Set<string>();
    for (const piece of pieces(testFiles(root, ["tests"], false))) {
      const chosen = runtimesOf(piece, runtimes);
      if (chosen.length === 1) { for (const file of piece.files) once.add(file); }
      else assert.deepEqual(chosen, runtimes);
    }
    for (const file of ["tests/deploy/entra_test.ts", "tests/scripts/release_test.ts"]) {
      assert.ok(once.has(file), file);
    }
    // What the relay itself is made of runs on both, but for its pages in a browser.
    const ofScripts = /^tests\/(?:deploy|package|real|scripts|site)\//;
    assert.deepEqual([...once].filter((file) => !ofScripts.test(file)).sort(), [
      "tests/end_to_end/readme_page_test.ts",
      "tests/sandbox/inbox_page_test.ts",
      "tests/status/page_test.ts",
    ]);
  });

  it("share a process within a folder, but for those that start programs themselves", () => {
    const files = ["tests/smtp/a_test.ts", "tests/end_to_end/a_test.ts", "tests/smtp/b_test.ts"];
    assert.deepEqual(pieces([...files, "tests/end_to_end/b_test.ts"]), [
      { folder: "tests/end_to_end", files: ["tests/end_to_end/a_test.ts"] },
      { folder: "tests/end_to_end", files: ["tests/end_to_end/b_test.ts"] },
      { folder: "tests/smtp", files: ["tests/smtp/a_test.ts", "tests/smtp/b_test.ts"] },
    ]);
    const status = ["page", "routes", "status"].map((name) => `tests/status/${name}_test.ts`);
    assert.deepEqual(pieces(status).map(({ files }) => files), [status.slice(1), [status[0]]]);
  });
});

/** As Deno 2 writes it: groups are test cases, too, and what is inside of them is in a suite of its own. */
const DENO = `
  <testsuite name="./tests/a_test.ts" tests="2" disabled="0" errors="0" failures="1">
    <testcase name="outer" classname="./tests/a_test.ts" time="0.042">
      <failure message="1 test step failed">1 test step failed.</failure>
    </testcase>
    <testcase name="top" classname="./tests/a_test.ts" time="0.000">
    </testcase>
  </testsuite>
  <testsuite name="ext:deno_node/testing.ts" tests="4" disabled="1" errors="0" failures="2">
    <testcase name="outer &gt; passes" classname="ext:deno_node/testing.ts" time="0.001">
    </testcase>
    <testcase name="outer &gt; skips" classname="ext:deno_node/testing.ts" time="0.000">
      <skipped/>
    </testcase>
    <testcase name="outer &gt; inner" classname="ext:deno_node/testing.ts" time="0.002">
      <failure message="1 test step failed">1 test step failed.</failure>
    </testcase>
    <testcase name="outer &gt; inner &gt; fails" classname="ext:deno_node/testing.ts" time="0.002">
      <failure message="Uncaught AssertionError">AssertionError: 1 !== 2</failure>
    </testcase>
  </testsuite>
  <testsuite name="./tests/b_test.ts" tests="1" disabled="0" errors="0" failures="0">
    <testcase name="top" classname="./tests/b_test.ts" time="0.001">
    </testcase>
  </testsuite>`;

/** As Bun 1 writes it: groups are suites. */
const BUN = `
  <testsuite name="tests/a_test.ts" file="tests/a_test.ts" tests="3" failures="1" skipped="1">
    <testsuite name="outer" file="tests/a_test.ts" tests="3" failures="1" skipped="1">
      <testcase name="passes" classname="outer" time="0.0008" file="tests/a_test.ts" />
      <testcase name="skips" classname="outer" time="0" file="tests/a_test.ts">
        <skipped />
      </testcase>
      <testcase name="fails" classname="outer" time="0.02" file="tests/a_test.ts">
        <failure type="AssertionError" message="1 !== 2">AssertionError: 1 !== 2</failure>
      </testcase>
    </testsuite>
  </testsuite>
  <testsuite name="tests/b_test.ts" file="tests/b_test.ts" tests="1" failures="0" skipped="0">
    <testcase name="top" classname="" time="0.00003" file="tests/b_test.ts" />
  </testsuite>`;

const FILES = ["tests/a_test.ts", "tests/b_test.ts"];

describe("what is counted", () => {
  it("is each test, and no group of them", () => {
    assert.deepEqual(counts(DENO), { passed: 3, failed: 1, skipped: 1 });
    assert.deepEqual(counts(BUN), { passed: 2, failed: 1, skipped: 1 });
    assert.deepEqual(counts(""), { passed: 0, failed: 0, skipped: 0 });
  });

  it("has the files that failed; all of them where nothing says which", () => {
    assert.deepEqual(failedFiles(FILES, DENO, ""), ["tests/a_test.ts"]);
    assert.deepEqual(failedFiles(FILES, BUN, ""), ["tests/a_test.ts"]);
    const broken = "./tests/b_test.ts (uncaught error)\nerror: broken";
    assert.deepEqual(failedFiles(FILES, "", broken), ["tests/b_test.ts"]);
    const unloaded = "\ntests/b_test.ts:\n\n# Unhandled error between tests\n";
    assert.deepEqual(failedFiles(FILES, BUN, unloaded), FILES);
    assert.deepEqual(failedFiles(FILES, "", "Killed"), FILES);
  });

  it("is shown with the words about what failed, and no others", () => {
    const deno =
      ".\n!\n\n ERRORS \n\nouter ... fails\nerror: 1 !== 2\n\n FAILURES \n\nouter ... fails\n";
    assert.equal(failureText(deno), "outer ... fails\nerror: 1 !== 2");
    assert.equal(
      failureText("bun test v1.4.5 (a7733435c)\n\na_test.ts:\n1 !== 2\n"),
      "a_test.ts:\n1 !== 2",
    );
    assert.equal(failureText("Killed\n"), "Killed");
  });
});
