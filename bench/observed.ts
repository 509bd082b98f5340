// What it costs to be seen: messages a second, and memory, of a relay that logs each message, counts for
// /metrics and shows a page that somebody watches, beside the same relay with all of that off. In turns,
// with clients that wait for each reply. RELAY_BENCH_ROUNDS makes it longer.
//
// Both are warm before anything counts: the runtime compiles a relay while mail passes, for tens of thousands of
// messages, and the one that is seen, which has more code, for longer. In a relay that has just started, that
// compiling is most of the difference.
//
// Memory is told twice. Under load it is the median of many samples, because the collector lets the heap
// grow from 30 to 60 MB and back, whatever is kept: one sample a round finds each relay at another place
// of that. What a relay keeps is the median of some seconds two minutes after the load, when it has given back what
// it can, while page and scrapes go on: there, pages of the executable (code of the HTTP server and the like) are told
// apart from the rest, which is what the relay itself takes. The latter may be at most MOST_MEMORY.

import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import { selfSignedCertificate } from "../src/certificates/self_signed.ts";
import { type Memory, memoryOf } from "./processes.ts";
import { executable, firstLine, freePort, median } from "./support.ts";
import { bun, type Candidate, type Figures, measure } from "./throughput.ts";

/** Messages on each connection in a round, so that the load, which is compiled anew in each, counts little. */
const MESSAGES = 300;
/** Rounds before it is asked whether they cost less and less; so many rounds are compared with as many before. */
const SETTLING = 3;
/** By which share of its CPU a relay may still improve from those to these, … */
const STEADY = 0.03;
/** … and rounds after which it is measured anyway. */
const MAX_WARM_UP = 14;
const ROUNDS = Number(process.env["RELAY_BENCH_ROUNDS"] ?? 12);
/** The share of messages a second that it may cost, and MiB. */
const MOST = 0.1;
const MOST_MEMORY = 6;
/** Milliseconds between two scrapes, more often than any Prometheus asks. */
const SCRAPE = 1_000;
/** Milliseconds between two samples of memory under load. */
const SAMPLE = 100;
/** Milliseconds after the load until memory is at rest: src/runtime/bun_memory.ts. */
const REST = 125_000;
/** Samples of that, a second each. */
const REST_SAMPLES = 11;

interface Observed extends Candidate {
  readonly runs: Figures[];
  /** MiB, under load. */
  readonly samples: number[];
}

export async function observed(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "relay-bench-"));
  const { certificate, privateKey } = await selfSignedCertificate();
  const files = { cert: join(directory, "cert.pem"), key: join(directory, "key.pem") };
  writeFileSync(files.cert, certificate);
  writeFileSync(files.key, privateKey);
  const processes: ChildProcess[] = [];
  const ended = new AbortController();
  try {
    const cloud = bun("bench/throughput/cloud.ts");
    processes.push(cloud);
    const url = `http://127.0.0.1:${await firstLine(cloud)}`;
    const start = async (name: string, more: Record<string, string>): Promise<Observed> => {
      const port = await freePort();
      const log = openSync(join(directory, `${name}.log`), "w");
      const child = spawn(executable(), ["serve"], {
        env: {
          PATH: process.env["PATH"],
          SMTP_LISTEN: `127.0.0.1:${port}`,
          TLS_CERT_FILEPATH: files.cert,
          TLS_KEY_FILEPATH: files.key,
          AZURE_AUTHORITY_HOST: `${url}/entra`,
          GRAPH_ENDPOINT: `${url}/graph`,
          ...more,
        },
        stdio: ["ignore", "ignore", log],
      });
      closeSync(log);
      processes.push(child);
      return { name, child, port, runs: [], samples: [] };
    };
    const http = await freePort();
    const seen = await start("seen", { LOG_LEVEL: "INFO", HTTP_LISTEN: `127.0.0.1:${http}` });
    const unseen = await start("unseen", {
      LOG_LEVEL: "ERROR",
      HTTP_LISTEN: "off",
      STATUS_MESSAGES: "0",
    });
    await setTimeout(3_000);
    watch(http, ended.signal);
    const warmUp = await warm([seen, unseen]);
    console.log(`  warm after ${warmUp} rounds; ${ROUNDS} more are measured`);
    for (let round = 0; round < ROUNDS; round++) await inTurn([seen, unseen], round);
    await setTimeout(REST);
    judge(seen, unseen, await memoryAtRest([seen, unseen]));
  } finally {
    ended.abort();
    for (const child of processes) child.kill();
    rmSync(directory, { recursive: true });
  }
}

/** A round of each, which take turns at going first. */
async function inTurn(candidates: readonly Observed[], round: number): Promise<void> {
  for (const candidate of round % 2 === 0 ? candidates : candidates.toReversed()) {
    const { child: { pid }, runs, samples } = candidate;
    const sampling = setInterval(() => samples.push(memoryOf(pid!).resident), SAMPLE);
    runs.push(await measure(candidate, "", MESSAGES));
    clearInterval(sampling);
  }
}

/** Rounds that do not count, until all have the CPU that they keep. @returns how many */
async function warm(candidates: readonly Observed[]): Promise<number> {
  let rounds = 0;
  while (rounds < MAX_WARM_UP && !candidates.every(isSteady)) await inTurn(candidates, rounds++);
  for (const { runs, samples } of candidates) runs.length = samples.length = 0;
  return rounds;
}

function isSteady({ runs }: Observed): boolean {
  if (runs.length < 2 * SETTLING) return false;
  const cpu = (end: number) => median(runs.slice(end - SETTLING, end).map((run) => run.cpu));
  return cpu(runs.length) > cpu(runs.length - SETTLING) * (1 - STEADY);
}

/** A page that is open, and a Prometheus. */
function watch(port: number, stop: AbortSignal): void {
  const stream = request({ port, path: "/status/events", signal: stop }, (response) => {
    response.resume();
  });
  stream.on("error", () => {});
  stream.end();
  void (async () => {
    while (!stop.aborted) {
      const response = await fetch(`http://127.0.0.1:${port}/metrics`, { signal: stop });
      await response.text();
      await setTimeout(SCRAPE, undefined, { signal: stop });
    }
  })().catch(() => {});
}

type Kept = Pick<Memory, "resident" | "anonymous">;

async function memoryAtRest(candidates: readonly Candidate[]): Promise<readonly Kept[]> {
  const samples: Memory[][] = candidates.map(() => []);
  for (let i = 0; i < REST_SAMPLES; i++) {
    for (const [at, { child }] of candidates.entries()) samples[at]!.push(memoryOf(child.pid!));
    await setTimeout(1_000);
  }
  return samples.map((own) => ({
    resident: median(own.map(({ resident }) => resident)),
    anonymous: median(own.map(({ anonymous }) => anonymous)),
  }));
}

/** @param kept of both */
function judge(seen: Observed, unseen: Observed, kept: readonly Kept[]): void {
  const share = median(seen.runs.map((run, i) => run.perSecond / unseen.runs[i]!.perSecond));
  const cpu = median(seen.runs.map((run, i) => run.cpu / unseen.runs[i]!.cpu));
  const loaded = median(seen.samples) - median(unseen.samples);
  const [ours, theirs] = kept as readonly [Kept, Kept];
  const own = ours.anonymous - theirs.anonymous;
  const ofFiles = ours.resident - theirs.resident - own;
  console.log(
    `  log at INFO, metrics and an open page, beside all off, pair by pair: ` +
      `${((1 - share) * 100).toFixed(1)} % fewer messages a second (at most ${MOST * 100} %), ` +
      `${((cpu - 1) * 100).toFixed(1)} % more CPU a message`,
  );
  console.log(
    `  memory under load ${median(seen.samples).toFixed(0)} MiB, ${loaded.toFixed(1)} more; ` +
      `after it ${ours.resident.toFixed(0)} MiB: ${own.toFixed(1)} more of its own ` +
      `(at most ${MOST_MEMORY}), and ${ofFiles.toFixed(1)} of the executable's pages`,
  );
  if (1 - share > MOST || own > MOST_MEMORY) throw new Error("it costs more than it may");
}
