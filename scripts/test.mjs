// All tests on both runtimes, and on the executable, which is built first. Arguments are passed on
// as the files or folders to test. The last line counts what passed, failed and was skipped.

import { spawn } from "node:child_process";
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
        PATH: `${binaries}:${process.env.PATH}`,
        NO_COLOR: "1",
        // No test asks another machine for an identity.
        AZURE_TOKEN_CREDENTIALS: "EnvironmentCredential",
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

function count(output, pattern) {
  return Number(pattern.exec(output)?.[1] ?? 0);
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
  {
    runtime: "Deno",
    status: deno.status,
    // Steps are the tests inside a `describe`.
    passed: count(deno.output, /\((\d+) steps?\)/) || count(deno.output, /(\d+) passed/),
    failed: count(deno.output, /(\d+) failed/),
    skipped: count(deno.output, /(\d+) ignored/),
  },
  {
    runtime: "Bun",
    status: bun.status,
    passed: count(bun.output, /(\d+) pass\n/),
    failed: count(bun.output, /(\d+) fail\n/),
    skipped: count(bun.output, /(\d+) skip\n/),
  },
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
