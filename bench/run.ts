// `npm run bench [scenario …]`: all scenarios, or those named.

import process from "node:process";
import { authors } from "./authors.ts";
import { burstOfOneMailbox } from "./burst.ts";
import { deviceLogins } from "./device_logins.ts";
import { fuzzing } from "./fuzz.ts";
import { growth } from "./growth.ts";
import { idle } from "./idle.ts";
import { large } from "./large.ts";
import { largeRate } from "./large_rate.ts";
import { lookupFile } from "./lookup_file.ts";
import { memory } from "./memory.ts";
import { observed } from "./observed.ts";
import { peers } from "./peers.ts";
import { properties } from "./properties.ts";
import { queue } from "./queue.ts";
import { queueCrash } from "./queue_crash.ts";
import { sharesOfAccounts } from "./shares.ts";
import { slow } from "./slow.ts";
import { smarthost } from "./smarthost.ts";
import { soak } from "./soak.ts";
import { startup } from "./startup.ts";
import { throughput } from "./throughput.ts";
import { ways } from "./ways.ts";

const SCENARIOS: Record<string, () => Promise<void>> = {
  startup,
  throughput,
  observed,
  memory,
  idle,
  "lookup-file": lookupFile,
  burst: burstOfOneMailbox,
  fuzz: fuzzing,
  properties,
  authors,
  slow,
  shares: sharesOfAccounts,
  large,
  growth,
  "large-rate": largeRate,
  "device-logins": deviceLogins,
  queue,
  smarthost,
  ways,
  soak,
  "queue-crash": queueCrash,
  peers,
};

const names = process.argv.slice(2);
const unknown = names.filter((name) => !(name in SCENARIOS));
if (unknown.length > 0) {
  console.error(
    `no such scenario: ${unknown.join(", ")}; there are ${Object.keys(SCENARIOS).join(", ")}`,
  );
  process.exit(2);
}
for (const name of names.length > 0 ? names : Object.keys(SCENARIOS)) {
  console.log(`\n${name}`);
  await SCENARIOS[name]!();
}
process.exit();
