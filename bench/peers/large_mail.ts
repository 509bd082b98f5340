// Large messages at the same time: MB of mail a second, and memory above rest. Each measurement has a process
// to itself.

import { writeFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { memoryOf, usageOf } from "../processes.ts";
import { type Clients, runClients } from "./load.ts";
import type { Peer } from "./programs.ts";
import { Collected, type Figures, inTurn, type World } from "./world.ts";

const ROUNDS = 3;
const MESSAGES = 4;
/** Of a message. */
const OCTETS = 25_000_000;
/** Milliseconds after the short messages until memory is at rest. */
const REST = 1_500;

export async function largeMail(world: World): Promise<Figures> {
  const collected = new Collected();
  const all = world.peers("ours", "smtp-server", "go-smtp")
    .map((peer) => ({ peer, way: "sendMail" as Way }));
  const upload = world.peers("ours").map((peer) => ({ peer, way: "upload" as Way }));
  for (let round = 0; round < world.rounds(ROUNDS); round++) {
    for (const { peer, way } of inTurn([...all, ...upload], round)) {
      await measured(world, collected, peer, way);
    }
  }
  for (const peer of world.peers("aiosmtpd")) await measured(world, collected, peer, "sendMail");
  return collected.figures;
}

type Way = "sendMail" | "upload";

async function measured(
  world: World,
  collected: Collected,
  peer: Peer,
  way: Way,
): Promise<void> {
  const cloud = await world.uploadCloud();
  // Graph would not take it; but the peers know no other way.
  const environment = way === "sendMail" ? { GRAPH_REQUEST_LIMIT: "150m" } : {};
  const one = await world.start(peer, { cloud: cloud.url, environment });
  try {
    const clients = (octets: number, messages: number): Clients => ({
      port: one.port,
      octets,
      attachment: true,
      load: { type: "closed", connections: MESSAGES, messages, milliseconds: 60_000, spread: 0 },
    });
    // Code that every relay loads and compiles for its first mail counts as memory at rest.
    await runClients(clients(20_000, 10));
    await setTimeout(REST);
    const rest = memoryOf(one.pid).resident;
    // The high-water mark is set back to what is resident now (proc_pid_clear_refs(5)).
    writeFileSync(`/proc/${one.pid}/clear_refs`, "5");
    const before = usageOf(one.pid).cpu;
    const { sent, seconds, firstError } = await runClients(clients(OCTETS, 1));
    if (sent < MESSAGES) throw new Error(`${peer.name}: ${firstError}`);
    const megabytes = MESSAGES * OCTETS / 1e6;
    collected.add(`large.${way}.rate`, peer.id, megabytes / seconds);
    collected.add(`large.${way}.peak`, peer.id, memoryOf(one.pid).peak - rest);
    collected.add(
      `large.${way}.cpu`,
      peer.id,
      (usageOf(one.pid).cpu - before) * 1000 / megabytes,
    );
  } finally {
    await one.stop();
    await cloud.stop();
  }
}
