// Kills a relay with a durable queue 500 times in all under load: on both stores, on Bun, on Deno and as
// executable. Each message with a 250 has to arrive, and each duplicate to be explained by a kill.
// RELAY_BENCH_KILLS, RELAY_BENCH_SEED, RELAY_BENCH_STORE and RELAY_BENCH_PROGRAM make it another one.

import process from "node:process";
import { root } from "./support.ts";
import { theExecutable } from "./processes.ts";
import { crash } from "./queue_crash/scenario.ts";
import type { StoreName } from "./queue_crash/stores.ts";
import type { Program } from "../tests/end_to_end/programs.ts";

const STORES: readonly StoreName[] = ["sqlite", "azure-storage"];
const CLIENTS = 12;
const LIFE = 2000;

export async function queueCrash(): Promise<void> {
  const { RELAY_BENCH_KILLS, RELAY_BENCH_SEED, RELAY_BENCH_STORE, RELAY_BENCH_PROGRAM } =
    process.env;
  const seed = Number(RELAY_BENCH_SEED ?? 20_261_129);
  const programs = programsHere().filter(({ name }) => name === (RELAY_BENCH_PROGRAM ?? name));
  const stores = STORES.filter((name) => name === (RELAY_BENCH_STORE ?? name));
  const all = Number(RELAY_BENCH_KILLS ?? 500);
  const kills = Math.ceil(all / (programs.length * stores.length));
  let problems = 0;
  for (const store of stores) {
    for (const program of programs) {
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
      const { figures: f, disagreements, seconds } = result;
      const moments = Object.entries(result.kills).map(([name, count]) => `${count} ${name}`);
      console.log(
        `  ${store}, ${program.name}: ${kills} kills (${moments.join(", ")}) in ` +
          `${
            seconds.toFixed(0)
          } s; ${f.acknowledged} messages acknowledged, ${f.arrived} arrived ` +
          `(${f.unasked} of them without a 250), ${f.duplicates} duplicates, all explained by a kill: ` +
          `${disagreements.length === 0}; ${f.deferred} tries deferred`,
      );
      for (const line of disagreements.slice(0, 30)) console.log(`  WRONG: ${line}`);
      problems += disagreements.length;
    }
  }
  if (problems > 0) throw new Error(`${problems} disagreements, of seed ${seed}`);
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
