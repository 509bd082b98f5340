// Several relays on one queue in a storage account, one of which is killed under load: the others take its
// messages over once their leases have ended.

import type { Program } from "../../tests/end_to_end/programs.ts";
import { seeded } from "../processes.ts";
import { type Comparison, readLog } from "./ledgers.ts";
import { CrashWorld, pause, until } from "./world.ts";

export interface SeveralOptions {
  readonly seed: number;
  readonly relays: number;
  readonly clients: number;
  /** Messages that are acknowledged before the kill; half as many come after it. */
  readonly messages: number;
  /**
   * Whether the leases of the killed relay take their time. Otherwise the storage account's clock is put
   * forward when the other relays have sent all of their own messages.
   */
  readonly waits: boolean;
}

export interface SeveralResult extends Comparison {
  /** Messages that each relay has sent, by its log; the killed one is the first. */
  readonly shares: readonly number[];
  /**
   * For each message that the killed relay had accepted, the seconds from the kill until another one sent it;
   * sorted. Those that it had put off do not wait for the end of a lease.
   */
  readonly takenOver: readonly number[];
  readonly seconds: number;
}

/** So slow that each relay owns messages at any time. */
const GRAPH_DELAY = 400;
const CROWD = 300;
/** Messages of the killed relay that are not sent yet, at least. */
const OWNED = 5;
/** Milliseconds without an arrival after which the others have sent what they own. */
const QUIET = 3000;
/** Milliseconds in which the messages before the kill are acknowledged. */
const LOADING = 120_000;

export async function killOneOf(
  program: Program,
  { seed, relays: count, clients: clientCount, messages, waits }: SeveralOptions,
): Promise<SeveralResult> {
  const random = seeded(seed);
  const world = await CrashWorld.open(program, {
    store: "azure-storage",
    clients: clientCount,
    random,
    graphDelay: GRAPH_DELAY,
    crowd: CROWD,
  });
  const { clients, cloud, logs, store } = world;
  try {
    const relays = await Promise.all(Array.from({ length: count }, () => world.start()));
    const [first, ...others] = relays;
    clients.connectTo(relays);
    const problems: string[] = [];
    const acknowledge = async (wanted: number) => {
      if (await until(LOADING, () => world.acknowledged >= wanted)) return;
      problems.push(`only ${world.acknowledged} messages were acknowledged`);
    };
    await acknowledge(messages);
    const owned = () => {
      const { queued } = readLog(first!.name, true, first!.running.stderr);
      return world.missing().filter((id) => queued.has(id)).length;
    };
    if (!await until(LOADING, () => owned() >= OWNED)) problems.push("it has too few messages");
    const killedAt = performance.now();
    const { relay: killed, queued } = await world.kill(first!, others);
    await acknowledge(messages * 1.5);
    await clients.stop();
    if (!waits) {
      // The killed relay may own messages of others too, which had put them off.
      await until(LOADING, async () => {
        const before = cloud.arrivals.length;
        await pause(QUIET);
        return cloud.arrivals.length === before;
      });
      await store.relayDied();
    }
    problems.push(...await world.emptied());
    for (const relay of others) problems.push(...await world.end(relay));
    problems.push(...await world.forget());
    const { disagreements, figures } = world.compare();
    const takenOver = cloud.arrivals
      .filter(({ id, relay, at }) => queued.has(id) && relay !== killed && at > killedAt)
      .map(({ at }) => (at - killedAt) / 1000);
    return {
      disagreements: [...problems, ...disagreements],
      figures,
      shares: relays.map(({ name }) => logs.find(({ relay }) => relay === name)?.sent.size ?? 0),
      takenOver: takenOver.toSorted((a, b) => a - b),
      seconds: world.seconds,
    };
  } finally {
    await world.close();
  }
}
