// Loads LOOKUP_FILE with 10,000 entries again and again: the time until the new entries are in use, and the
// longest time that everything else has waited meanwhile. Both become smaller with fewer entries.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { LookupFile } from "../src/accounts/lookup_file.ts";
import { formatPasswordHash } from "../src/accounts/password_hash.ts";

const ENTRIES = 10_000;
const RUNS = 20;
/** Milliseconds. */
const MAX_TIME = 100;
const MAX_STALL = 10;

export async function lookupFile(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "relay-bench-"));
  const path = join(directory, "lookup.json");
  try {
    const texts = Array.from({ length: RUNS + 1 }, (_, run) => fileOf(run));
    writeFileSync(path, texts[0]!, { mode: 0o600 });
    const before = process.memoryUsage().rss;
    const loading = performance.now();
    const file = await LookupFile.open({
      path,
      report() {},
      explain: String,
      interval: 2 ** 30,
    });
    const first = performance.now() - loading;
    const grown = (process.memoryUsage().rss - before) / 1024 / 1024;
    const times: number[] = [];
    const stalls: number[] = [];
    for (let run = 1; run <= RUNS; run++) {
      writeFileSync(path, texts[run]!, { mode: 0o600 });
      // What making the texts has left is not the file's to clean up.
      await new Promise((resolve) => setTimeout(resolve, 200));
      const stall = watchEventLoop();
      const begun = performance.now();
      const refreshed = file.refresh();
      const isNew = () => file.find("device0")!.columns["description"] === `Run ${run}`;
      while (!isNew()) await new Promise((resolve) => setTimeout(resolve, 0));
      times.push(performance.now() - begun);
      await refreshed;
      stalls.push(stall());
    }
    file.close();
    times.sort((a, b) => a - b);
    stalls.sort((a, b) => a - b);
    console.log(`  first load         ${first.toFixed(0)} ms, ${grown.toFixed(0)} MB more`);
    console.log(`  until in use       ${spread(times)} (at most ${MAX_TIME})`);
    console.log(`  longest stall      ${spread(stalls)} (at most ${MAX_STALL})`);
    const tooLong = times[RUNS / 2]! > MAX_TIME || stalls[RUNS / 2]! > MAX_STALL;
    if (tooLong) process.exitCode = 1;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function fileOf(run: number): string {
  const entries = Array.from({ length: ENTRIES }, (_, i) => [
    `device${i}`,
    {
      tenant_id: "12345678-1234-1234-1234-123456789abc",
      client_id: "87654321-4321-4321-4321-cba987654321",
      from_email: `device${i}@contoso.example`,
      allowed_senders: "@contoso.example",
      description: `Run ${run}`,
      password_hash: formatPasswordHash({
        type: "sha256",
        salt: new Uint8Array(16).fill(i),
        hash: new Uint8Array(32).fill(i),
      }),
      credential: "certificate",
    },
  ]);
  return JSON.stringify(Object.fromEntries(entries), null, 2);
}

/** @returns ends it, and gives the longest time between two turns of the event loop, in milliseconds */
function watchEventLoop(): () => number {
  let longest = 0;
  let last = performance.now();
  const timer = setInterval(() => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
  }, 1);
  return () => {
    clearInterval(timer);
    return longest;
  };
}

function spread(sorted: readonly number[]): string {
  const at = (share: number) => sorted[Math.floor(share * (sorted.length - 1))]!.toFixed(1);
  return `${at(0.5)} ms, ${at(0)} to ${at(1)}`;
}
