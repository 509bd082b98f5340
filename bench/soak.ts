// A soak of 20,000 messages, with a cloud that fails in every known way at random and clients that
// hang up at random. At its end the ledgers of clients, relay and cloud have to agree, and memory and
// open files have to be where they were after the first 3,000. At most ten minutes.
// RELAY_BENCH_MESSAGES and RELAY_BENCH_SEED make it another one.

import process from "node:process";
import { theExecutable } from "./processes.ts";
import { soak as scenario, type SoakResult } from "./soak/scenario.ts";

/** What memory at rest may have grown by since the warm-up, MB. */
const MORE_MEMORY = 40;
/** The same of open files. */
const MORE_FILES = 10;
const TIME = 540_000;
/** Unused connections to the cloud are closed after 20 seconds. */
const REST = 22_000;

export async function soak(): Promise<void> {
  const messages = Number(process.env["RELAY_BENCH_MESSAGES"] ?? 20_000);
  const seed = Number(process.env["RELAY_BENCH_SEED"] ?? 20_261_102);
  const warmUp = Math.min(3000, Math.floor(messages / 4));
  let printed = 0;
  const result = await scenario(theExecutable(), {
    seed,
    messages,
    warmUp,
    clients: 100,
    time: TIME,
    rest: REST,
    progress(text) {
      if (performance.now() - printed < 10_000) return;
      printed = performance.now();
      console.log(`  … ${text}`);
    },
  });
  report(result, messages, seed);
  const { usage: { warm, end }, disagreements, exitStatus } = result;
  const problems = [...disagreements];
  if (end.resident > warm.resident + MORE_MEMORY) problems.push("memory has grown");
  if (end.files > warm.files + MORE_FILES) problems.push("open files have grown in number");
  if (exitStatus !== 0) problems.push(`the relay ended with ${exitStatus}`);
  for (const line of problems.slice(0, 30)) console.log(`  WRONG: ${line}`);
  if (problems.length > 0) throw new Error(`${problems.length} disagreements, of seed ${seed}`);
  console.log("  The three ledgers agree.");
}

function report(
  { cloud, clients, table, seconds, usage }: SoakResult,
  messages: number,
  seed: number,
) {
  const connections = clients.reduce((sum, ledger) => sum + ledger.connections, 0);
  const times = clients.at(-1)!.times;
  console.log(
    `  ${messages} messages (seed ${seed}) over ${connections} connections in ` +
      `${seconds.toFixed(0)} s; from the final dot to 250 ${
        times.median.toFixed(0)
      } ms (median), ` +
      `${times.most.toFixed(0)} ms at most`,
  );
  for (const { what, count } of table) console.log(`    ${String(count).padStart(6)}  ${what}`);
  for (const name of ["logins", "wrongLogins"] as const) {
    const all = clients.flatMap((ledger) => Object.entries(ledger[name]));
    const sums = new Map<string, number>();
    for (const [reply, count] of all) sums.set(reply, (sums.get(reply) ?? 0) + count);
    const list = [...sums].map(([reply, count]) => `${count} × ${reply}`).join(", ");
    console.log(`  ${name === "logins" ? "logins put off" : "wrong passwords"}: ${list || "none"}`);
  }
  const faults = Object.values(cloud.faults).reduce((sum, count) => sum + count, 0);
  console.log(
    `  the cloud: ${faults} faults of ${Object.keys(cloud.faults).length} kinds, ${cloud.resets} ` +
      `connections reset, ${cloud.closings} times closed; ${cloud.requests} sendMail requests, ` +
      `${cloud.throttled} over its limit; ${cloud.drafts} drafts left`,
  );
  const { start, warm, end } = usage;
  console.log(
    `  the relay at rest: ${start.resident.toFixed(0)} MB and ${start.files} files at the start, ` +
      `${warm.resident.toFixed(0)} MB and ${warm.files} after warm-up, ${
        end.resident.toFixed(0)
      } ` +
      `MB and ${end.files} at the end; ${end.cpu.toFixed(0)} s of CPU`,
  );
}
