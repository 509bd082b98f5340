// Clients that send messages of one shape at the same time, until enough have been accepted. Takes
// Senders as JSON; prints a SendersReport.

import { Buffer } from "node:buffer";
import process from "node:process";
import { SmtpConnection } from "../smtp.ts";
import type { Senders } from "./scenario.ts";
import { messageOf } from "./shapes.ts";

const options = JSON.parse(process.argv[2]!) as Senders;
const { port, username, password, shape, octets, segment, verb, tls } = options;
/** Milliseconds until a client tries again. */
const AGAIN = 200;

const auth = Buffer.from(`\0${username}\0${password}`).toString("base64");
let begun = 0;
let taken = 0;
let deferred = 0;
const odd: string[] = [];

async function client(_: unknown, index: number): Promise<void> {
  // An address each: the number of unauthenticated connections per address is limited.
  const address = `127.0.${4 + (index >> 8)}.${index & 255 || 1}`;
  while (begun < options.messages && odd.length === 0) {
    const number = ++begun;
    for (;;) {
      const reply = await send(number, address).catch((error: unknown) => String(error));
      if (reply.startsWith("250")) {
        taken++;
        break;
      }
      if (!reply.startsWith("452 4.3.1")) return void odd.push(reply);
      deferred++;
      await new Promise((resolve) => setTimeout(resolve, AGAIN));
    }
  }
}

/** @returns the reply that ended it */
async function send(number: number, address: string): Promise<string> {
  const connection = await SmtpConnection.open(port, address, false, tls);
  try {
    for (
      const command of [
        `AUTH PLAIN ${auth}`,
        // A mailbox each: messages of one mailbox wait for each other.
        `MAIL FROM:<sender${number}@example.com> SIZE=${octets}`,
        "RCPT TO:<to@example.org>",
        ...(verb === "DATA" ? ["DATA"] : []),
      ]
    ) {
      const reply = await connection.say(command);
      if (!/^[23]/.test(reply)) return reply;
    }
    return verb === "DATA" ? await byData(connection, number) : await byChunks(connection, number);
  } finally {
    connection.destroy();
  }
}

async function byData(connection: SmtpConnection, number: number): Promise<string> {
  for (const piece of segments(number)) await connection.written(piece);
  connection.write(".\r\n");
  return await connection.reply();
}

/** The replies to all chunks but the last are read afterwards (RFC 3030 §4.2). */
async function byChunks(connection: SmtpConnection, number: number): Promise<string> {
  let chunks = 0;
  for (const piece of segments(number)) {
    await connection.written(
      Buffer.concat([Buffer.from(`BDAT ${piece.length}\r\n`), piece]),
    );
    chunks++;
  }
  connection.write("BDAT 0 LAST\r\n");
  for (; chunks > 0; chunks--) {
    const reply = await connection.reply();
    if (!reply.startsWith("250")) return reply;
  }
  return await connection.reply();
}

function* segments(number: number): Generator<Buffer> {
  for (const block of messageOf(shape, octets, number)) {
    for (let at = 0; at < block.length; at += segment) yield block.subarray(at, at + segment);
  }
}

await Promise.all(Array.from({ length: options.clients }).map(client));
console.log(JSON.stringify({ taken, deferred, odd }));
process.exit();
