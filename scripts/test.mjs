// The tests on both runtimes, and on the executable, which is built first: what failed, a line for each
// folder, and the numbers last. Arguments are the files or folders to test. With --long: those of them
// that have more to try, thoroughly, then the tests that take long or need the machine for themselves, and
// those of what is deployed (tests/deploy/).

import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { filesAgain, pieces, runtimesOf, testFiles } from "./test_plan.mjs";
import { counts, failedFiles, failureText } from "./test_results.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const binaries = `${root}node_modules/.bin/`;
/** Minutes for one process; then something hangs. */
const MOST_MINUTES = 10;
/** A script's exit status when this machine cannot do what it tests. */
const CANNOT = 77;

const args = process.argv.slice(2);
const long = args.includes("--long");
const paths = args.filter((arg) => arg !== "--long");
let files;
let again = { Deno: [], Bun: [] };
try {
  const where = paths.length > 0 ? paths : ["tests"];
  files = testFiles(root, where, long);
  if (long) again = filesAgain(root, where);
} catch (error) {
  console.error(`test: ${error.message}`);
  process.exit(1);
}
const scripts = long && paths.length === 0
  ? readdirSync(`${root}tests/deploy`).filter((name) => name.endsWith(".sh")).sort()
    .map((name) => `tests/deploy/${name}`)
  : [];
const results = mkdtempSync(join(tmpdir(), "relay-tests-"));

const RUNTIMES = {
  Deno: {
    command: "deno",
    args: (files, xml) => [
      ...["test", "-A", "--no-check", "--reporter=dot", `--junit-path=${xml}`],
      ...files,
    ],
  },
  Bun: {
    command: "bun",
    args: (files, xml) => [
      // Milliseconds for one test: a busy machine is no reason to fail.
      ...["test", "--timeout=60000", "--only-failures"],
      ...["--reporter=junit", `--reporter-outfile=${xml}`],
      ...files.map((file) => `./${file}`),
    ],
  },
};

/**
 * Runs a command to its end.
 *
 * @param testRun what tests/support/thorough.ts reads; empty for the quick form
 * @returns its exit status, and what it has printed
 */
function run(command, args, testRun = "") {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: root,
      env: {
        ...process.env,
        PATH: `${binaries}${delimiter}${process.env.PATH}`,
        NO_COLOR: "1",
        // No test asks another machine for an identity.
        AZURE_TOKEN_CREDENTIALS: "EnvironmentCredential",
        // Nor does Deno ask for a newer Deno.
        DENO_NO_UPDATE_CHECK: "1",
        TEST_RUN: testRun,
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text) => output += text);
    }
    const watch = setTimeout(() => {
      output += `\nended after ${MOST_MINUTES} minutes: something hangs\n`;
      child.kill("SIGKILL");
    }, MOST_MINUTES * 60_000);
    child.on("error", (error) => output += error);
    child.on("close", (status) => {
      clearTimeout(watch);
      resolve({ status, output });
    });
  });
}

const total = { passed: 0, failed: 0, skipped: 0 };
/** Commands that run again what has failed. */
const failures = new Set();
/** What is known of each line to be printed: a runtime's folder. */
const lines = new Map();

/** Adds the numbers of a piece to its line, which is printed with the last of its pieces. */
function printLine(label, { passed, failed, skipped }, seconds) {
  const line = lines.get(label);
  line.pieces--;
  line.seconds += seconds;
  for (const [key, count] of Object.entries({ passed, failed, skipped })) {
    line[key] += count;
    total[key] += count;
  }
  if (line.pieces > 0) return;
  const notes = [
    `${line.passed} passed`,
    ...(line.failed > 0 ? [`${line.failed} failed`] : []),
    ...(line.skipped > 0 ? [`${line.skipped} skipped`] : []),
  ];
  console.log(`${label.padEnd(28)} ${notes.join(", ").padEnd(24)} ${line.seconds.toFixed(1)} s`);
}

function expect(label) {
  const line = lines.get(label) ?? { passed: 0, failed: 0, skipped: 0, seconds: 0, pieces: 0 };
  line.pieces++;
  lines.set(label, line);
}

function fail(what, command, text) {
  console.log(`\n${what} FAILED\n\n${text}\n`);
  failures.add(command);
}

let count = 0;

/** @returns what runs a piece of the tests on a runtime */
function testing(runtime, { folder, files }, testRun) {
  const label = `${runtime.padEnd(4)} ${folder}${testRun === "again" ? ", more" : ""}`;
  expect(label);
  return async () => {
    const xmlFile = join(results, `${count++}.xml`);
    const begun = performance.now();
    const { command, args } = RUNTIMES[runtime];
    const { status, output } = await run(`${binaries}${command}`, args(files, xmlFile), testRun);
    let xml = "";
    try {
      xml = readFileSync(xmlFile, "utf8");
    } catch {
      // The process has died, which its status says.
    }
    const found = counts(xml);
    // Bun does not count the tests of a group that is skipped: no haproxy, no Helm, no browser.
    if (status === 0 && found.passed + found.failed + found.skipped === 0) found.skipped = 1;
    if (status !== 0) {
      found.failed ||= 1;
      const failed = failedFiles(files, xml, output);
      fail(
        `${runtime}: ${failed.join(" ")}`,
        `${testRun === "" ? "" : `TEST_RUN=${testRun} `}npm test -- ${failed.join(" ")}`,
        failureText(output),
      );
    }
    printLine(label, found, (performance.now() - begun) / 1000);
  };
}

/** @returns what runs a script, which counts as one test */
function deploying(script) {
  const label = `bash ${script}`;
  expect(label);
  return async () => {
    const begun = performance.now();
    const { status, output } = await run("bash", [script]);
    const found = {
      passed: Number(status === 0),
      failed: Number(status !== 0 && status !== CANNOT),
      skipped: Number(status === CANNOT),
    };
    if (found.failed > 0) fail(script, label, output.trim());
    if (found.skipped > 0) console.log(output.trim());
    printLine(label, found, (performance.now() - begun) / 1000);
  };
}

/** Runs the queue's work, so much of it at once. */
async function work(queue, atOnce) {
  const worker = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) await next();
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}

const build = await run(`${binaries}bun`, ["scripts/build.ts"]);
if (build.status !== 0) {
  console.log(build.output);
  process.exit(1);
}

const runtimes = Object.keys(RUNTIMES);
// One more than there are cores: tests wait for much of their time.
const atOnce = Math.min(availableParallelism() + 1, 5);
const more = runtimes.flatMap((runtime) =>
  pieces(again[runtime]).map((piece) => testing(runtime, piece, "again"))
);
const testRun = long ? "long" : process.env.TEST_RUN ?? "";
const queue = pieces(files).flatMap((piece) =>
  runtimesOf(piece, runtimes).map((runtime) => testing(runtime, piece, testRun))
);
queue.push(...scripts.map(deploying));
await work(more, atOnce);
// What takes long measures, too, and has the machine for itself.
await work(queue, long ? 1 : atOnce);
rmSync(results, { recursive: true });

if (total.passed + total.failed === 0) total.failed = 1;
if (failures.size > 0) {
  console.log(`\nTo run again what failed:\n  ${[...failures].join("\n  ")}`);
}
console.log(
  `\n${total.passed} passed, ${total.failed} failed` +
    (total.skipped > 0 ? `, ${total.skipped} skipped` : ""),
);
process.exit(total.failed > 0 ? 1 : 0);
