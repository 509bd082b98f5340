// Half of the top rate, to see what the relay adds to the time of a message; and twice as much as it can do,
// to see that nothing fails. The cloud answers at once, so that the time is the relay's, and that of the two
// other processes.

import { median } from "../support.ts";
import { measure } from "../throughput.ts";
import { runClients } from "./load.ts";
import { Collected, type Figures, inTurn, type Started, type World } from "./world.ts";

const ROUNDS = 3;
const WARM_UP = 3;
const OCTETS = 10_000;
/** Milliseconds. */
const TIME = 4_000;
const HALF = { connections: 50, accounts: 1 };
const TWICE = { connections: 200, accounts: 10 };

export async function pace(world: World): Promise<Figures> {
  const collected = new Collected();
  const cloud = await world.cloud();
  const started: Started[] = [];
  try {
    for (const peer of world.peers("ours", "smtp-server", "go-smtp", "sketch")) {
      started.push(await world.start(peer, { cloud: cloud.url }));
    }
    const [ours] = started;
    if (ours?.peer.id !== "ours") throw new Error("there is no executable");
    for (const one of started) {
      for (let round = 0; round < WARM_UP; round++) await measure(one, "");
    }
    const rates: number[] = [];
    for (let round = 0; round < 3; round++) rates.push((await measure(ours, "")).perSecond);
    const top = median(rates);
    collected.add("pace.top", "ours", top);
    for (let round = 0; round < world.rounds(ROUNDS); round++) {
      for (const one of inTurn(started, round)) {
        await half(one, top, collected);
        await twice(one, top, collected);
      }
    }
    return collected.figures;
  } finally {
    for (const one of started) await one.stop();
    await cloud.stop();
  }
}

async function half({ port, peer }: Started, top: number, collected: Collected): Promise<void> {
  const { connections, accounts } = HALF;
  const load = { type: "paced", connections, perSecond: top / 2, milliseconds: TIME } as const;
  const report = await runClients({ port, octets: OCTETS, accounts, load });
  if (report.errors > 0) throw new Error(`${peer.name}: ${report.firstError}`);
  collected.add("half.p50", peer.id, report.latency!.p50);
  collected.add("half.p99", peer.id, report.latency!.p99);
  collected.add("half.rate", peer.id, report.sent / report.seconds);
}

async function twice({ port, peer }: Started, top: number, collected: Collected): Promise<void> {
  const { connections, accounts } = TWICE;
  const load = { type: "paced", connections, perSecond: top * 2, milliseconds: TIME } as const;
  const report = await runClients({ port, octets: OCTETS, accounts, load });
  collected.add("twice.errors", peer.id, report.errors);
  collected.add("twice.rate", peer.id, report.sent / report.seconds);
  collected.add("twice.p99", peer.id, report.transaction!.p99);
  const { perAccount } = report;
  collected.add("twice.fairness", peer.id, Math.min(...perAccount) / Math.max(...perAccount));
}
