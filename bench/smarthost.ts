// Messages a second and CPU per message of the SMTP client, beside nodemailer's pooled transport: both send
// to the same server, over as many connections, in turns. The client pipelines MAIL, RCPT and DATA, which
// nodemailer does not; on a loopback that saves turns of the event loop, on a network round trips.

import { Buffer } from "node:buffer";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createTransport } from "nodemailer";
import { SmtpClient } from "../src/smtp_client/smtp_client.ts";
import { createAuthority } from "../tests/support/authority.ts";
import { firstLine, median, root } from "./support.ts";

const ROUNDS = 7;
const CONNECTIONS = 3;
const LOADS = [
  { name: "10 kB", octets: 10_000, messages: 2000, concurrent: 30 },
  { name: "1 MB", octets: 1_000_000, messages: 60, concurrent: 6 },
];
const FROM = "alice@example.com";
const TO = "bob@example.org";

interface Sender {
  readonly name: string;
  send(message: Buffer): Promise<void>;
  close(): unknown;
}

interface Figures {
  readonly perSecond: number;
  /** Milliseconds of CPU for a message. */
  readonly cpu: number;
}

export async function smarthost(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "relay-bench-"));
  const authority = await createAuthority("the bench's authority");
  const { certificate, privateKey } = await authority.issue({ names: ["localhost"] });
  const files = [join(directory, "cert.pem"), join(directory, "key.pem")] as const;
  writeFileSync(files[0], certificate);
  writeFileSync(files[1], privateKey);
  const sinks: ChildProcess[] = [];
  try {
    const sink = async (extension: string) => {
      const child = spawn(
        process.execPath,
        [join(root, "bench/smarthost/sink.ts"), ...files, extension],
        { stdio: ["ignore", "pipe", "inherit"] },
      );
      sinks.push(child);
      return Number(await firstLine(child));
    };
    const byData = await sink("");
    const byBdat = await sink("CHUNKING");
    for (const tls of [true, false]) {
      for (const load of LOADS) {
        const senders = [
          ours("the client, by DATA", byData, tls, authority.certificate),
          ours("the client, by BDAT", byBdat, tls, authority.certificate),
          theirs(byData, tls, authority.certificate),
        ];
        await compare(`${load.name}, ${tls ? "STARTTLS" : "plain text"}`, senders, load);
        for (const sender of senders) await sender.close();
      }
    }
  } finally {
    for (const child of sinks) child.kill();
    rmSync(directory, { recursive: true });
  }
}

function ours(name: string, port: number, tls: boolean, authority: string): Sender {
  const client = new SmtpClient({
    name: "bench.example",
    authorities: [authority],
    maxMessages: Infinity,
  });
  return {
    name,
    async send(content) {
      const { type } = await client.send(
        {
          hostname: "localhost",
          port,
          tls: tls ? "starttls" : "loopback",
          account: "",
          limit: { connections: CONNECTIONS },
        },
        { type: "none" },
        {
          from: FROM,
          recipients: [TO],
          content: [content],
          size: content.length,
          eightBit: false,
          smtputf8: false,
        },
        { waitTimeout: 60_000, timeout: 60_000, partlyRefused: "stop" },
      );
      if (type !== "accepted") throw new Error(`not sent: ${type}`);
    },
    close: () => client.close(),
  };
}

function theirs(port: number, tls: boolean, authority: string): Sender {
  const transport = createTransport({
    pool: true,
    maxConnections: CONNECTIONS,
    maxMessages: Infinity,
    host: "localhost",
    port,
    requireTLS: tls,
    ignoreTLS: !tls,
    tls: { ca: authority },
  });
  return {
    name: "nodemailer",
    async send(raw) {
      await transport.sendMail({ envelope: { from: FROM, to: [TO] }, raw });
    },
    close: () => transport.close(),
  };
}

async function compare(
  title: string,
  senders: readonly Sender[],
  load: (typeof LOADS)[number],
): Promise<void> {
  const line = `${"x".repeat(76)}\r\n`;
  const header = "Subject: bench\r\n\r\n";
  const message = Buffer.from(
    header + line.repeat(Math.ceil((load.octets - header.length) / line.length)),
  );
  const runs = senders.map((): Figures[] => []);
  for (let round = -1; round < ROUNDS; round++) {
    for (const [i, sender] of senders.entries()) {
      const figures = await measure(sender, message, load);
      // The first round warms up.
      if (round >= 0) runs[i]!.push(figures);
    }
  }
  console.log(`  ${title}, ${CONNECTIONS} connections`);
  const [, , base = []] = runs;
  for (const [i, { name }] of senders.entries()) {
    const perSecond = median(runs[i]!.map(({ perSecond }) => perSecond));
    const ratio = median(runs[i]!.map((run, at) => run.perSecond / base[at]!.perSecond));
    const cpu = median(runs[i]!.map(({ cpu }) => cpu));
    console.log(
      `    ${name.padEnd(20)} ${perSecond.toFixed(0).padStart(6)} messages/s, ` +
        `${ratio.toFixed(2)} of nodemailer's, ${cpu.toFixed(2)} ms of CPU each`,
    );
  }
}

async function measure(
  sender: Sender,
  message: Buffer,
  { messages, concurrent }: (typeof LOADS)[number],
): Promise<Figures> {
  const cpuBefore = process.cpuUsage();
  const began = performance.now();
  let left = messages;
  const work = async () => {
    while (left-- > 0) await sender.send(message);
  };
  await Promise.all(Array.from({ length: concurrent }, work));
  const seconds = (performance.now() - began) / 1000;
  const { user, system } = process.cpuUsage(cpuBefore);
  return { perSecond: messages / seconds, cpu: (user + system) / 1000 / messages };
}
