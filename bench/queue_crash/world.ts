// Relays on one queue under load, the cloud that they send to, and the ledgers of all of them.

import { randomBytes } from "node:crypto";
import process from "node:process";
import {
  type Program,
  type Relay,
  run,
  type Running,
  serve,
} from "../../tests/end_to_end/programs.ts";
import { MESSAGES } from "../../src/queue/azure/message_blob.ts";
import { certificateFiles } from "../processes.ts";
import { CrashClients } from "./clients.ts";
import { type CrashCloud, startCrashCloud } from "./cloud.ts";
import { compare, type Comparison, queuedId, readLog, type RelayLog } from "./ledgers.ts";
import { type CrashStore, LEASE, openStore, type StoreName } from "./stores.ts";

/** What may happen to a message, as a kill can wait for it. */
export type CrashEvent = "accepted" | "replied";

export interface CrashWorldOptions {
  readonly store: StoreName;
  readonly clients: number;
  readonly random: () => number;
  /** Milliseconds that Graph takes at most. */
  readonly graphDelay: number;
  /** Acknowledged messages under way, from which clients wait. */
  readonly crowd: number;
  readonly happened?: (event: CrashEvent) => void;
}

/** A relay that runs, with the name that it has in the ledgers. */
export interface NamedRelay extends Relay {
  readonly name: string;
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
/** Mailboxes that fail now and then while clients send, so that their messages are put off. */
const FAILING = /^m[01]@/;
/** Milliseconds that they fail, longer than a try takes, and after which they fail again. */
const FAILS = 3000;
const FAILS_AGAIN = 8000;
/**
 * Milliseconds until all has to be sent in the end. A request of a killed relay may have been carried out
 * late, and hide messages for a whole lease.
 */
const DRAIN = LEASE + 60_000;

export class CrashWorld {
  readonly store: CrashStore;
  readonly cloud: CrashCloud;
  readonly clients: CrashClients;
  readonly logs: RelayLog[] = [];
  /** Messages with a reply. */
  acknowledged = 0;
  readonly #program: Program;
  readonly #environment: Record<string, string>;
  readonly #running = new Set<Running>();
  readonly #removeFiles: () => void;
  readonly #begun = performance.now();
  #started = 0;

  private constructor(
    program: Program,
    { clients, random, crowd, happened = () => {} }: CrashWorldOptions,
    store: CrashStore,
    cloud: CrashCloud,
    files: Awaited<ReturnType<typeof certificateFiles>>,
  ) {
    this.#program = program;
    this.store = store;
    this.cloud = cloud;
    this.#removeFiles = files.remove;
    this.#environment = {
      ...files.settings,
      ...SETTINGS,
      QUEUE_KEY: randomBytes(32).toString("base64"),
      ...store.settings,
    };
    this.clients = new CrashClients({
      clients,
      random,
      crowded: () => this.acknowledged - cloud.arrived > crowd,
      ended: ({ end }) => {
        if (end === "reply") this.acknowledged++;
        happened("replied");
      },
    });
  }

  static async open(program: Program, options: CrashWorldOptions): Promise<CrashWorld> {
    const { store, random, graphDelay, happened } = options;
    const files = await certificateFiles();
    let world: CrashWorld | undefined = undefined;
    const cloud = await startCrashCloud({
      delay: () => random() * graphDelay,
      refuses: (mailbox) =>
        FAILING.test(mailbox) && performance.now() % FAILS_AGAIN < FAILS &&
        !world?.clients.isStopped,
      accepted: () => happened?.("accepted"),
    });
    return world = new CrashWorld(program, options, await openStore(store), cloud, files);
  }

  get seconds(): number {
    return (performance.now() - this.#begun) / 1000;
  }

  async start(): Promise<NamedRelay> {
    const name = this.#newName();
    const relay = await serve(this.#program, this.#settingsOf(name));
    this.#running.add(relay.running);
    return { ...relay, name };
  }

  /** Starts a relay, and does not wait until it is there. */
  launch(): Pick<NamedRelay, "name" | "running"> {
    const name = this.#newName();
    const running = run(this.#program, ["serve"], {
      SMTP_LISTEN: "127.0.0.1:0",
      HTTP_LISTEN: "127.0.0.1:0",
      ...this.#settingsOf(name),
    });
    this.#running.add(running);
    return { name, running };
  }

  /** @param others the relays that clients go on with */
  async kill(
    { name, running }: Pick<NamedRelay, "name" | "running">,
    others: readonly NamedRelay[] = [],
  ): Promise<RelayLog> {
    process.kill(running.child.pid!, "SIGKILL");
    this.clients.connectTo(others);
    await running.exited;
    return this.#ended(name, running, true);
  }

  /** Ends a relay in good order. @returns what was wrong with that */
  async end({ name, running }: NamedRelay): Promise<string[]> {
    const status = await running.stop();
    this.#ended(name, running, false);
    return status === 0 ? [] : [`${name} ended with ${status}: ${running.stderr}`];
  }

  /** Waits until a relay says that the queue is empty. @returns what is left after that */
  async drain({ http }: NamedRelay): Promise<string[]> {
    let counts = "";
    const empty = await until(DRAIN, async () => {
      const answer = await fetch(`http://127.0.0.1:${http}/readyz`);
      const { parts: { queue } } = await answer.json() as {
        parts: { queue: Record<"queued" | "sending" | "held" | "dead", number> };
      };
      counts = JSON.stringify(queue);
      return queue.queued + queue.sending + queue.held + queue.dead === 0;
    });
    return empty ? [] : [`the queue stays ${counts}`, ...await this.#leftOver()];
  }

  /** Waits until the store has no message, as only it knows of several relays. @returns what is left then */
  async emptied(): Promise<string[]> {
    const has = (name: string) => name.startsWith(MESSAGES);
    const empty = await until(DRAIN, async () => !(await this.store.left()).some(has));
    return empty ? [] : await this.#leftOver();
  }

  async #leftOver(): Promise<string[]> {
    const left = await this.store.left();
    const missing = this.missing().map((id) => `${id} was acknowledged and is not sent`);
    return [`there is still ${left.join(", ")}`, ...missing];
  }

  /** When no relay runs any more: what nobody was told about is forgotten. @returns what is left */
  async forget(): Promise<string[]> {
    const problems: string[] = [];
    if (await this.store.forget()) {
      const relay = await this.start();
      await until(DRAIN, async () => (await this.store.left()).length === 0);
      problems.push(...await this.end(relay));
    }
    const left = await this.store.left();
    return [...problems, ...left.map((name) => `${name} is left in the store`)];
  }

  /** Ids of the messages that were acknowledged and have not arrived yet. */
  missing(): string[] {
    const arrived = new Set(this.cloud.arrivals.map(({ id }) => id));
    return this.clients.ledger.map(queuedId)
      .filter((id): id is string => id !== undefined && !arrived.has(id));
  }

  compare(): Comparison {
    const { clients: { ledger }, cloud: { arrivals }, logs } = this;
    return compare({ clients: ledger, arrivals, logs });
  }

  async close(): Promise<void> {
    for (const { child, exited } of this.#running) {
      if (child.exitCode === null && child.signalCode === null) process.kill(child.pid!, "SIGKILL");
      await exited;
    }
    await this.clients.stop();
    await this.cloud.close();
    await this.store.close();
    this.#removeFiles();
  }

  #newName(): string {
    return `relay-${this.#started++}`;
  }

  #settingsOf(name: string): Record<string, string> {
    return { ...this.#environment, ...this.cloud.settingsOf(name) };
  }

  #ended(name: string, running: Running, killed: boolean): RelayLog {
    this.#running.delete(running);
    const log = readLog(name, killed, running.stderr);
    this.logs.push(log);
    return log;
  }
}

/** Asks again and again. @returns whether the condition was true in time */
export async function until(
  time: number,
  condition: () => boolean | Promise<boolean>,
): Promise<boolean> {
  const end = performance.now() + time;
  while (performance.now() < end) {
    if (await condition()) return true;
    await pause(100);
  }
  return false;
}

export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
