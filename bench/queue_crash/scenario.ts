// Kills a relay in queue mode again and again while clients send, starts it again on the same queue, and
// lets it send the rest in the end.

import { randomBytes } from "node:crypto";
import process from "node:process";
import { type Program, run, type Running, serve } from "../../tests/end_to_end/programs.ts";
import { certificateFiles, seeded } from "../processes.ts";
import { CrashClients } from "./clients.ts";
import { type CrashCloud, startCrashCloud } from "./cloud.ts";
import { compare, type Comparison, readLog, type RelayLog } from "./ledgers.ts";
import { openStore, type StoreName } from "./stores.ts";

export interface CrashOptions {
  readonly seed: number;
  readonly store: StoreName;
  readonly kills: number;
  readonly clients: number;
  /** Milliseconds of a relay's life with clients, at most. */
  readonly life: number;
  progress?(text: string): void;
}

export interface CrashResult extends Comparison {
  /** By what the kill waited for. */
  readonly kills: Readonly<Record<string, number>>;
  readonly seconds: number;
}

const SETTINGS = {
  DELIVERY_MODE: "queue",
  SMTPS_LISTEN: "127.0.0.1:0",
  REQUIRE_TLS: "false",
  AUTH_RATE_LIMIT: "off",
  GRAPH_REQUEST_LIMIT: "500000",
  SHUTDOWN_TIMEOUT: "10s",
  LOG_LEVEL: "INFO",
  LOG_FORMAT: "json",
};
/** Acknowledged messages under way, from which clients wait. */
const CROWD = 150;
/** Milliseconds that Graph takes at most. */
const GRAPH_DELAY = 30;
/** Milliseconds after which a relay is killed that has just been started, at most. */
const STARTING = 400;
/** Events after which a relay is killed, at most. */
const EVENTS = 60;
/** Milliseconds until all has to be sent in the end. */
const DRAIN = 120_000;

/** Events that a kill can wait for. */
type Moment = "accepted" | "replied";

export async function crash(program: Program, options: CrashOptions): Promise<CrashResult> {
  const { seed, store: name, kills, clients: count, life, progress = () => {} } = options;
  const random = seeded(seed);
  const begun = performance.now();
  const files = await certificateFiles();
  const store = await openStore(name);
  const events = new Events();
  let acknowledged = 0;
  const cloud = await startCrashCloud({
    delay: () => random() * GRAPH_DELAY,
    accepted: () => events.happened("accepted"),
  });
  const clients = new CrashClients({
    clients: count,
    random,
    crowded: () => acknowledged - cloud.arrived > CROWD,
    ended({ end }) {
      if (end === "reply") acknowledged++;
      events.happened("replied");
    },
  });
  const environment = {
    ...files.settings,
    ...SETTINGS,
    QUEUE_KEY: randomBytes(32).toString("base64"),
    ...store.settings,
  };
  const logs: RelayLog[] = [];
  const killed: Record<string, number> = {};
  const relayName = () => `relay-${logs.length}`;
  const start = () => serve(program, { ...environment, ...cloud.settingsOf(relayName()) });
  try {
    while (logs.length < kills) {
      const moment = momentFor(random);
      killed[moment] = (killed[moment] ?? 0) + 1;
      let running: Running;
      if (moment === "starting") {
        running = run(program, ["serve"], {
          SMTP_LISTEN: "127.0.0.1:0",
          HTTP_LISTEN: "127.0.0.1:0",
          ...environment,
          ...cloud.settingsOf(relayName()),
        });
        await pause(random() * STARTING);
      } else {
        const relay = await start();
        running = relay.running;
        clients.connectTo([relay]);
        if (moment === "any time") await pause(random() * life);
        else {
          const event = events.nth(moment, 1 + Math.floor(random() * EVENTS));
          await Promise.race([event, pause(life)]);
        }
      }
      process.kill(running.child.pid!, "SIGKILL");
      clients.connectTo([]);
      await running.exited;
      logs.push(readLog(relayName(), true, running.stderr));
      await store.relayDied();
      progress(`${logs.length} kills, ${acknowledged} acknowledged, ${cloud.arrived} arrived`);
    }
    const relay = await start();
    clients.connectTo([relay]);
    await clients.stop();
    const problems = await drain(relay.http, clients, cloud);
    problems.push(...await end(relay.running, relayName(), logs));
    if (await store.forget()) {
      const { running } = await start();
      await until(async () => (await store.left()).length === 0);
      problems.push(...await end(running, relayName(), logs));
    }
    problems.push(...(await store.left()).map((name) => `${name} is left in the store`));
    const ledgers = { clients: clients.ledger, arrivals: cloud.arrivals, logs };
    const { disagreements, figures } = compare(ledgers);
    return {
      disagreements: [...problems, ...disagreements],
      figures,
      kills: killed,
      seconds: (performance.now() - begun) / 1000,
    };
  } finally {
    await clients.stop();
    await cloud.close();
    await store.close();
    files.remove();
  }
}

function momentFor(random: () => number): Moment | "any time" | "starting" {
  const chance = random();
  if (chance < 0.1) return "starting";
  if (chance < 0.45) return "accepted";
  if (chance < 0.7) return "replied";
  return "any time";
}

/** Ends a relay in good order. @returns what was wrong with that */
async function end(running: Running, name: string, logs: RelayLog[]): Promise<string[]> {
  const status = await running.stop();
  logs.push(readLog(name, false, running.stderr));
  return status === 0 ? [] : [`the last relay ended with ${status}: ${running.stderr}`];
}

/** Waits until the queue is empty. */
async function drain(http: number, clients: CrashClients, cloud: CrashCloud): Promise<string[]> {
  let counts = "";
  const empty = await until(async () => {
    const answer = await fetch(`http://127.0.0.1:${http}/readyz`);
    const { parts: { queue } } = await answer.json() as {
      parts: { queue: Record<"queued" | "sending" | "held" | "dead", number> };
    };
    counts = JSON.stringify(queue);
    return queue.queued + queue.sending + queue.held + queue.dead === 0;
  });
  if (empty) return [];
  return [`after ${clients.ledger.length} messages and ${cloud.arrived} arrivals: ${counts}`];
}

async function until(condition: () => Promise<boolean>): Promise<boolean> {
  const end = performance.now() + DRAIN;
  while (performance.now() < end) {
    if (await condition()) return true;
    await pause(100);
  }
  return false;
}

/** Waits for events by their number. */
class Events {
  readonly #waiting: Record<Moment, { left: number; resolve: () => void } | undefined> = {
    accepted: undefined,
    replied: undefined,
  };

  happened(moment: Moment): void {
    const waiting = this.#waiting[moment];
    if (waiting !== undefined && --waiting.left === 0) waiting.resolve();
  }

  nth(moment: Moment, left: number): Promise<void> {
    return new Promise((resolve) => this.#waiting[moment] = { left, resolve });
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
