// What it costs to be seen: messages a second, and memory, of a relay that logs each message, counts for
// /metrics and shows a page that somebody watches, beside the same relay with all of that off. In turns,
// with clients that wait for each reply. RELAY_BENCH_ROUNDS makes it longer.

import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import { selfSignedCertificate } from "../src/certificates/self_signed.ts";
import { executable, firstLine, freePort, median } from "./support.ts";
import { bun, type Candidate, type Figures, measure } from "./throughput.ts";

/** Rounds that are not counted: the runtime compiles the relays meanwhile, and the one that logs takes longer. */
const WARM_UP = 8;
const ROUNDS = Number(process.env["RELAY_BENCH_ROUNDS"] ?? 15);
/** The share of messages a second that it may cost, and MiB. */
const MOST = 0.1;
const MOST_MEMORY = 6;
/** Milliseconds between two scrapes, more often than any Prometheus asks. */
const SCRAPE = 1_000;

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
    const start = async (name: string, more: Record<string, string>): Promise<Candidate> => {
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
      return { name, child, port };
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
    const runs = new Map<Candidate, Figures[]>([[seen, []], [unseen, []]]);
    for (let round = -WARM_UP; round < ROUNDS; round++) {
      for (const candidate of round % 2 === 0 ? [seen, unseen] : [unseen, seen]) {
        const figures = await measure(candidate, "");
        if (round >= 0) runs.get(candidate)!.push(figures);
      }
    }
    judge(runs.get(seen)!, runs.get(unseen)!);
  } finally {
    ended.abort();
    for (const child of processes) child.kill();
    rmSync(directory, { recursive: true });
  }
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

function judge(seen: readonly Figures[], unseen: readonly Figures[]): void {
  const share = median(seen.map((run, i) => run.perSecond / unseen[i]!.perSecond));
  const cpu = median(seen.map((run, i) => run.cpu / unseen[i]!.cpu));
  const memory = median(seen.map((run) => run.memory)) - median(unseen.map((run) => run.memory));
  console.log(
    `  log at INFO, metrics and an open page, beside all off, pair by pair: ` +
      `${((1 - share) * 100).toFixed(1)} % fewer messages a second (at most ${MOST * 100} %), ` +
      `${((cpu - 1) * 100).toFixed(1)} % more CPU a message, ` +
      `${memory.toFixed(1)} MiB more (at most ${MOST_MEMORY})`,
  );
  if (1 - share > MOST || memory > MOST_MEMORY) throw new Error("it costs more than it may");
}
