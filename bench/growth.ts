// What an input costs as it grows: octets of a message, its recipients, accounts, connections, a queue. Each step
// prints CPU and memory for a unit, and how its CPU compares with the cheapest step before: a unit must not cost
// more where there are more of them. All in one wave of less than two minutes.

import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Relay, SECRET, serve, TENANT, USERNAME } from "../tests/end_to_end/programs.ts";
import { mebibytesOf } from "./memory/scenario.ts";
import { certificateFiles, Script, theExecutable } from "./processes.ts";
import type { LargeLoad } from "./large_rate.ts";

export interface GrowthClients {
  readonly port: number;
  /** The number of the first account. */
  readonly first: number;
  readonly count: number;
  /** Whether they are one account, and stay connected until all have sent. */
  readonly stay: boolean;
  readonly tenant: string;
  readonly password: string;
}

interface Step {
  /** Units of one input: octets of a message, or accounts. */
  readonly size: number;
  /** Inputs. */
  readonly inputs: number;
}

interface Series {
  readonly name: string;
  readonly unit: string;
  /** Units that a figure is for. */
  readonly per: number;
  readonly steps: readonly Step[];
  /** The relay's settings besides those of all. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Runs a step, and looks at the relay while it holds most. */
  run(relay: Relay, step: Step, look: () => void): Promise<void>;
}

/** A unit may cost so many times as much as at the cheapest step before. */
const ALLOWED = 1.3;
const MIB = 1024 ** 2;
/** Messages before the first step: the relay's code is compiled meanwhile. */
const WARM_UP = 4000;
/** Milliseconds after them until memory is at rest. */
const REST = 1_000;
/** Milliseconds of CPU that are too few to compare. */
const TOO_FEW = 20;

const message = async (
  relay: Relay,
  load: Pick<LargeLoad, "octets" | "recipients" | "messages" | "clients">,
) => {
  const script = new Script(
    "bench/large_rate/load.ts",
    {
      ...load,
      port: relay.smtp,
      shape: "base64",
      username: USERNAME,
      password: SECRET,
    } satisfies LargeLoad,
  );
  try {
    await script.line();
  } finally {
    await script.end();
  }
};

let accounts = 0;
const clients = async (relay: Relay, count: number, stay: boolean, look: () => void) => {
  const script = new Script(
    "bench/growth/clients.ts",
    {
      port: relay.smtp,
      first: accounts,
      count,
      stay,
      tenant: TENANT,
      password: SECRET,
    } satisfies GrowthClients,
  );
  accounts += count;
  try {
    await script.line();
    look();
  } finally {
    await script.end();
  }
};

const SERIES: readonly Series[] = [
  {
    name: "octets of a message",
    unit: "MB",
    per: 1e6,
    steps: [
      { size: 1e3, inputs: 4000 },
      { size: 1e4, inputs: 4000 },
      { size: 1e5, inputs: 2000 },
      { size: 1e6, inputs: 200 },
      { size: 1e7, inputs: 40 },
      { size: 1e8, inputs: 4 },
    ],
    async run(relay, { size, inputs }, look) {
      const count = Math.min(4, inputs / 2);
      await message(relay, {
        ...{ octets: size, recipients: 1 },
        ...{ clients: count, messages: inputs / count },
      });
      look();
    },
  },
  {
    name: "recipients of a message",
    unit: "recipient",
    per: 1,
    steps: [1, 5, 20, 100, 500].map((size) => ({ size, inputs: Math.max(200, 2000 / size) })),
    async run(relay, { size, inputs }, look) {
      await message(relay, { octets: 5000, recipients: size, clients: 4, messages: inputs / 4 });
      look();
    },
  },
  {
    name: "accounts",
    unit: "account",
    per: 1,
    steps: [10, 100, 1000, 9000].map((size) => ({ size, inputs: 1 })),
    run: (relay, { size }, look) => clients(relay, size, false, look),
  },
  {
    name: "connections of one account",
    unit: "connection",
    per: 1,
    steps: [10, 100, 1000, 5000].map((size) => ({ size, inputs: 1 })),
    run: (relay, { size }, look) => clients(relay, size, true, look),
  },
  {
    // Each step adds to those before, and Graph is not there.
    name: "messages added to a queue",
    unit: "message",
    per: 1,
    steps: [1000, 2000, 5000, 10_000, 20_000].map((size) => ({ size, inputs: 1 })),
    settings: {
      DELIVERY_MODE: "queue",
      QUEUE_KEY: randomBytes(32).toString("base64"),
      GRAPH_ENDPOINT: "http://127.0.0.1:1",
    },
    async run(relay, { size }, look) {
      await message(relay, { octets: 5000, recipients: 1, clients: 4, messages: size / 4 });
      look();
    },
  },
];

export async function growth(): Promise<void> {
  const files = await certificateFiles();
  const cloud = new Script("bench/memory/gathering_cloud.ts", { calm: 0 });
  let worst = { ratio: 0, what: "" };
  try {
    const url = await cloud.line();
    for (const series of SERIES) {
      const relay = await serve(theExecutable(), {
        ...files.settings,
        ...{ MAX_MESSAGE_SIZE: "150m", MAX_MEMORY: "1g", REQUIRE_TLS: "false" },
        ...{ MAX_CONNECTIONS: "6000", LOG_LEVEL: "WARNING" },
        AZURE_AUTHORITY_HOST: `${url}/entra`,
        GRAPH_ENDPOINT: `${url}/graph`,
        QUEUE_URL: `sqlite:${join(files.directory, "queue.db")}`,
        ...series.settings,
      });
      try {
        const found = await measured(relay, series);
        if (found.ratio > worst.ratio) worst = found;
      } finally {
        await relay.running.stop();
      }
    }
  } finally {
    await cloud.end();
    files.remove();
  }
  console.log(`  the worst: ${worst.what}, ${worst.ratio.toFixed(2)} times the cheapest before`);
  if (worst.ratio > ALLOWED) {
    throw new Error(`a unit costs more where there are more: ${worst.what}`);
  }
}

/** @returns the step at which a unit costs most, beside the cheapest step before */
async function measured(
  relay: Relay,
  { name, unit, per, steps, run }: Series,
): Promise<{ ratio: number; what: string }> {
  console.log(`  ${name}`);
  const pid = relay.running.child.pid!;
  const messages = WARM_UP / 4;
  await message(relay, { octets: 5000, recipients: 1, clients: 4, messages });
  await new Promise((resolve) => setTimeout(resolve, REST));
  let cheapest = Infinity;
  let worst = { ratio: 0, what: "" };
  for (const step of steps) {
    const rest = mebibytesOf(pid, "VmRSS");
    // The high-water mark is set back to what is resident now (proc_pid_clear_refs(5)).
    writeFileSync(`/proc/${pid}/clear_refs`, "5");
    const before = cpuOf(pid);
    let [cpu, memory] = [0, 0];
    await run(relay, step, () => {
      cpu = cpuOf(pid) - before;
      memory = mebibytesOf(pid, "VmHWM") - rest;
    });
    const units = step.size * step.inputs / per;
    const cost = cpu / units;
    const ratio = cpu < TOO_FEW ? 0 : cost / cheapest;
    if (ratio > worst.ratio) worst = { ratio, what: `${name}, ${step.size}` };
    if (cpu >= TOO_FEW) cheapest = Math.min(cheapest, cost);
    console.log(
      `    ${String(step.size).padStart(9)}  ${
        cost.toFixed(3).padStart(9)
      } ms of CPU for a ${unit}, ` +
        `${(cpu / step.inputs).toFixed(2).padStart(8)} in all; ` +
        `${memory.toFixed(1).padStart(6)} MiB more, ` +
        `${(memory * MIB / 1024 / (step.size / per)).toFixed(1)} KiB for a ${unit}` +
        (ratio > ALLOWED ? `; ${ratio.toFixed(2)} times the cheapest` : ""),
    );
  }
  return worst;
}

/** Milliseconds of CPU of all threads so far; to the nanosecond, unlike proc_pid_stat(5). */
function cpuOf(pid: number): number {
  let sum = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const [time] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ");
    sum += Number(time);
  }
  return sum / 1e6;
}
