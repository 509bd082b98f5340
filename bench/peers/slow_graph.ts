// Graph takes a second for each message, which nobody can hurry: how near the relay comes to a message a
// second on each connection, and what a connection costs.

import { usageOf } from "../processes.ts";
import { runClients } from "./load.ts";
import { Collected, type Figures, type World } from "./world.ts";

const DELAY = 1_000;
const CONNECTIONS = [200, 1_000, 5_000] as const;
const MESSAGES = 6;
/** Milliseconds after which it is enough. */
const MOST = 12_000;
/** Messages before it, to compile the programs: of so many connections, one after another. */
const WARM_UP = 400;
const OCTETS = 10_000;

export async function slowGraph(world: World): Promise<Figures> {
  const collected = new Collected();
  const cloud = await world.cloud(DELAY);
  try {
    for (const peer of world.peers("ours", "smtp-server", "go-smtp", "aiosmtpd")) {
      const environment = { MAX_CONNECTIONS: "10000" };
      const one = await world.start(peer, { cloud: cloud.url, environment });
      const isSlow = peer.id === "aiosmtpd";
      try {
        const { port } = one;
        if (!isSlow) {
          const load = { type: "sessions", number: WARM_UP, concurrency: 200 } as const;
          await runClients({ port, octets: OCTETS, load });
        }
        for (const connections of isSlow ? CONNECTIONS.slice(0, 1) : CONNECTIONS) {
          const before = usageOf(one.pid).cpu;
          const { sent, active } = await runClients({
            port,
            octets: OCTETS,
            load: {
              type: "closed",
              connections,
              messages: MESSAGES,
              milliseconds: MOST,
              spread: DELAY,
            },
          });
          const cpu = usageOf(one.pid).cpu - before;
          collected.add(`slow.${connections}.share`, peer.id, sent / active!);
          collected.add(`slow.${connections}.cpu`, peer.id, cpu * 1000 / connections);
        }
      } finally {
        await one.stop();
      }
    }
    return collected.figures;
  } finally {
    await cloud.stop();
  }
}
