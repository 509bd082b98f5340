// Messages a second and CPU per message, over STARTTLS and AUTH, beside a relay made of
// nodemailer's smtp-server and fetch, and beside a bare sketch that only moves the octets: the
// floor of what one thread can do here. All run in turn against the same cloud and load, once with
// clients that wait for each reply, as devices and most libraries do, and once with clients that
// send MAIL, RCPT and DATA together, as mail servers do where PIPELINING is offered (RFC 2920).
//
// Load and cloud share the machine's cores with the relays, so messages a second say less on a
// small machine than the CPU per message does.
//
// RELAY_BENCH_BESIDE names the executable of another build: it is measured in turn with this one, which
// shows what a change costs even on a machine that is not quiet.

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { selfSignedCertificate } from "../src/certificates/self_signed.ts";
import { executable, firstLine, freePort, median, root } from "./support.ts";

const WARM_UP = 3;
const ROUNDS = 7;
const CONNECTIONS = 50;
const MESSAGES = 100;
const OCTETS = 10_000;
const CLIENTS = [
  { name: "clients that wait for each reply", argument: "" },
  { name: "clients that pipeline", argument: "pipelining" },
];

export interface Candidate {
  readonly name: string;
  readonly child: ChildProcess;
  readonly port: number;
}

interface Measured {
  readonly name: string;
  readonly runs: readonly Figures[];
}

export interface Figures {
  readonly perSecond: number;
  /** Seconds of CPU for 1000 messages. */
  readonly cpu: number;
  /** MB */
  readonly memory: number;
  /** Seconds of the load's CPU for 1000 messages. */
  readonly loadCpu: number;
}

export async function throughput(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "relay-bench-"));
  const certificate = await selfSignedCertificate();
  const files = { cert: join(directory, "cert.pem"), key: join(directory, "key.pem") };
  writeFileSync(files.cert, certificate.certificate);
  writeFileSync(files.key, certificate.privateKey);

  const processes: ChildProcess[] = [];
  const started = (child: ChildProcess) => {
    processes.push(child);
    return child;
  };
  try {
    const cloud = started(bun("bench/throughput/cloud.ts"));
    const url = `http://127.0.0.1:${await firstLine(cloud)}`;
    const startRelay = async (name: string, path: string): Promise<Candidate> => {
      const port = await freePort();
      const child = started(spawn(path, ["serve"], {
        env: {
          PATH: process.env["PATH"],
          SMTP_LISTEN: `127.0.0.1:${port}`,
          HTTP_LISTEN: "off",
          TLS_CERT_FILEPATH: files.cert,
          TLS_KEY_FILEPATH: files.key,
          AZURE_AUTHORITY_HOST: `${url}/entra`,
          GRAPH_ENDPOINT: `${url}/graph`,
        },
        stdio: ["ignore", "ignore", "pipe"],
      }));
      await firstLine(child, child.stderr!);
      return { name, child, port };
    };
    const relay = await startRelay("smtp-oauth-relay", executable());
    const beside = process.env["RELAY_BENCH_BESIDE"];
    const other = beside === undefined ? [] : [await startRelay("the other build", beside)];
    const baseline = started(bun("bench/throughput/baseline.ts", files.cert, files.key, url));
    const baselinePort = Number(await firstLine(baseline));
    const sketch = started(bun("bench/throughput/sketch.ts", files.cert, files.key, url));
    const sketchPort = Number(await firstLine(sketch));

    const candidates: readonly Candidate[] = [
      relay,
      { name: "smtp-server + fetch", child: baseline, port: baselinePort },
      { name: "bare sketch", child: sketch, port: sketchPort },
      ...other,
    ];
    console.log(
      `${CONNECTIONS} connections × ${MESSAGES} messages of ${OCTETS} octets, STARTTLS and AUTH, ` +
        `median of ${ROUNDS} rounds in turn`,
    );
    for (const { name, argument } of CLIENTS) {
      const runs = new Map<Candidate, Figures[]>(candidates.map((candidate) => [candidate, []]));
      // The first rounds are not counted: the programs are being compiled meanwhile.
      for (let round = -WARM_UP; round < ROUNDS; round++) {
        // They take turns at going first.
        const first = (round + WARM_UP) % candidates.length;
        for (const candidate of [...candidates.slice(first), ...candidates.slice(0, first)]) {
          const figures = await measure(candidate, argument);
          if (round >= 0) runs.get(candidate)!.push(figures);
        }
      }
      console.log(` ${name}`);
      report(candidates.map((candidate) => ({ ...candidate, runs: runs.get(candidate)! })));
    }
    const { count } = await (await fetch(`${url}/count`)).json() as { count: number };
    const rounds = (WARM_UP + ROUNDS) * candidates.length * CLIENTS.length;
    const expected = CONNECTIONS * MESSAGES * rounds;
    if (count !== expected) {
      throw new Error(`the cloud was given ${count} messages, not ${expected}`);
    }
  } finally {
    for (const child of processes) child.kill();
    rmSync(directory, { recursive: true });
  }
}

export function bun(script: string, ...args: string[]): ChildProcess {
  return spawn("bun", [script, ...args], { cwd: root, stdio: ["ignore", "pipe", "inherit"] });
}

/** @param messages on each connection */
export async function measure(
  { child, port }: Candidate,
  clients: string,
  messages = MESSAGES,
): Promise<Figures> {
  const before = cpuSeconds(child.pid!);
  const load = bun(
    "bench/throughput/load.ts",
    ...[port, CONNECTIONS, messages, OCTETS, clients].map(String),
  );
  const report = JSON.parse(await firstLine(load)) as {
    seconds: number;
    sent: number;
    cpu: number;
  };
  const { seconds, sent } = report;
  const cpu = cpuSeconds(child.pid!) - before;
  return {
    perSecond: sent / seconds,
    cpu: (cpu / sent) * 1000,
    memory: residentMegabytes(child.pid!),
    loadCpu: (report.cpu / sent) * 1000,
  };
}

/** User and system time of a process (proc_pid_stat(5), fields 14 and 15). */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\) /s, "").split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

function residentMegabytes(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]) / 1024;
}

function report(candidates: readonly Measured[]): void {
  for (const { name, runs } of candidates) {
    const rate = median(runs.map((run) => run.perSecond));
    const cpu = median(runs.map((run) => run.cpu));
    const memory = Math.max(...runs.map((run) => run.memory));
    console.log(
      `  ${name.padEnd(20)} ${rate.toFixed(0).padStart(6)} messages/s  ` +
        `${cpu.toFixed(3)} s of CPU per 1000  ${memory.toFixed(0)} MB at most after a round`,
    );
  }
  const [ours, baseline, sketch, other] = candidates as readonly [
    Measured,
    Measured,
    Measured,
    Measured?,
  ];
  compare(ours, baseline);
  compare(sketch, baseline);
  if (other !== undefined) compare(ours, other);
}

/** How far one is from the other, pair by pair of the rounds. */
function compare(one: Measured, other: Measured): void {
  const rates = one.runs.map((run, i) => run.perSecond / other.runs[i]!.perSecond);
  const cpu = one.runs.map((run, i) => other.runs[i]!.cpu / run.cpu);
  console.log(
    `  ${one.name} beside ${other.name}, pair by pair: ` +
      `${median(rates).toFixed(2)} times the messages a second ` +
      `(${Math.min(...rates).toFixed(2)} to ${Math.max(...rates).toFixed(2)}), ` +
      `${median(cpu).toFixed(2)} times less CPU a message`,
  );
}
