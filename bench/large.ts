// Large mail from many clients at once, among slow ones, at a relay whose control group has 256 MiB:
// a client without room gets 452 and tries again; no mail is lost, and the process is not killed.

import process from "node:process";
import { memoryGroup } from "./large/cgroup.ts";
import { largeMail, type LargeResult } from "./large/scenario.ts";
import { theExecutable } from "./processes.ts";

const MIB = 1024 ** 2;
const LIMIT = 256 * MIB;
const OCTETS = 34_000_000;
const CLIENTS = 40;

export async function large(): Promise<void> {
  const group = memoryGroup(LIMIT);
  if (typeof group === "string") {
    console.log(`  NOT RUN: no control group can be made here (${group})`);
    return;
  }
  try {
    const result = await largeMail(theExecutable(), group, {
      octets: OCTETS,
      clients: CLIENTS,
      slowClients: Number(process.env["RELAY_BENCH_CLIENTS"] ?? 5000),
      time: 180_000,
    });
    console.log(`  control groups of version ${group.version}, ${LIMIT / MIB} MiB without swap`);
    const problems = report(result);
    for (const problem of problems) console.log(`  WRONG: ${problem}`);
    if (problems.length > 0) throw new Error("large mail was not handled as it should be");
  } finally {
    group.remove();
  }
}

function report(result: LargeResult): string[] {
  const { large, arrived, honest, relay, group, metrics, maxMemory, exitStatus, seconds } = result;
  console.log(`  ${maxMemory}`);
  console.log(
    `  ${large.taken.length} of ${CLIENTS} messages of ${OCTETS / 1e6} MB taken in ` +
      `${seconds.toFixed(0)} s; ${arrived.length} arrived, ` +
      `${arrived.filter(({ right }) => right).length} of them as they were sent`,
  );
  for (const [reply, count] of Object.entries(large.replies)) {
    console.log(`    ${count} × ${reply}`);
  }
  if (large.lost.length > 0) console.log(`    without a reply: ${large.lost.join(", ")}`);
  if (large.notServed.length > 0) console.log(`    not served: ${large.notServed.join(", ")}`);
  const replies = Object.groupBy(honest, ({ reply }) => reply.slice(0, 9));
  const counts = Object.entries(replies).map(([reply, all]) => `${all!.length} × ${reply}`);
  console.log(`  the honest client meanwhile: ${counts.join(", ")}`);
  console.log(
    `  relay: ${relay.peak.toFixed(0)} MB resident at most; its group ` +
      `${(group.most / MIB).toFixed(0)} MiB at most, limit reached ${group.reached} times, ` +
      `${group.killed} killed; ${relay.mostFiles} open files at most`,
  );
  for (const [name, value] of metrics) {
    if (/^(?:limit_hits|open_connections)/.test(name)) console.log(`    ${name} ${value}`);
  }
  const problems: string[] = [];
  const deferred = Object.entries(large.replies).filter(([reply]) => / 452 4\.3\.1/.test(reply));
  if (deferred.length === 0) problems.push("no client got 452 4.3.1");
  if (group.killed > 0 || exitStatus !== 0) problems.push(`the relay ended with ${exitStatus}`);
  if (large.taken.length < CLIENTS) problems.push("not all were accepted");
  const numbers = arrived.map(({ number }) => number).sort((a, b) => a - b);
  if (String(numbers) !== String([...large.taken].sort((a, b) => a - b))) {
    problems.push(`these arrived: ${numbers}; these got 250: ${large.taken}`);
  }
  if (arrived.some(({ right }) => !right)) problems.push("something arrived with other content");
  if (large.lost.length > 0) problems.push("connections were lost");
  const odd = honest.filter(({ reply }) => !/^(?:250|452) /.test(reply));
  for (const { reply } of odd) problems.push(`the honest client: ${reply}`);
  return problems;
}
