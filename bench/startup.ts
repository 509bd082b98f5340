// From start to the 220 greeting, and memory at rest, of the executable with a certificate.

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

export async function startup(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "relay-bench-"));
  try {
    const { certificate, privateKey } = await selfSignedCertificate();
    writeFileSync(join(directory, "cert.pem"), certificate);
    writeFileSync(join(directory, "key.pem"), privateKey);
    const times: number[] = [];
    const memory: number[] = [];
    for (let run = 0; run < RUNS; run++) {
      const port = await freePort();
      const http = await freePort();
      const begun = performance.now();
      const child = spawn(executable(), ["serve"], {
        env: {
          PATH: process.env["PATH"],
          SMTP_LISTEN: `127.0.0.1:${port}`,
          HTTP_LISTEN: `127.0.0.1:${http}`,
          TLS_CERT_FILEPATH: join(directory, "cert.pem"),
          TLS_KEY_FILEPATH: join(directory, "key.pem"),
        },
        stdio: "ignore",
      });
      await greeting(port);
      times.push(performance.now() - begun);
      await new Promise((resolve) => setTimeout(resolve, REST));
      memory.push(memoryOf(child.pid!).resident);
      await ended(child);
    }
    const size = statSync(executable()).size / 1024 / 1024;
    console.log(`  start to greeting  ${spread(times, "ms")}`);
    console.log(`  memory at rest     ${spread(memory, "MB")}`);
    console.log(`  executable         ${size.toFixed(0)} MB (${executable().slice(root.length)})`);
  } finally {
    rmSync(directory, { recursive: true });
  }
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

function spread(values: readonly number[], unit: string): string {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  return `${median(values).toFixed(0)} ${unit} (${least.toFixed(0)} to ${
    most.toFixed(0)
  }, ${values.length} runs)`;
}
