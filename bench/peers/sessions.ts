// Clients that connect for each message, as many devices do: STARTTLS, AUTH, a message, QUIT.

import { usageOf } from "../processes.ts";
import { runClients } from "./load.ts";
import type { Peer } from "./programs.ts";
import { Collected, type Figures, inTurn, type Kind, type Started, type World } from "./world.ts";

const ROUNDS = 3;
const WARM_UP = 600;
const SESSIONS = 1_000;
/** For the peer that sends one message at a time. */
const FEW = 100;
const CONCURRENCY = 16;
const OCTETS = 10_000;

export async function sessions(world: World): Promise<Figures> {
  const collected = new Collected();
  for (const kind of ["ecdsa", "rsa"] as const) await sessionsWith(kind, world, collected);
  return collected.figures;
}

async function sessionsWith(kind: Kind, world: World, collected: Collected): Promise<void> {
  const cloud = await world.cloud();
  const started: Started[] = [];
  const run = async ({ port, pid, peer }: Started, number: number, counted: boolean) => {
    const before = usageOf(pid).cpu;
    const load = { type: "sessions", number, concurrency: CONCURRENCY } as const;
    const { sent, seconds, firstError } = await runClients({ port, octets: OCTETS, load });
    if (sent < number) throw new Error(`${peer.name}: ${firstError}`);
    if (!counted) return;
    collected.add(`sessions.${kind}.cpu`, peer.id, (usageOf(pid).cpu - before) / sent * 1000);
    collected.add(`sessions.${kind}.rate`, peer.id, sent / seconds);
  };
  const fast = world.peers("ours", "smtp-server", "go-smtp");
  const slow = world.peers("aiosmtpd");
  const start = async (peer: Peer) => {
    const one = await world.start(peer, { cloud: cloud.url, kind });
    started.push(one);
    return one;
  };
  try {
    for (const peer of fast) await run(await start(peer), WARM_UP, false);
    for (let round = 0; round < world.rounds(ROUNDS); round++) {
      for (const one of inTurn(started, round)) await run(one, SESSIONS, true);
    }
    for (const peer of slow) await run(await start(peer), FEW, true);
  } finally {
    for (const one of started) await one.stop();
    await cloud.stop();
  }
}
