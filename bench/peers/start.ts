// From start to the greeting, also with the variables of a Kubernetes pod, and memory at rest.

import { statSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { memoryOf } from "../processes.ts";
import { executable } from "../support.ts";
import { Collected, type Figures, inTurn, type World } from "./world.ts";

const ROUNDS = 11;
/** Of them, those that read memory. */
const MEMORY_ROUNDS = 3;
/** Milliseconds after the greeting at which memory is read. */
const REST = 1_000;
const SERVICES = 60;

export async function start(world: World): Promise<Figures> {
  const collected = new Collected();
  const cloud = await world.cloud();
  const plain = world.peers("ours", "smtp-server", "go-smtp", "aiosmtpd", "smtp-sink")
    .map((peer) => ({ peer, figure: "start.time", environment: {} }));
  const pod = world.peers("ours").map((peer) => (
    { peer, figure: "start.pod", environment: serviceVariables() }
  ));
  try {
    for (let round = 0; round < world.rounds(ROUNDS); round++) {
      for (const { peer, figure, environment } of inTurn([...plain, ...pod], round)) {
        const one = await world.start(peer, { cloud: cloud.url, environment });
        collected.add(figure, peer.id, one.startTime);
        if (figure === "start.time" && round < MEMORY_ROUNDS) {
          await setTimeout(REST);
          const { resident, anonymous } = memoryOf(one.pid);
          collected.add("rest.resident", peer.id, resident);
          collected.add("rest.anonymous", peer.id, anonymous);
        }
        await one.stop();
      }
    }
    collected.add("executable.size", "ours", statSync(executable()).size / 1e6);
    return collected.figures;
  } finally {
    await cloud.stop();
  }
}

/** The seven variables that Kubernetes sets for each service. */
function serviceVariables(): Record<string, string> {
  const variables: Record<string, string> = {};
  for (let i = 0; i < SERVICES; i++) {
    const name = `SOME_SERVICE_${i}`;
    const address = `10.0.0.${i}`;
    variables[`${name}_SERVICE_HOST`] = address;
    variables[`${name}_SERVICE_PORT`] = "80";
    variables[`${name}_PORT`] = `tcp://${address}:80`;
    variables[`${name}_PORT_80_TCP`] = `tcp://${address}:80`;
    variables[`${name}_PORT_80_TCP_PROTO`] = "tcp";
    variables[`${name}_PORT_80_TCP_PORT`] = "80";
    variables[`${name}_PORT_80_TCP_ADDR`] = address;
  }
  return variables;
}
