// All tests on both runtimes, and on the executable, which is built first. Arguments are passed on
// as the files or folders to test. The last line counts what passed, failed and was skipped.

import { spawn } from "node:child_process";
import { delimiter } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const binaries = `${root}node_modules/.bin/`;
const paths = process.argv.slice(2);

/** Runs a command, shows what it prints, and hands that back. */
function run(command, args) {
  console.log(`\n${command} ${args.join(" ")}`);
  return new Promise((resolve) => {
    const child = spawn(`${binaries}${command}`, args, {
      cwd: root,
      env: {
        ...process.env,
        PATH: `${binaries}${delimiter}${process.env.PATH}`,
        NO_COLOR: "1",
        // No test asks another machine for an identity.
        AZURE_TOKEN_CREDENTIALS: "EnvironmentCredential",
        // Nor does Deno ask for a newer Deno.
        DENO_NO_UPDATE_CHECK: "1",
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text) => {
        output += text;
        process.stdout.write(text);
      });
    }
    child.on("close", (status) => resolve({ status, output }));
  });
}

/** The last line of the output that matches: tests may print what looks like a summary. */
function last(output, pattern) {
  return [...output.matchAll(pattern)].at(-1)?.groups ?? {};
}

/** Deno counts in tests and, in brackets, in steps, which are the tests inside a `describe`. */
function denoCounts(output) {
  const part = (name) => `(?<${name}>\\d+) ${name}(?: \\((?<${name}Steps>\\d+) steps?\\))?`;
  const line = new RegExp(
    `^(?:ok|FAILED) \\| ${part("passed")} \\| ${part("failed")}(?: \\| ${part("ignored")})?`,
    "gm",
  );
  const found = last(output, line);
  const count = (name) => Number(found[`${name}Steps`] ?? found[name] ?? 0);
  return { passed: count("passed"), failed: count("failed"), skipped: count("ignored") };
}

function bunCounts(output) {
  const count = (word) => Number(last(output, new RegExp(`^ *(?<n>\\d+) ${word}$`, "gm")).n ?? 0);
  return { passed: count("pass"), failed: count("fail"), skipped: count("skip") };
}

const build = await run("bun", ["scripts/build.ts"]);
if (build.status !== 0) process.exit(1);

// Each runtime finds the tests by itself: `_test.ts` under tests/.
const deno = await run("deno", [
  "test",
  "-A",
  "--no-check",
  ...(paths.length > 0 ? paths : ["tests"]),
]);
const bun = await run("bun", [
  "test",
  // Milliseconds for one test: a busy machine is no reason to fail.
  "--timeout=60000",
  ...(paths.length > 0 ? paths.map((path) => `./${path}`) : ["./tests"]),
]);

const results = [
  { runtime: "Deno", status: deno.status, ...denoCounts(deno.output) },
  { runtime: "Bun", status: bun.status, ...bunCounts(bun.output) },
];
console.log();
for (const { runtime, passed, failed, skipped } of results) {
  console.log(`${runtime}: ${passed} passed, ${failed} failed, ${skipped} skipped`);
}
const total = (key) => results.reduce((sum, result) => sum + result[key], 0);
const broken = results.some(({ status, passed, failed }) =>
  status !== 0 || failed > 0 || passed === 0
);
const failed = total("failed") || (broken ? 1 : 0);
const skipped = total("skipped");
console.log(
  `${total("passed")} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`,
);
process.exit(broken ? 1 : 0);
