// Connections that stay, and send one message after another: rate and CPU.

import { usageOf } from "../processes.ts";
import { measure } from "../throughput.ts";
import { Collected, type Figures, inTurn, type Started, type World } from "./world.ts";

const WARM_UP = 4;
/** Messages on a connection in each of them: a relay works for days, compiled by then. */
const WARM_UP_MESSAGES = 300;
const ROUNDS = 7;
/** Messages on a connection for the peer that sends one at a time, and rounds of it. */
const FEW = 20;
const FEW_ROUNDS = 2;

export async function steady(world: World): Promise<Figures> {
  const cloud = await world.cloud();
  const started: Started[] = [];
  const collected = new Collected();
  try {
    for (const peer of world.peers("ours", "smtp-server", "go-smtp", "smtp-sink", "sketch")) {
      started.push(await world.start(peer, { cloud: cloud.url }));
    }
    const run = async (one: Started, counted: boolean, messages?: number) => {
      const before = usageOf(cloud.pid).cpu;
      const { id } = one.peer;
      const figures = await measure(one, id === "smtp-sink" ? "plain" : "", messages);
      if (!counted) return;
      const used = usageOf(cloud.pid).cpu - before;
      collected.add("steady.rate", id, figures.perSecond);
      collected.add("steady.cpu", id, figures.cpu);
      collected.add("steady.memory", id, figures.memory);
      collected.add("steady.clients", id, figures.loadCpu);
      collected.add("steady.cloud", id, used / (50 * (messages ?? 100)) * 1000);
    };
    const rounds = world.rounds(ROUNDS);
    // The first rounds are not counted: the programs are being compiled meanwhile.
    for (let round = -WARM_UP; round < rounds; round++) {
      for (const one of inTurn(started, round + WARM_UP)) {
        await run(one, round >= 0, round < 0 ? WARM_UP_MESSAGES : undefined);
      }
    }
    for (const peer of world.peers("aiosmtpd")) {
      const one = await world.start(peer, { cloud: cloud.url });
      started.push(one);
      for (let round = 0; round < FEW_ROUNDS; round++) await run(one, true, FEW);
    }
    return collected.figures;
  } finally {
    for (const one of started) await one.stop();
    await cloud.stop();
  }
}
