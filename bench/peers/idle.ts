// Connections that have logged in over TLS, and say nothing: what the process holds for each.

import { setTimeout } from "node:timers/promises";
import { memoryOf } from "../processes.ts";
import { GrowingClients, runClients } from "./load.ts";
import { Collected, type Figures, type World } from "./world.ts";

const ROUNDS = 2;
const FEW = 1_000;
const MANY = 4_000;
/** Sessions before, so that code counts as memory at rest. */
const WARM_UP = 200;
/** Milliseconds until what the handshakes left has been collected. */
const SETTLING = 3_000;

export async function idle(world: World): Promise<Figures> {
  const collected = new Collected();
  const cloud = await world.cloud();
  try {
    for (let round = 0; round < world.rounds(ROUNDS); round++) {
      for (const peer of world.peers("ours", "smtp-server", "go-smtp", "sketch")) {
        const environment = { MAX_CONNECTIONS: "10000" };
        const one = await world.start(peer, { cloud: cloud.url, environment });
        const load = { type: "sessions", number: WARM_UP, concurrency: 16 } as const;
        await runClients({ port: one.port, octets: 10_000, load });
        await setTimeout(SETTLING / 2);
        const rest = memoryOf(one.pid).resident;
        const clients = new GrowingClients(one.port, [FEW, MANY]);
        try {
          await clients.next();
          await setTimeout(SETTLING);
          const few = memoryOf(one.pid).resident;
          clients.grow();
          await clients.next();
          await setTimeout(SETTLING);
          const many = memoryOf(one.pid).resident;
          collected.add("idle.first", peer.id, (few - rest) * 1024 / FEW);
          collected.add("idle.marginal", peer.id, (many - few) * 1024 / (MANY - FEW));
        } finally {
          await clients.end();
          await one.stop();
        }
      }
    }
    return collected.figures;
  } finally {
    await cloud.stop();
  }
}
