// The soak: thousands of messages from clients that hang up at random, through a relay whose cloud
// fails at random in every way that is known of it.

import { type Program, serve } from "../../tests/end_to_end/programs.ts";
import { certificateFiles, metricsOf, Script, type Usage, usageOf } from "../processes.ts";
import { compare, type Comparison } from "./compare.ts";
import {
  type ClientLedger,
  type ClientOptions,
  type CloudLedger,
  type CloudOptions,
  readLog,
  type Try,
} from "./ledgers.ts";

export interface SoakOptions {
  readonly seed: number;
  readonly messages: number;
  /** Of them, those before memory and files are looked at for the first time. */
  readonly warmUp: number;
  readonly clients: number;
  /** Milliseconds for all of them; who has not come to its end by then has failed. */
  readonly time: number;
  /** Milliseconds that memory and files get to come to rest. */
  readonly rest: number;
  readonly environment?: Record<string, string>;
  progress?(text: string): void;
}

export interface SoakResult extends Comparison {
  readonly cloud: CloudLedger;
  readonly clients: readonly ClientLedger[];
  readonly seconds: number;
  /** At rest: before the first client, after warm-up, at the end. */
  readonly usage: { readonly start: Usage; readonly warm: Usage; readonly end: Usage };
  readonly exitStatus: number | null;
}

/** Waits and limits that fit a cloud which is in trouble all the time. */
const SETTINGS = {
  GRAPH_HTTP_TIMEOUT: "2",
  DELIVERY_TIMEOUT: "8s",
  TOKEN_CACHE_MAX_AGE: "10s",
  // Large messages that are not so large.
  GRAPH_REQUEST_LIMIT: "150000",
  LOG_LEVEL: "INFO",
  LOG_FORMAT: "json",
};
/** Milliseconds for all connections to be gone, at most. */
const GONE = 15_000;

export async function soak(program: Program, options: SoakOptions): Promise<SoakResult> {
  const { seed, messages, warmUp, clients, time, rest, environment, progress = () => {} } = options;
  const files = await certificateFiles();
  const cloud = new Script("bench/soak/cloud.ts", { seed } satisfies CloudOptions);
  const scripts = [cloud];
  const begun = performance.now();
  try {
    const url = await cloud.line();
    const relay = await serve(program, {
      ...files.settings,
      SMTPS_LISTEN: "127.0.0.1:0",
      AZURE_AUTHORITY_HOST: `${url}/entra`,
      GRAPH_ENDPOINT: `${url}/graph`,
      ...SETTINGS,
      ...environment,
    });
    const pid = relay.running.child.pid!;
    let exitStatus: number | null = null;
    try {
      const start = usageOf(pid);
      const run = async (phase: number, count: number, first: number): Promise<ClientLedger> => {
        const script = new Script(
          "bench/soak/clients.ts",
          {
            smtp: relay.smtp,
            smtps: relay.smtps,
            seed: seed + 100 * phase,
            messages: count,
            clients,
            time: time - (performance.now() - begun),
            first,
            phase,
          } satisfies ClientOptions,
        );
        scripts.push(script);
        for (;;) {
          const line = await script.line();
          if (line.startsWith("{")) return JSON.parse(line) as ClientLedger;
          progress(`${Number(line) + first} tries`);
        }
      };
      const ledgers = [await run(0, warmUp, 1)];
      const warm = await atRest(pid, relay.http, rest);
      ledgers.push(await run(1, messages - warmUp, warmUp + 1));
      cloud.tell("calm");
      const end = await atRest(pid, relay.http, rest);
      const metrics = await metricsOf(relay.http);
      cloud.tell("ledger");
      const taken = await cloud.object<CloudLedger>();
      exitStatus = await relay.running.stop();
      const tries = ledgers.flatMap((ledger) => ledger.tries);
      const { disagreements, table } = compare(
        tries,
        readLog(relay.running.stderr),
        taken,
        metrics,
      );
      return {
        disagreements: [...disagreements, ...missing(tries, messages)],
        table,
        cloud: taken,
        clients: ledgers,
        seconds: (performance.now() - begun) / 1000,
        usage: { start, warm, end },
        exitStatus,
      };
    } finally {
      if (exitStatus === null) await relay.running.stop();
    }
  } finally {
    for (const script of scripts) await script.end();
    files.remove();
  }
}

function missing(tries: readonly Try[], messages: number): string[] {
  const known = new Set(tries.map(({ message }) => message)).size;
  return known === messages ? [] : [`${known} of ${messages} messages came to an end in time`];
}

/** Once no client is connected, and a while after that. */
async function atRest(pid: number, http: number, rest: number): Promise<Usage> {
  const until = performance.now() + GONE;
  while ((await metricsOf(http)).get("open_connections") !== 0 && performance.now() < until) {
    await pause(100);
  }
  await pause(rest);
  return usageOf(pid);
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
