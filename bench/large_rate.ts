// Large messages, four at once, each way to Graph: MB a second, CPU for a MB, and what the process
// holds at most above what it holds at rest, beside the mail that is in flight.
//
// RELAY_BENCH_BESIDE names the executable of another build: it is measured in turn with this one.
// RELAY_BENCH_RUNTIME=deno measures the sources on Deno instead. Neither load nor cloud keeps a message.

import { writeFileSync } from "node:fs";
import process from "node:process";
import { type Program, type Relay, SECRET, serve, USERNAME } from "../tests/end_to_end/programs.ts";
import { mebibytesOf } from "./memory/scenario.ts";
import type { Shape } from "./memory/shapes.ts";
import { certificateFiles, Script, theExecutable, usageOf } from "./processes.ts";
import { median, root } from "./support.ts";

export interface LargeLoad {
  readonly port: number;
  readonly clients: number;
  /** Of each client, one after another. */
  readonly messages: number;
  /** Of a message. */
  readonly octets: number;
  readonly shape: Shape;
  readonly recipients: number;
  readonly username: string;
  readonly password: string;
}

const WAYS = ["sendMail", "upload"] as const;
const SHAPE = (process.env["RELAY_BENCH_SHAPE"] ?? "base64") as Shape;
const MIB = 1024 ** 2;
const OCTETS = Number(process.env["RELAY_BENCH_OCTETS"] ?? 25_000_000);
const CLIENTS = Number(process.env["RELAY_BENCH_CLIENTS"] ?? 4);
const ROUNDS = Number(process.env["RELAY_BENCH_ROUNDS"] ?? 7);
/** Milliseconds for which the cloud holds its responses back; see the gathering cloud. */
const CALM = Number(process.env["RELAY_BENCH_CALM"] ?? 0);
const MESSAGES = Number(process.env["RELAY_BENCH_MESSAGES"] ?? 2);
/** Milliseconds after a few short messages until memory is at rest. */
const REST = 2_000;

const DENO: Program = {
  name: "Deno",
  command: [`${root}node_modules/.bin/deno`, "run", "-A", "--no-check", `${root}src/main.ts`],
};

interface Candidate {
  readonly name: string;
  readonly relay: Relay;
  readonly pid: number;
  /** MiB */
  readonly rest: number;
  readonly runs: { rate: number; cpu: number; peak: number }[];
}

export async function largeRate(): Promise<void> {
  const programs = process.env["RELAY_BENCH_RUNTIME"] === "deno" ? [DENO] : [theExecutable()];
  const beside = process.env["RELAY_BENCH_BESIDE"];
  if (beside !== undefined) programs.push({ name: "the other build", command: [beside] });
  const inFlight = CLIENTS * OCTETS / MIB;
  console.log(
    `  ${CLIENTS} × ${OCTETS / 1e6} MB at once, ${inFlight.toFixed(0)} MiB, STARTTLS and AUTH, ` +
      `median of ${ROUNDS} rounds in turn; most of all rounds for memory`,
  );
  for (const way of WAYS) {
    const candidates = await measured(programs, way);
    for (const { name, rest, runs } of candidates) {
      const above = Math.max(...runs.map(({ peak }) => peak)) - rest;
      console.log(
        `  ${way.padEnd(9)} ${name.padEnd(16)} ${
          median(runs.map(({ rate }) => rate)).toFixed(0)
        } MB/s, ` +
          `${median(runs.map(({ cpu }) => cpu)).toFixed(2)} ms of CPU for a MB, at most ` +
          `${above.toFixed(0)} MiB above ${rest.toFixed(0)} at rest, ` +
          `${(above / inFlight).toFixed(2)} × the mail`,
      );
    }
    const [ours, other] = candidates;
    if (other !== undefined) {
      const of = (key: "rate" | "cpu") =>
        median(ours!.runs.map((run, i) => run[key] / other.runs[i]![key])).toFixed(2);
      console.log(`  ${way.padEnd(9)} beside it: rate × ${of("rate")}, CPU × ${of("cpu")}`);
    }
  }
}

async function measured(
  programs: readonly Program[],
  way: typeof WAYS[number],
): Promise<readonly Candidate[]> {
  const files = await certificateFiles();
  const cloud = new Script("bench/memory/gathering_cloud.ts", { calm: CALM });
  const relays: Relay[] = [];
  try {
    const url = await cloud.line();
    const candidates: Candidate[] = [];
    for (const program of programs) {
      const relay = await serve(program, {
        ...files.settings,
        MAX_MESSAGE_SIZE: "150m",
        MAX_MEMORY: "2g",
        ...(way === "sendMail" ? { GRAPH_REQUEST_LIMIT: "150m" } : {}),
        AZURE_AUTHORITY_HOST: `${url}/entra`,
        GRAPH_ENDPOINT: `${url}/graph`,
      });
      relays.push(relay);
      const pid = relay.running.child.pid!;
      // Code that every relay loads and compiles for its first mail counts as memory at rest.
      await load({ relay, octets: 20_000, clients: 1 });
      await new Promise((resolve) => setTimeout(resolve, REST));
      const rest = mebibytesOf(pid, "VmRSS");
      candidates.push({ name: program.name, relay, pid, rest, runs: [] });
    }
    for (let round = -1; round < ROUNDS; round++) {
      for (const candidate of round & 1 ? candidates : candidates.toReversed()) {
        const { relay, pid, runs } = candidate;
        // The high-water mark is set back to what is resident now (proc_pid_clear_refs(5)).
        writeFileSync(`/proc/${pid}/clear_refs`, "5");
        const { cpu } = usageOf(pid);
        const seconds = await load({ relay, octets: OCTETS, clients: CLIENTS });
        const megabytes = CLIENTS * MESSAGES * OCTETS / 1e6;
        const run = {
          rate: megabytes / seconds,
          cpu: (usageOf(pid).cpu - cpu) * 1000 / megabytes,
          peak: mebibytesOf(pid, "VmHWM"),
        };
        // The first round warms up.
        if (round >= 0) runs.push(run);
      }
    }
    return candidates;
  } finally {
    for (const relay of relays) await relay.running.stop();
    await cloud.end();
    files.remove();
  }
}

/** @returns seconds */
async function load(
  { relay, ...rest }: { relay: Relay } & Pick<LargeLoad, "octets" | "clients">,
): Promise<number> {
  const script = new Script(
    "bench/large_rate/load.ts",
    {
      ...rest,
      port: relay.smtp,
      messages: MESSAGES,
      shape: SHAPE,
      recipients: 1,
      username: USERNAME,
      password: SECRET,
    } satisfies LargeLoad,
  );
  try {
    return (await script.object<{ seconds: number }>()).seconds;
  } finally {
    await script.end();
  }
}
