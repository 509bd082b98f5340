// From start to the 220 greeting, with a small environment and with that of a Kubernetes pod, and memory at
// rest, of the executable with a certificate, the status page and metrics. Each beside its goal.

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { selfSignedCertificate } from "../src/certificates/self_signed.ts";
import { memoryOf } from "./processes.ts";
import { executable, freePort, median, root } from "./support.ts";

const RUNS = 15;
/** Milliseconds after the greeting at which memory is read. */
const REST = 1_000;
/** Services of a namespace, of which each pod gets seven variables. */
const SERVICES = 60;

/** Milliseconds and MiB. */
const GOALS = { greeting: 30, greetingInPod: 33, own: 10, resident: 50 };

type Variables = Readonly<Record<string, string>>;

export async function startup(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "relay-bench-"));
  try {
    const { certificate, privateKey } = await selfSignedCertificate();
    const files = {
      TLS_CERT_FILEPATH: join(directory, "cert.pem"),
      TLS_KEY_FILEPATH: join(directory, "key.pem"),
    };
    writeFileSync(files.TLS_CERT_FILEPATH, certificate);
    writeFileSync(files.TLS_KEY_FILEPATH, privateKey);
    const pod = serviceVariables();
    const greetings: number[] = [];
    const greetingInPod: number[] = [];
    const own: number[] = [];
    const resident: number[] = [];
    for (let run = 0; run < RUNS; run++) {
      const plain = await start(files);
      greetings.push(plain.milliseconds);
      await new Promise((resolve) => setTimeout(resolve, REST));
      const memory = memoryOf(plain.child.pid!);
      own.push(memory.anonymous);
      resident.push(memory.resident);
      await ended(plain.child);
      const inPod = await start({ ...pod, ...files });
      greetingInPod.push(inPod.milliseconds);
      await ended(inPod.child);
    }
    const count = Object.keys(pod).length;
    report("start to greeting", greetings, "ms", GOALS.greeting);
    report(`with ${count} foreign variables`, greetingInPod, "ms", GOALS.greetingInPod);
    report("own memory at rest", own, "MiB", GOALS.own);
    report("resident at rest", resident, "MiB", GOALS.resident);
    const size = statSync(executable()).size / 1e6;
    console.log(`  executable ${size.toFixed(1)} MB (${executable().slice(root.length)})`);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

async function start(variables: Variables): Promise<{ child: ChildProcess; milliseconds: number }> {
  const port = await freePort();
  const http = await freePort();
  const begun = performance.now();
  const child = spawn(executable(), ["serve"], {
    env: {
      PATH: process.env["PATH"],
      LOG_LEVEL: "INFO",
      SMTP_LISTEN: `127.0.0.1:${port}`,
      HTTP_LISTEN: `127.0.0.1:${http}`,
      ...variables,
    },
    stdio: "ignore",
  });
  await greeting(port);
  return { child, milliseconds: performance.now() - begun };
}

/** What Kubernetes tells a pod of each service (kubernetes.io/docs/concepts/services-networking/service). */
function serviceVariables(): Variables {
  const variables: Record<string, string> = {};
  for (let i = 0; i < SERVICES; i++) {
    const name = `TEAM_SERVICE_${i}_BACKEND`;
    const address = `10.0.0.${i}`;
    Object.assign(variables, {
      [`${name}_SERVICE_HOST`]: address,
      [`${name}_SERVICE_PORT`]: "80",
      [`${name}_PORT`]: `tcp://${address}:80`,
      [`${name}_PORT_80_TCP`]: `tcp://${address}:80`,
      [`${name}_PORT_80_TCP_PROTO`]: "tcp",
      [`${name}_PORT_80_TCP_PORT`]: "80",
      [`${name}_PORT_80_TCP_ADDR`]: address,
    });
  }
  return variables;
}

/** Resolves with the first octets that the port sends; tries until something listens there. */
export function greeting(port: number): Promise<void> {
  return new Promise((resolve) => {
    const attempt = () => {
      const socket = connect(port, "127.0.0.1");
      socket.once("data", () => {
        socket.destroy();
        resolve();
      });
      socket.once("error", () => setTimeout(attempt, 1));
    };
    attempt();
  });
}

function ended(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    child.once("exit", () => resolve());
    child.kill("SIGTERM");
  });
}

function report(name: string, values: readonly number[], unit: string, goal: number): void {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const middle = median(values);
  console.log(
    `  ${name.padEnd(28)} ${middle.toFixed(1).padStart(5)} ${unit} ` +
      `(${least.toFixed(1)} to ${most.toFixed(1)}, ${values.length} runs), ` +
      `goal ${goal}${middle <= goal ? "" : ": MISSED"}`,
  );
}
