// The clients of a scenario, in a process of their own. Takes Clients as JSON; prints ClientsReport. With
// `growing` numbers of connections it prints `{}` once it has the next of them, and goes on for each line
// that it reads.

import { Buffer } from "node:buffer";
import process from "node:process";
import { createInterface } from "node:readline";
import { messageOf } from "../memory/shapes.ts";
import { percentile } from "../processes.ts";
import { LoadClient, type Message, text } from "../throughput/client.ts";
import type { Clients, ClientsReport, Closed, Latency } from "./load.ts";

/** Connections that are opened at the same time. */
const OPENING = 32;

const options = JSON.parse(process.argv[2]!) as Clients;
const { port, accounts = 1 } = options;
const message: Message = options.attachment ? attachment : text(options.octets);

function attachment(client: number): Buffer {
  return Buffer.concat([...messageOf("base64", options.octets, client), Buffer.from(".\r\n")]);
}

function connect(number: number): Promise<LoadClient> {
  return LoadClient.connect({ port, number, account: number % accounts, tls: true, message });
}

/** Opens connections until there are so many. */
async function grow(clients: LoadClient[], connections: number): Promise<void> {
  let next = clients.length;
  await Promise.all(Array.from({ length: OPENING }, async () => {
    while (next < connections) {
      const number = next++;
      clients[number] = await connect(number);
    }
  }));
}

/**
 * Each connection sends its messages one after another, until all are sent or the time is over. They begin one
 * by one over `spread` milliseconds: a burst at the beginning would be measured in place of what follows it.
 */
async function closed({ connections, messages, milliseconds, spread }: Closed): Promise<Counted> {
  const clients: LoadClient[] = [];
  await grow(clients, connections);
  let active = 0;
  const result = await counted(async (count) => {
    const end = performance.now() + milliseconds;
    await Promise.all(clients.map(async (client, number) => {
      await new Promise((resolve) => setTimeout(resolve, number / connections * spread));
      const start = performance.now();
      const late = new Promise((resolve) => setTimeout(resolve, end - start));
      for (let i = 0; i < messages && performance.now() < end; i++) {
        await Promise.race([count(number, client.send()), late]);
      }
      active += performance.now() - start;
    }));
  });
  return { ...result, active: active / 1000 };
}

/** Connections that come for one message each. */
async function sessions(number: number, concurrency: number): Promise<Counted> {
  return await counted(async (count) => {
    let next = 0;
    await Promise.all(Array.from({ length: concurrency }, async () => {
      while (next < number) {
        const client = await connect(next++);
        await count(0, client.send());
        await client.quit();
      }
    }));
  });
}

/**
 * As many messages a second as wanted, whether or not those before them have been answered, for as long as
 * there is a free connection.
 */
async function paced(connections: number, perSecond: number, time: number): Promise<Counted> {
  const clients: LoadClient[] = [];
  await grow(clients, connections);
  const latency: number[] = [];
  const transaction: number[] = [];
  const result = await counted(async (count) => {
    const free = clients.map((client, number) => ({ client, number }));
    const sending = new Set<Promise<void>>();
    const begun = performance.now();
    let started = 0;
    const next = () => {
      const due = (performance.now() - begun) / 1000 * perSecond;
      while (started < due && free.length > 0) {
        started++;
        const one = free.shift()!;
        const start = performance.now();
        const sent = count(one.number, one.client.send()).then((accepted) => {
          sending.delete(sent);
          free.push(one);
          if (!accepted) return;
          const now = performance.now();
          latency.push(now - one.client.contentSent);
          transaction.push(now - start);
        });
        sending.add(sent);
      }
    };
    while (performance.now() - begun < time) {
      next();
      // A timer, though what is due within its millisecond then comes at once: clients that look again in
      // each turn of the event loop take a whole core from what is measured, which waited for one of two
      // cores for a fifth of the time.
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await Promise.all(sending);
  });
  return { ...result, latency: latencyOf(latency), transaction: latencyOf(transaction) };
}

function latencyOf(values: readonly number[]): Latency {
  return { p50: percentile(values, 50), p99: percentile(values, 99) };
}

type Counted = Omit<ClientsReport, "cpu">;
/** Counts what a message has come to. @returns whether it was accepted */
type Count = (number: number, sent: Promise<void>) => Promise<boolean>;

async function counted(run: (count: Count) => Promise<void>): Promise<Counted> {
  const perAccount = Array.from({ length: accounts }, () => 0);
  const errors: string[] = [];
  let sent = 0;
  const begun = performance.now();
  await run(async (number, sending) => {
    try {
      await sending;
      sent++;
      perAccount[number % accounts]!++;
      return true;
    } catch (error) {
      errors.push((error as Error).message);
      return false;
    }
  });
  const seconds = (performance.now() - begun) / 1000;
  return { seconds, sent, errors: errors.length, firstError: errors[0] ?? "", perAccount };
}

async function run(): Promise<Counted | undefined> {
  const { load } = options;
  switch (load.type) {
    case "closed":
      return await closed(load);
    case "sessions":
      return await sessions(load.number, load.concurrency);
    case "paced":
      return await paced(load.connections, load.perSecond, load.milliseconds);
    case "growing": {
      const clients: LoadClient[] = [];
      const lines = createInterface(process.stdin)[Symbol.asyncIterator]();
      for (const connections of load.connections) {
        await grow(clients, connections);
        console.log("{}");
        await lines.next();
      }
      return undefined;
    }
  }
}

// An exception in a socket's callback would only be printed, and the bench would wait for ever.
process.on("uncaughtException", (error) => {
  console.error(error);
  process.exit(1);
});

const result = await run();
const { user, system } = process.cpuUsage();
if (result !== undefined) {
  console.log(JSON.stringify({ ...result, cpu: (user + system) / 1e6 } satisfies ClientsReport));
}
process.exit(0);
