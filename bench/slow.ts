// Slow clients, 5,000 of them, against the default limits for two minutes, while an honest client
// sends a message each second: on different addresses, then all on one. The honest one must never
// fail. RELAY_BENCH_SECONDS and RELAY_BENCH_CLIENTS make it shorter and smaller.

import process from "node:process";
import { percentile, theExecutable } from "./processes.ts";
import { failuresOf, slowClients, type SlowResult } from "./slow/scenario.ts";

export async function slow(): Promise<void> {
  const seconds = Number(process.env["RELAY_BENCH_SECONDS"] ?? 120);
  const clients = Number(process.env["RELAY_BENCH_CLIENTS"] ?? 5000);
  const content = Math.min(400, Math.floor(clients / 10));
  let failed = 0;
  for (const oneAddress of [false, true]) {
    const where = oneAddress ? "all on one address" : "on 100 addresses, the honest one on its own";
    console.log(` ${clients} slow clients ${where}, ${seconds} s`);
    const result = await slowClients(theExecutable(), { clients, content, seconds, oneAddress });
    report(result);
    failed += failuresOf(result).length + result.errors.length;
  }
  if (failed > 0) throw new Error("the honest client failed, or the relay had errors");
}

function report(result: SlowResult): void {
  const { honest, slow, relay, metrics, errors } = result;
  const failures = failuresOf(result);
  const times = honest.map(({ ms }) => ms);
  console.log(
    `  honest: ${honest.length - failures.length} of ${honest.length} got 250; ` +
      `${percentile(times, 50).toFixed(0)} ms median, ${percentile(times, 99).toFixed(0)} ms at ` +
      `99 %, ${Math.max(...times).toFixed(0)} ms at most`,
  );
  for (const { number, ms, reply } of failures.slice(0, 10)) {
    console.log(`    no. ${number} after ${ms.toFixed(0)} ms: ${reply}`);
  }
  console.log(
    `  relay: ${relay.peak.toFixed(0)} MB at most (${relay.first.toFixed(0)} MB before; median ` +
      `${relay.firstHalf.toFixed(0)} MB in the first half, ${relay.secondHalf.toFixed(0)} MB in ` +
      `the second), ${relay.mostFiles} open files at most, ${relay.cpu.toFixed(0)} s of CPU`,
  );
  for (const [name, value] of metrics) {
    if (/^(?:limit_hits|open_connections|connections|internal_errors)/.test(name)) {
      console.log(`    ${name} ${value}`);
    }
  }
  for (const [kind, { connected, closed, held, replies }] of Object.entries(slow.kinds)) {
    const counts = Object.entries(replies).map(([reply, count]) => `${count} × ${reply}`).join(
      ", ",
    );
    console.log(
      `  ${kind}: ${connected} connections, ${closed} closed` +
        (held === null ? "" : ` (median after ${held} ms)`) + (counts === "" ? "" : `; ${counts}`),
    );
  }
  if (Object.keys(slow.failures).length > 0) {
    console.log(`  not connected: ${JSON.stringify(slow.failures)}`);
  }
  for (const line of errors.slice(0, 10)) console.log(`  the relay wrote: ${line}`);
}
