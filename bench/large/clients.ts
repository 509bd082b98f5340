// Clients that all send a large message at the same time, and retry until it is accepted. Takes
// LargeClients as JSON; prints a LargeReport.

import { Buffer } from "node:buffer";
import process from "node:process";
import { filesFor, largeMessage, sizeOf } from "../../tests/support/large_message.ts";
import { Hangup, NotServed, SmtpConnection } from "../smtp.ts";
import type { LargeClients, LargeReport } from "./scenario.ts";

const options = JSON.parse(process.argv[2]!) as LargeClients;
const { port, clients, octets, username, password, time } = options;
/** Milliseconds until a client tries again, at least and at most. */
const AGAIN = [500, 2000] as const;
/** Octets that are written at once. */
const BLOCK = 256 * 1024;
/** Milliseconds for a reply. */
const PATIENCE = 60_000;

const begun = performance.now();
const report: LargeReport = { replies: {}, taken: [], notServed: [], lost: [] };
const message = largeMessage(filesFor(octets)).map((block) => Buffer.from(block));
const size = sizeOf(message);
const auth = Buffer.from(`\0${username}\0${password}`).toString("base64");

async function client(number: number): Promise<void> {
  while (performance.now() - begun < time) {
    const reply = await send(number).catch((error: unknown) => {
      if (!(error instanceof Hangup)) throw error;
      if (error instanceof NotServed) report.notServed.push(error.message);
      else report.lost.push(`client ${number}: ${error.message}`);
      return "";
    });
    if (reply.startsWith("250")) {
      report.taken.push(number);
      return;
    }
    const [least, most] = AGAIN;
    await new Promise((resolve) => setTimeout(resolve, least + Math.random() * (most - least)));
  }
}

/** @returns the reply that ended it */
async function send(number: number): Promise<string> {
  const connection = await SmtpConnection.open(port, `127.0.3.${number}`, false);
  try {
    // Some clients announce the size, and are refused before they send the message.
    const declared = number % 2 === 0 ? ` SIZE=${size}` : "";
    for (
      const command of [
        `AUTH PLAIN ${auth}`,
        `MAIL FROM:<large${number}@example.com>${declared}`,
        "RCPT TO:<to@example.org>",
        "DATA",
      ]
    ) {
      const reply = await inTime(connection.say(command), command.slice(0, 4));
      if (!/^[23]/.test(reply)) return counted(`${command.slice(0, 4)} ${reply}`, reply);
    }
    connection.write(`X-Attack: ${number}\r\n`);
    for (const block of message) {
      for (let at = 0; at < block.length; at += BLOCK) {
        await connection.written(block.subarray(at, at + BLOCK));
      }
    }
    connection.write(".\r\n");
    const reply = await inTime(connection.reply());
    return counted(`content ${reply}`, reply);
  } finally {
    connection.destroy();
  }
}

/** Fails if there is no reply within a minute. */
async function inTime(reply: Promise<string>, what = "content"): Promise<string> {
  let timer: ReturnType<typeof setTimeout>;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Hangup(`no reply to ${what}`)), PATIENCE);
  });
  return await Promise.race([reply, late]).finally(() => clearTimeout(timer));
}

function counted(what: string, reply: string): string {
  const key = what.replace(/ id=\w+$/, "").slice(0, 60);
  report.replies[key] = (report.replies[key] ?? 0) + 1;
  return reply;
}

await Promise.all(Array.from({ length: clients }, (_, i) => client(i + 1)));
console.log(JSON.stringify(report));
process.exit(0);
