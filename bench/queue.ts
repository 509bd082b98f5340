// How fast mail is accepted in queue mode, where each 250 waits for the disk, beside direct mode and beside
// Postfix, which puts the same mail into its hold queue on the same disk. All over STARTTLS and AUTH, in
// turns. The queue's own deliveries fail meanwhile, because Graph is not there: mail is only accepted.
//
// Postfix syncs one file before its 250 when it holds a message. It would sync a second one, its log of
// deferrals, if it tried to deliver: that would be no fair peer.
//
// Then: how long the event loop stands still at most while messages of 35 MB are received and stored.
// Needs Debian's postfix, sasl2-bin and libsasl2-modules, and root to start Postfix.

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import { selfSignedCertificate } from "../src/certificates/self_signed.ts";
import { type Postfix, startPostfix } from "./queue/postfix.ts";
import { executable, firstLine, freePort, median, root } from "./support.ts";

const ROUNDS = 5;
const LOADS = [
  { name: "10 KB, 1 client", clients: 1, messages: 600, octets: 10_000, aim: 1.5 },
  { name: "10 KB, 10 clients", clients: 10, messages: 200, octets: 10_000, aim: 1.5 },
  { name: "10 KB, 50 clients", clients: 50, messages: 60, octets: 10_000, aim: 1.5 },
  { name: "1 MB, 8 clients", clients: 8, messages: 15, octets: 1_000_000, aim: 1 },
] as const;
/** Messages before the time counts, of all clients: the load's program is compiled meanwhile, too. */
const UNTIMED = 400;
/**
 * What the relays receive before: the runtime compiles them meanwhile, on the same processors. Postfix is
 * compiled.
 */
const WARM_UP = { clients: 10, messages: 1_000, octets: 10_000 };
const LARGE = { clients: 2, messages: 4, octets: 34_900_000 };
interface Load {
  readonly clients: number;
  /** For each client. */
  readonly messages: number;
  readonly octets: number;
}
/** Milliseconds after which the queue seldom tries to send. */
const OUTAGE_KNOWN = 10_000;
/** Milliseconds that the event loop may stand still. */
const STALL = 20;

interface Started {
  readonly port: number;
  readonly child: ChildProcess;
}

interface Candidate {
  readonly name: string;
  readonly port: number;
  /** Empties its queue. */
  clear?(): Promise<void>;
}

export async function queue(): Promise<void> {
  // Beside the project, not in /tmp: that may be memory.
  const directory = mkdtempSync(join(root, "dist", ".bench-queue-"));
  const processes: ChildProcess[] = [];
  let postfix: Postfix | undefined;
  try {
    const certificate = await selfSignedCertificate();
    const files = { cert: join(directory, "cert.pem"), key: join(directory, "key.pem") };
    writeFileSync(files.cert, certificate.certificate);
    writeFileSync(files.key, certificate.privateKey);
    const cloud = spawn("bun", ["bench/throughput/cloud.ts"], {
      cwd: root,
      stdio: ["ignore", "pipe", "inherit"],
    });
    processes.push(cloud);
    const url = `http://127.0.0.1:${await firstLine(cloud)}`;
    const settings = {
      PATH: process.env["PATH"],
      HTTP_LISTEN: "off",
      TLS_CERT_FILEPATH: files.cert,
      TLS_KEY_FILEPATH: files.key,
      AZURE_AUTHORITY_HOST: `${url}/entra`,
      AZURE_TOKEN_CREDENTIALS: "EnvironmentCredential",
    };
    const queued = {
      GRAPH_ENDPOINT: `http://127.0.0.1:${await freePort()}`,
      DELIVERY_MODE: "queue",
      QUEUE_KEY: randomBytes(32).toString("base64"),
    };
    const relay = async (
      command: readonly [string, ...string[]],
      more: Record<string, string>,
    ): Promise<Started> => {
      const port = await freePort();
      const child = spawn(command[0], command.slice(1), {
        cwd: directory,
        env: { ...settings, SMTP_LISTEN: `127.0.0.1:${port}`, ...more },
        stdio: ["ignore", "pipe", "pipe"],
      });
      processes.push(child);
      await firstLine(child, child.stderr!);
      return { port, child };
    };
    postfix = await startPostfix(directory, files, await freePort());
    const candidates: readonly Candidate[] = [
      { name: "queue mode", ...await relay([executable(), "serve"], queued) },
      {
        name: "direct mode",
        ...await relay([executable(), "serve"], { GRAPH_ENDPOINT: `${url}/graph` }),
      },
      { name: "Postfix", port: postfix.port, clear: () => postfix!.clear() },
    ];
    for (const { port, clear } of candidates) {
      if (clear === undefined) await measure(port, WARM_UP);
    }
    for (const load of LOADS) await compare(candidates, load);
    const watched = ["bun", `${root}bench/queue/stall.ts`] as const;
    await stall(await relay(watched, { ...queued, QUEUE_URL: "sqlite:large.db" }));
  } finally {
    await postfix?.stop();
    for (const child of processes) child.kill();
    rmSync(directory, { recursive: true, force: true });
  }
}

async function compare(
  candidates: readonly Candidate[],
  load: (typeof LOADS)[number],
): Promise<void> {
  const rates = new Map<string, number[]>(candidates.map(({ name }) => [name, []]));
  for (let round = -1; round < ROUNDS; round++) {
    // They take turns at going first; the first round is not counted.
    const first = (round + 1) % candidates.length;
    for (const candidate of [...candidates.slice(first), ...candidates.slice(0, first)]) {
      const rate = await measure(candidate.port, load);
      if (round >= 0) rates.get(candidate.name)!.push(rate);
      await candidate.clear?.();
    }
  }
  console.log(` ${load.name}`);
  for (const [name, measured] of rates) {
    const shown = measured.map((rate) => rate.toFixed(0)).join(", ");
    console.log(
      `  ${name.padEnd(12)} ${median(measured).toFixed(0).padStart(6)} messages/s (${shown})`,
    );
  }
  const ours = rates.get("queue mode")!;
  for (const other of ["Postfix", "direct mode"]) {
    const ratios = ours.map((rate, i) => rate / rates.get(other)![i]!);
    const aim = other === "Postfix" ? `; the aim is ${load.aim}` : "";
    const shown = ratios.map((ratio) => ratio.toFixed(2)).join(", ");
    console.log(
      `  queue mode beside ${other}: ${median(ratios).toFixed(2)} times (${shown})${aim}`,
    );
  }
}

async function measure(port: number, { clients, messages, octets }: Load): Promise<number> {
  const untimed = octets < 1_000_000 ? Math.ceil(UNTIMED / clients) : 0;
  const load = spawn("bun", [
    "bench/throughput/load.ts",
    ...[port, clients, messages, octets, "", untimed].map(String),
  ], { cwd: root, stdio: ["ignore", "pipe", "inherit"] });
  const { seconds, sent } = JSON.parse(await firstLine(load)) as { seconds: number; sent: number };
  return sent / seconds;
}

/**
 * While Graph is known not to be there, so that receiving and storing are all that is measured: preparing a
 * large message for Graph takes as long here as in direct mode.
 */
async function stall({ port, child }: Started): Promise<void> {
  await measure(port, { clients: 5, messages: 2, octets: 10_000 });
  await setTimeout(OUTAGE_KNOWN);
  // The program is being compiled meanwhile.
  await measure(port, { ...LARGE, messages: 2 });
  child.kill("SIGUSR2");
  await measure(port, LARGE);
  const result = new Promise<string>((resolve) => {
    child.stdout!.setEncoding("utf8").once("data", resolve);
  });
  child.kill("SIGTERM");
  const longest = Number(await result);
  console.log(
    ` ${
      LARGE.clients * LARGE.messages
    } messages of 35 MB: the event loop stood still for ${longest} ms ` +
      `at most; the aim is ${STALL}`,
  );
}
