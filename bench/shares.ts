// Clients with a login that use all connections, or all memory, and an honest one of another account that
// sends a message each second: from an address of its own, then from theirs. Each of its messages must be
// accepted within two seconds. RELAY_BENCH_SECONDS and RELAY_BENCH_CLIENTS make it shorter.

import process from "node:process";
import { percentile, theExecutable } from "./processes.ts";
import { failuresOf, GREEDS, shares } from "./shares/scenario.ts";

/** Clients needed to fill the memory of the default limits. */
const MEMORY_CLIENTS = 40;

export async function sharesOfAccounts(): Promise<void> {
  const seconds = Number(process.env["RELAY_BENCH_SECONDS"] ?? 15);
  const many = Number(process.env["RELAY_BENCH_CLIENTS"] ?? 1000);
  let failed = 0;
  for (const greed of GREEDS) {
    const clients = greed === "announces" || greed === "drips" ? MEMORY_CLIENTS : many;
    for (const known of [false, true]) {
      for (const sameAddress of [false, true]) {
        const result = await shares(theExecutable(), {
          greed,
          clients,
          seconds,
          sameAddress,
          known,
        });
        const failures = failuresOf(result);
        failed += failures.length;
        const { honest, greedy, relay, health } = result;
        const times = honest.map(({ ms }) => ms);
        console.log(
          ` ${clients} × ${greed}, ${known ? "a known account" : "an unknown account"}, ` +
            `${sameAddress ? "the same address" : "another address"}: ` +
            `${honest.length - failures.length} of ${honest.length} served, ` +
            `${percentile(times, 50).toFixed(0)} ms median, ` +
            `${Math.max(...times).toFixed(0)} ms at most; /healthz ` +
            `${Math.max(...health).toFixed(0)} ms at most; relay ${relay.peak.toFixed(0)} MB, ` +
            `${relay.mostFiles} files; they: ${greedy.loggedIn} logins, ` +
            JSON.stringify(greedy.replies),
        );
        for (const { number, ms, reply } of failures.slice(0, 5)) {
          console.log(`    no. ${number} after ${ms.toFixed(0)} ms: ${reply}`);
        }
      }
    }
  }
  if (failed > 0) throw new Error("the honest client was not served in time");
}
