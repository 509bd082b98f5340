// Kills a relay in queue mode again and again while clients send, starts it again on the same queue, and
// lets it send the rest in the end.

import type { Program } from "../../tests/end_to_end/programs.ts";
import { seeded } from "../processes.ts";
import type { Comparison } from "./ledgers.ts";
import type { StoreName } from "./stores.ts";
import { type CrashEvent, CrashWorld, pause } from "./world.ts";

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

const CROWD = 150;
const GRAPH_DELAY = 30;
/** Milliseconds after which a relay is killed that has just been started, at most. */
const STARTING = 400;
/** Events after which a relay is killed, at most. */
const EVENTS = 60;

export async function crash(program: Program, options: CrashOptions): Promise<CrashResult> {
  const { seed, store, kills, clients: count, life, progress = () => {} } = options;
  const random = seeded(seed);
  const events = new Events();
  const world = await CrashWorld.open(program, {
    store,
    clients: count,
    random,
    graphDelay: GRAPH_DELAY,
    crowd: CROWD,
    happened: (event) => events.happened(event),
  });
  const { clients, cloud, logs } = world;
  const killed: Record<string, number> = {};
  try {
    while (logs.length < kills) {
      const moment = momentFor(random);
      killed[moment] = (killed[moment] ?? 0) + 1;
      if (moment === "starting") {
        const relay = world.launch();
        await pause(random() * STARTING);
        await world.kill(relay);
      } else {
        const relay = await world.start();
        clients.connectTo([relay]);
        if (moment === "any time") await pause(random() * life);
        else {
          const event = events.nth(moment, 1 + Math.floor(random() * EVENTS));
          await Promise.race([event, pause(life)]);
        }
        await world.kill(relay);
      }
      await world.store.relayDied();
      progress(
        `${logs.length} kills, ${world.acknowledged} acknowledged, ${cloud.arrived} arrived`,
      );
    }
    const relay = await world.start();
    clients.connectTo([relay]);
    await clients.stop();
    const problems = await world.drain(relay);
    problems.push(...await world.end(relay));
    problems.push(...await world.forget());
    const { disagreements, figures } = world.compare();
    return {
      disagreements: [...problems, ...disagreements],
      figures,
      kills: killed,
      seconds: world.seconds,
    };
  } finally {
    await world.close();
  }
}

function momentFor(random: () => number): CrashEvent | "any time" | "starting" {
  const chance = random();
  if (chance < 0.1) return "starting";
  if (chance < 0.45) return "accepted";
  if (chance < 0.7) return "replied";
  return "any time";
}

/** Waits for events by their number. */
class Events {
  readonly #waiting: Record<CrashEvent, { left: number; resolve: () => void } | undefined> = {
    accepted: undefined,
    replied: undefined,
  };

  happened(event: CrashEvent): void {
    const waiting = this.#waiting[event];
    if (waiting !== undefined && --waiting.left === 0) waiting.resolve();
  }

  nth(event: CrashEvent, left: number): Promise<void> {
    return new Promise((resolve) => this.#waiting[event] = { left, resolve });
  }
}
