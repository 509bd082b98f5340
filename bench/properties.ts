// The tests with properties, again and again with fresh seeds, on both runtimes in turn. Each round has
// one seed, which is printed.
//
// PROPERTY_SECONDS (60) after which no round begins, PROPERTY_RUNS (10) times as many values as in the
// tests, PROPERTY_SEED of the first round.

import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { randomInt } from "node:crypto";
import process from "node:process";
import { seedIn } from "../tests/support/property.ts";
import { root } from "./support.ts";

const RUNTIMES: readonly (readonly [name: string, ...args: string[]])[] = [
  ["deno", "test", "-A", "--no-check", "--reporter=dot"],
  ["bun", "test", "--timeout=600000", "--only-failures"],
];

function files(): string[] {
  return readdirSync(`${root}tests`, { recursive: true, encoding: "utf8" })
    .map((file) => `./tests/${file.replaceAll("\\", "/")}`)
    .filter((file) => file.endsWith("_test.ts"))
    .filter((file) => readFileSync(root + file, "utf8").includes("fc.assert("))
    .sort();
}

const RUNS = process.env["PROPERTY_RUNS"] || "10";

interface Round {
  readonly passed: boolean;
  readonly output: string;
}

function round([name, ...args]: (typeof RUNTIMES)[number], seed: number): Promise<Round> {
  const child = spawn(`${root}node_modules/.bin/${name}`, [...args, ...files()], {
    cwd: root,
    env: {
      ...process.env,
      PROPERTY_SEED: String(seed),
      PROPERTY_RUNS: RUNS,
      NO_COLOR: "1",
      AZURE_TOKEN_CREDENTIALS: "EnvironmentCredential",
      DENO_NO_UPDATE_CHECK: "1",
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => output += text);
  }
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (status) => resolve({ passed: status === 0, output }));
  });
}

export async function properties(): Promise<void> {
  const seconds = Number(process.env["PROPERTY_SECONDS"] ?? 60);
  const fresh = () => randomInt(-(2 ** 31), 2 ** 31);
  const end = performance.now() + seconds * 1000;
  let seed = process.env["PROPERTY_SEED"] ? seedIn(process.env) : fresh();
  for (let rounds = 0; rounds === 0 || performance.now() < end; rounds++) {
    const runtime = RUNTIMES[rounds % RUNTIMES.length]!;
    const begun = performance.now();
    const { passed, output } = await round(runtime, seed);
    const took = ((performance.now() - begun) / 1000).toFixed(0);
    const name = `PROPERTY_SEED=${seed} PROPERTY_RUNS=${RUNS}, ${runtime[0]}`;
    console.log(`${name}: ${passed ? "all hold" : "not all hold"}, ${took} s`);
    if (!passed) {
      process.exitCode = 1;
      console.log(output);
    }
    seed = fresh();
  }
}
