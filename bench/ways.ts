// CPU and memory per message of each way out: the same relay by Graph and by a smarthost, in turn, over the
// same load. Neither way has TLS here, so that what is compared is the relay's own work: Graph's form in
// base64 over HTTP on one side, the message as it came over SMTP on the other.

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { selfSignedCertificate } from "../src/certificates/self_signed.ts";
import { executable, firstLine, freePort, median } from "./support.ts";
import { bun, type Candidate, type Figures, measure } from "./throughput.ts";

const WARM_UP = 2;
const ROUNDS = 5;
/** The tenant of the load's logins. */
const TENANT = "11111111-1111-1111-1111-111111111111";

export async function ways(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "relay-bench-"));
  const { certificate, privateKey } = await selfSignedCertificate();
  const files = { cert: join(directory, "cert.pem"), key: join(directory, "key.pem") };
  writeFileSync(files.cert, certificate);
  writeFileSync(files.key, privateKey);
  const processes: ChildProcess[] = [];
  const started = (child: ChildProcess) => {
    processes.push(child);
    return child;
  };
  try {
    const url = `http://127.0.0.1:${await firstLine(started(bun("bench/throughput/cloud.ts")))}`;
    const sink = started(bun("bench/smarthost/sink.ts", files.cert, files.key, ""));
    const smarthost = `smtp://127.0.0.1:${await firstLine(sink)}`;
    const start = async (name: string, more: Record<string, string>): Promise<Candidate> => {
      const port = await freePort();
      const child = started(spawn(executable(), ["serve"], {
        env: {
          PATH: process.env["PATH"],
          SMTP_LISTEN: `127.0.0.1:${port}`,
          HTTP_LISTEN: "off",
          TLS_CERT_FILEPATH: files.cert,
          TLS_KEY_FILEPATH: files.key,
          AZURE_AUTHORITY_HOST: `${url}/entra`,
          GRAPH_ENDPOINT: `${url}/graph`,
          ...more,
        },
        stdio: ["ignore", "ignore", "pipe"],
      }));
      await firstLine(child, child.stderr!);
      return { name, child, port };
    };
    const candidates = [
      await start("by Graph", {}),
      await start("by a smarthost", {
        BACKEND: "smarthost",
        SMARTHOST_URL: smarthost,
        ALLOWED_TENANTS: TENANT,
      }),
    ];
    const runs = new Map<Candidate, Figures[]>(candidates.map((candidate) => [candidate, []]));
    for (let round = -WARM_UP; round < ROUNDS; round++) {
      for (const candidate of round % 2 === 0 ? candidates : candidates.toReversed()) {
        const figures = await measure(candidate, "pipelining");
        if (round >= 0) runs.get(candidate)!.push(figures);
      }
    }
    for (const candidate of candidates) {
      const of = (figure: keyof Figures) => runs.get(candidate)!.map((run) => run[figure]);
      console.log(
        `  ${candidate.name.padEnd(16)} ${
          median(of("perSecond")).toFixed(0).padStart(6)
        } messages/s  ` +
          `${median(of("cpu")).toFixed(3)} s of CPU per 1000  ` +
          `${Math.max(...of("memory")).toFixed(0)} MB at most after a round`,
      );
    }
  } finally {
    for (const child of processes) child.kill();
    rmSync(directory, { recursive: true });
  }
}
