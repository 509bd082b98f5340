// `serve`, with its event loop watched from inside. SIGUSR2 begins the watch anew; at its end it prints for how
// many milliseconds the event loop stood still at most. Time in which the machine gave the process no
// processor does not count.

import { writeSync } from "node:fs";
import process from "node:process";
import { serve } from "../../src/commands/serve.ts";

let longest = 0;
let last = performance.now();
let used = process.cpuUsage();
setInterval(() => {
  const now = performance.now();
  const { user, system } = process.cpuUsage(used);
  longest = Math.max(longest, Math.min(now - last, (user + system) / 1000));
  last = now;
  used = process.cpuUsage();
}, 1);
process.on("SIGUSR2", () => longest = 0);
process.on("exit", () => writeSync(1, `${longest.toFixed(1)}\n`));
await serve(undefined);
