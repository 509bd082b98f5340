// Kills a relay with a durable queue 500 times in all under load: on both stores, on Bun, on Deno and as
// executable. Then two and four relays share a queue, one of which is killed. Each message with a 250 has to
// arrive, and each duplicate to be explained by a kill.
// RELAY_BENCH_KILLS, RELAY_BENCH_RELAYS, RELAY_BENCH_SEED, RELAY_BENCH_STORE and RELAY_BENCH_PROGRAM make it
// another one.

import process from "node:process";
import { median, root } from "./support.ts";
import { theExecutable } from "./processes.ts";
import type { Comparison } from "./queue_crash/ledgers.ts";
import { crash } from "./queue_crash/scenario.ts";
import { killOneOf } from "./queue_crash/several.ts";
import type { StoreName } from "./queue_crash/stores.ts";
import type { Program } from "../tests/end_to_end/programs.ts";

const STORES: readonly StoreName[] = ["sqlite", "azure-storage"];
const CLIENTS = 12;
const LIFE = 2000;
/** Relays that share a queue, in each of the last runs. */
const RELAYS = "2,4";
/** Messages before one of them is killed. */
const MESSAGES = 500;

export async function queueCrash(): Promise<void> {
  const { RELAY_BENCH_KILLS, RELAY_BENCH_SEED, RELAY_BENCH_STORE, RELAY_BENCH_PROGRAM } =
    process.env;
  const seed = Number(RELAY_BENCH_SEED ?? 20_261_129);
  const programs = programsHere().filter(({ name }) => name === (RELAY_BENCH_PROGRAM ?? name));
  const stores = STORES.filter((name) => name === (RELAY_BENCH_STORE ?? name));
  const all = Number(RELAY_BENCH_KILLS ?? 500);
  const kills = Math.ceil(all / (programs.length * stores.length));
  let problems = 0;
  for (const store of all === 0 ? [] : stores) {
    for (const program of programs) {
      problems += await killAgainAndAgain(program, store, kills, seed);
    }
  }
  for (const relays of stores.includes("azure-storage") ? relayCounts() : []) {
    for (const program of programs) problems += await killOne(program, relays, seed);
  }
  if (problems > 0) throw new Error(`${problems} disagreements, of seed ${seed}`);
}

/** @returns the number of disagreements */
async function killAgainAndAgain(
  program: Program,
  store: StoreName,
  kills: number,
  seed: number,
): Promise<number> {
  let printed = performance.now();
  const result = await crash(program, {
    seed,
    store,
    kills,
    clients: CLIENTS,
    life: LIFE,
    progress(text) {
      if (performance.now() - printed < 30_000) return;
      printed = performance.now();
      console.log(`  … ${text}`);
    },
  });
  const moments = Object.entries(result.kills).map(([name, count]) => `${count} ${name}`);
  console.log(
    `  ${store}, ${program.name}: ${kills} kills (${moments.join(", ")}) in ` +
      `${result.seconds.toFixed(0)} s; ${figuresOf(result)}`,
  );
  return report(result);
}

/** @returns the number of disagreements */
async function killOne(program: Program, relays: number, seed: number): Promise<number> {
  const result = await killOneOf(program, {
    seed,
    relays,
    clients: CLIENTS,
    messages: MESSAGES,
    waits: true,
  });
  const { takenOver, shares, seconds } = result;
  const [shortest = 0, longest = 0] = [takenOver[0], takenOver.at(-1)];
  console.log(
    `  azure-storage, ${program.name}: one of ${relays} relays killed, in ${
      seconds.toFixed(0)
    } s; ` +
      `${figuresOf(result)}; sent by each: ${shares.join(", ")}; ${takenOver.length} messages ` +
      `of the killed one taken over after ${shortest.toFixed(0)} to ${longest.toFixed(0)} s ` +
      `(median ${median(takenOver)?.toFixed(0)})`,
  );
  return report(result);
}

function figuresOf({ figures: f, disagreements }: Comparison): string {
  return `${f.acknowledged} messages acknowledged, ${f.arrived} arrived ` +
    `(${f.unasked} of them without a 250), ${f.duplicates} duplicates, all explained by a kill: ` +
    `${disagreements.length === 0}; ${f.deferred} tries deferred`;
}

function report({ disagreements }: Comparison): number {
  for (const line of disagreements.slice(0, 30)) console.log(`  WRONG: ${line}`);
  return disagreements.length;
}

function relayCounts(): number[] {
  const text = process.env["RELAY_BENCH_RELAYS"] ?? RELAYS;
  return text.split(",").map(Number).filter((count) => count > 1);
}

function programsHere(): readonly Program[] {
  const main = `${root}src/main.ts`;
  const binaries = `${root}node_modules/.bin/`;
  return [
    { name: "Bun", command: [`${binaries}bun`, main] },
    { name: "Deno", command: [`${binaries}deno`, "run", "-A", "--no-check", main] },
    theExecutable(),
  ];
}
