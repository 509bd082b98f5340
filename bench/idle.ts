// Memory that an idle TLS connection costs: what the relay's process has of its own with 1,000 of them, and
// how much each further one adds up to 4,000.

import { setTimeout as sleep } from "node:timers/promises";
import { serve } from "../tests/end_to_end/programs.ts";
import { certificateFiles, memoryOf, Script, theExecutable } from "./processes.ts";
import { freePort } from "./support.ts";

const COUNTS = [1_000, 4_000] as const;
/** KiB. */
const GOAL = 9;
/** Milliseconds after the last connection until garbage is collected. */
const REST = 5_000;

export async function idle(): Promise<void> {
  const files = await certificateFiles();
  const port = await freePort();
  const relay = await serve(theExecutable(), {
    ...files.settings,
    SMTPS_LISTEN: `127.0.0.1:${port}`,
    MAX_CONNECTIONS: "5000",
    MAX_CONNECTIONS_PER_IP: "5000",
  });
  const clients = new Script("bench/idle/clients.ts", { port });
  try {
    const pid = relay.running.child.pid!;
    await sleep(REST);
    const rest = memoryOf(pid).anonymous;
    const own: number[] = [];
    for (const count of COUNTS) {
      clients.tell(String(count));
      await clients.line();
      await sleep(REST);
      own.push(memoryOf(pid).anonymous);
    }
    const [few, many] = own as [number, number];
    const each = (mebibytes: number, count: number) => mebibytes * 1024 / count;
    const marginal = each(many - few, COUNTS[1] - COUNTS[0]);
    console.log(
      `  each of the first ${COUNTS[0]}    ${each(few - rest, COUNTS[0]).toFixed(1)} KiB\n` +
        `  each from there to ${COUNTS[1]}  ${marginal.toFixed(1)} KiB, ` +
        `goal ${GOAL}${marginal <= GOAL ? "" : ": MISSED"}`,
    );
  } finally {
    await clients.end();
    await relay.running.stop();
    files.remove();
  }
}
