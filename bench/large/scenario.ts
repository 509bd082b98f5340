// A relay in a control group of little memory, with many clients that send large mail at once, slow
// clients by the thousand, and an honest one.

import {
  type Program,
  type Relay,
  SECRET,
  serve,
  USERNAME,
} from "../../tests/end_to_end/programs.ts";
import { certificateFiles, metricsOf, Script, Watch, type Watched } from "../processes.ts";
import type { HonestClient, HonestMessage, SlowClients } from "../slow/scenario.ts";
import type { MemoryFigures, MemoryGroup } from "./cgroup.ts";

export interface LargeOptions {
  /** Octets of a message. */
  readonly octets: number;
  /** That send one at once. */
  readonly clients: number;
  readonly slowClients: number;
  /** Milliseconds, in which a client tries again. */
  readonly time: number;
}

export interface LargeClients {
  readonly port: number;
  readonly clients: number;
  readonly octets: number;
  readonly username: string;
  readonly password: string;
  readonly time: number;
}

export interface LargeReport {
  /** By the command and its reply. */
  readonly replies: Record<string, number>;
  /** Numbers of the messages that got 250. */
  readonly taken: number[];
  /** Connections that came to no login, because slow clients took the slots: tried again. */
  readonly notServed: string[];
  /** Connections that ended without a reply, later than that. */
  readonly lost: string[];
}

export interface LargeCloud {
  readonly octets: number;
}

export interface LargeArrival {
  readonly number: number;
  /** All its files are there, and as they were sent. */
  readonly right: boolean;
}

export interface LargeResult {
  readonly large: LargeReport;
  readonly arrived: readonly LargeArrival[];
  readonly honest: readonly HonestMessage[];
  readonly relay: Watched;
  readonly group: MemoryFigures;
  readonly metrics: ReadonlyMap<string, number>;
  readonly maxMemory: string;
  readonly exitStatus: number | null;
  readonly seconds: number;
}

const HONEST_SECONDS = 20;

export async function largeMail(
  program: Program,
  group: MemoryGroup,
  { octets, clients, slowClients, time }: LargeOptions,
): Promise<LargeResult> {
  const files = await certificateFiles();
  const cloud = new Script("bench/large/cloud.ts", { octets } satisfies LargeCloud);
  const scripts = [cloud];
  try {
    const url = await cloud.line();
    const relay = await serve(group.inside(program), {
      ...files.settings,
      AZURE_AUTHORITY_HOST: `${url}/entra`,
      GRAPH_ENDPOINT: `${url}/graph`,
      LOG_LEVEL: "INFO",
    });
    let exitStatus: number | null = null;
    try {
      const account = { username: USERNAME, password: SECRET };
      const { smtp: port } = relay;
      const watch = new Watch(relay.running.child.pid!);
      const script = (path: string, given: object) => {
        const started = new Script(path, given);
        scripts.push(started);
        return started;
      };
      const slow = slowClients === 0 ? undefined : script(
        "bench/slow/clients.ts",
        {
          port,
          clients: slowClients,
          content: Math.floor(slowClients / 20),
          addresses: Array.from({ length: 100 }, (_, i) => `127.0.1.${i + 1}`),
          ...account,
        } satisfies SlowClients,
      );
      const honest = script(
        "bench/slow/honest.ts",
        {
          port,
          address: "127.0.2.1",
          messages: HONEST_SECONDS,
          ...account,
        } satisfies HonestClient,
      );
      await honest.line();
      const begun = performance.now();
      const attack = script(
        "bench/large/clients.ts",
        {
          port,
          clients,
          octets,
          time,
          ...account,
        } satisfies LargeClients,
      );
      const large = await attack.object<LargeReport>();
      const seconds = (performance.now() - begun) / 1000;
      const messages: HonestMessage[] = [];
      while (messages.length < HONEST_SECONDS) messages.push(await honest.object());
      slow?.tell("end");
      cloud.tell("arrivals");
      const arrived = await cloud.object<LargeArrival[]>();
      const watched = watch.end();
      const figures = group.figures();
      const metrics = hasEnded(relay) ? new Map() : await metricsOf(relay.http);
      if (!hasEnded(relay)) exitStatus = await relay.running.stop();
      return {
        large,
        arrived,
        honest: messages,
        relay: watched,
        group: figures,
        metrics,
        maxMemory: /Memory for mail.*|MAX_MEMORY.*/.exec(relay.running.stderr)?.[0] ?? "",
        exitStatus,
        seconds,
      };
    } finally {
      if (exitStatus === null && !hasEnded(relay)) await relay.running.stop();
    }
  } finally {
    for (const script of scripts) await script.end();
    files.remove();
  }
}

/** Whether it has been killed. */
function hasEnded({ running: { child } }: Relay): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}
