// Memory of the relay while it takes as many large messages at once as MAX_MEMORY admits, in every
// shape and both ways to Graph: its process may hold MAX_MEMORY, what it holds at rest, and
// WORKING_SHARE. Then, while it takes and uploads one large message: the most that its process has
// held above what it holds at rest, as a multiple of the message. Clients, relay and cloud are
// processes of their own, and each load has a relay to itself.

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createInterface, type Interface } from "node:readline";
import { selfSignedCertificate } from "../src/certificates/self_signed.ts";
import { filesFor, sha256Of } from "../tests/support/large_message.ts";
import { type Program, serve, SHIPPED } from "../tests/end_to_end/programs.ts";
import { allowed, fullLoad, type Load, peakOf, WORKING_SHARE } from "./memory/scenario.ts";
import { SHAPES } from "./memory/shapes.ts";
import { theExecutable } from "./processes.ts";
import { firstLine, root } from "./support.ts";

const MEGABYTES = [5, 20, 34, 150];
/** Milliseconds after the first, short message until memory is at rest. */
const REST = 2_000;

const deno: Program = {
  name: "Deno",
  command: [`${root}node_modules/.bin/deno`, "run", "-A", "--no-check", `${root}src/main.ts`],
};

const MIB = 1024 ** 2;
/** MAX_MEMORY, and the octets of a message. */
const BUDGETS = [[64 * MIB, 8_000_000], [256 * MIB, 34_000_000]] as const;
/** Octets of a small segment. */
const SMALL = 2_150;

export async function memory(): Promise<void> {
  await peaks();
  await singleMessages();
}

async function peaks(): Promise<void> {
  const loads: Load[] = [];
  for (const [memory, octets] of BUDGETS) {
    for (const way of ["sendMail", "upload"] as const) {
      for (const shape of SHAPES) loads.push(fullLoad(memory, octets, { shape, way }));
    }
    for (const verb of ["DATA", "BDAT"] as const) {
      for (const tls of [true, false]) {
        const rest = { shape: "base64", way: "sendMail", segment: SMALL, verb, tls } as const;
        loads.push(fullLoad(memory, octets, rest));
      }
    }
  }
  console.log(
    `  at most MAX_MEMORY, what the executable has at rest, and ${WORKING_SHARE} MiB to work with`,
  );
  const problems: string[] = [];
  for (const load of loads) {
    const peak = await peakOf(theExecutable(), load);
    const most = allowed(peak, load);
    const held = peak.peak <= most;
    const name = nameOf(load);
    console.log(
      `  ${name.padEnd(64)} ${peak.peak.toFixed(0).padStart(4)} of ${most.toFixed(0)} MiB ` +
        `(${peak.rest.toFixed(0)} at rest), ${peak.atOnce} at once, ` +
        `${peak.cpu.toFixed(1)} ms of CPU for a MB, ${peak.seconds.toFixed(1)} s${
          held ? "" : "  TOO MUCH"
        }`,
    );
    if (!held) problems.push(name);
    const { taken, odd } = peak.report;
    if (taken < load.messages) problems.push(`${name}: only ${taken} were taken; ${odd[0]}`);
  }
  if (problems.length > 0) throw new Error(`MAX_MEMORY was not held: ${problems.join("; ")}`);
}

function nameOf({ memory, octets, shape, way, segment, verb, tls }: Load): string {
  const small = segment === SMALL ? `, ${verb} in ${SMALL} octets, ${tls ? "TLS" : "plain"}` : "";
  return `${memory / MIB} MiB, ${octets / 1e6} MB each, ${way}: ${shape}${small}`;
}

async function singleMessages(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "relay-bench-"));
  const { certificate, privateKey } = await selfSignedCertificate();
  const files = { cert: join(directory, "cert.pem"), key: join(directory, "key.pem") };
  writeFileSync(files.cert, certificate);
  writeFileSync(files.key, privateKey);
  const cloud = bun("bench/memory/cloud.ts");
  try {
    const lines = createInterface(cloud.stdout!);
    const url = await nextLine(lines);
    for (const program of [SHIPPED, deno]) {
      for (const megabytes of MEGABYTES) {
        const relay = await serve(program, {
          TLS_CERT_FILEPATH: files.cert,
          TLS_KEY_FILEPATH: files.key,
          MAX_MESSAGE_SIZE: "150m",
          MAX_MEMORY: "1024m",
          AZURE_AUTHORITY_HOST: `${url}/entra`,
          GRAPH_ENDPOINT: `${url}/graph`,
        });
        try {
          await send(relay.smtp, 0, lines);
          await new Promise((resolve) => setTimeout(resolve, REST));
          const { pid } = relay.running.child;
          const rest = megabytesOf(pid!, "VmRSS");
          // The high-water mark is set back to what is resident now (proc_pid_clear_refs(5)).
          writeFileSync(`/proc/${pid}/clear_refs`, "5");
          const begun = performance.now();
          const arrived = await send(relay.smtp, megabytes * 1e6, lines);
          const seconds = (performance.now() - begun) / 1000;
          const peak = megabytesOf(pid!, "VmHWM");
          check(arrived, megabytes * 1e6);
          console.log(
            `  ${program.name.padEnd(15)} ${String(megabytes).padStart(3)} MB: ` +
              `${((peak - rest) / megabytes).toFixed(2)} times the message ` +
              `(${peak.toFixed(0)} MB at most, ${rest.toFixed(0)} MB at rest), ` +
              `${seconds.toFixed(1)} s`,
          );
        } finally {
          await relay.running.stop();
        }
      }
    }
  } finally {
    cloud.kill();
    rmSync(directory, { recursive: true });
  }
}

function bun(script: string, ...args: string[]): ChildProcess {
  return spawn(process.execPath, [script, ...args], {
    cwd: root,
    stdio: ["ignore", "pipe", "inherit"],
  });
}

interface Upload {
  readonly name: string;
  readonly sha256: string;
}

/** @returns what has arrived at the cloud */
async function send(port: number, octets: number, lines: Interface): Promise<Upload[]> {
  const arrived = nextLine(lines);
  const client = bun("bench/memory/client.ts", String(port), String(octets));
  const reply = await firstLine(client);
  if (!reply.startsWith("250 ")) throw new Error(reply);
  return JSON.parse(await arrived);
}

function nextLine(lines: Interface): Promise<string> {
  return new Promise((resolve) => lines.once("line", resolve));
}

/** At least the largest file must arrive by upload, unchanged. */
function check(arrived: readonly Upload[], octets: number): void {
  const files = filesFor(octets);
  const right = arrived.filter(({ name, sha256 }) =>
    files.some((file) => file.name === name && sha256Of(file) === sha256)
  );
  if (right.length === 0 || right.length < arrived.length) {
    throw new Error(`not what was sent: ${JSON.stringify(arrived)}`);
  }
}

/** In MB, of proc_pid_status(5). */
function megabytesOf(pid: number, field: "VmRSS" | "VmHWM"): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)![1]) * 1024 / 1e6;
}
