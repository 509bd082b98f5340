// Clients with a login that take what they can get. Takes GreedyClients as JSON; prints `ready` once
// each has connected, and a report when it reads `end`.

import { Buffer } from "node:buffer";
import process from "node:process";
import { createInterface } from "node:readline";
import { SmtpConnection } from "../smtp.ts";
import { type GreedyClients, type GreedyReport, SLOW_MAILBOX } from "./scenario.ts";

const options = JSON.parse(process.argv[2]!) as GreedyClients;
const { greed, port, clients, address, username, password, octets } = options;
const AUTH = `AUTH PLAIN ${Buffer.from(`\0${username}\0${password}`).toString("base64")}`;
/** Milliseconds until a client that was closed comes back, and from one NOOP or octet to the next. */
const PAUSE = 1000;
/** Clients that log in at the same time. */
const AT_ONCE = 20;

const counts = { loggedIn: 0, closed: 0 };
const replies: Record<string, number> = {};
let ended = false;

const pause = () => new Promise((resolve) => setTimeout(resolve, PAUSE));

function counted(reply: string): string {
  if (reply >= "4") {
    const code = reply.slice(0, 9);
    replies[code] = (replies[code] ?? 0) + 1;
  }
  return reply;
}

/** Takes what it can; resolves once it has, and goes on until the connection is over. */
async function take(connection: SmtpConnection): Promise<{ readonly over: Promise<void> }> {
  const say = async (line: string) => counted(await connection.say(line));
  const mail = async () => {
    await say(`MAIL FROM:<${SLOW_MAILBOX}>`);
    await say("RCPT TO:<to@example.org>");
  };
  /** As much as there is room for. @returns octets */
  const largestMail = async () => {
    for (let size = octets; size > 1; size >>= 1) {
      const reply = await say(`MAIL FROM:<${SLOW_MAILBOX}> SIZE=${size}`);
      if (reply.startsWith("250")) return size;
    }
    return 0;
  };
  const nextReply = async () => void counted(await connection.reply());
  const each = async (act: () => Promise<unknown>) => {
    while (!ended) {
      await pause();
      await act();
    }
  };
  switch (greed) {
    case "silent":
      return { over: nextReply() };
    case "announces":
      await largestMail();
      return { over: each(() => say("NOOP")) };
    case "gone":
    case "waits":
      await mail();
      await say("DATA");
      connection.write("Subject: greedy\r\n\r\nx\r\n.\r\n");
      if (greed === "waits") return { over: nextReply() };
      connection.end();
      return { over: Promise.resolve() };
    case "bustles":
      await mail();
      return {
        over: each(async () => {
          connection.write("BDAT 2\r\nx");
          await pause();
          connection.write("x");
          await nextReply();
          await say("RSET");
          await mail();
        }),
      };
    case "drips": {
      const size = await largestMail();
      await say("RCPT TO:<to@example.org>");
      await say("DATA");
      connection.write(Buffer.alloc(Math.max(0, size - 100), "x"));
      return {
        over: each(() => {
          connection.write("x");
          return Promise.resolve();
        }),
      };
    }
  }
}

/** One client, over and over. @param first is called when it has had what it came for, or not */
async function run(first: () => void): Promise<void> {
  while (!ended) {
    let connection: SmtpConnection | undefined;
    try {
      connection = await SmtpConnection.open(port, address, false);
      if (counted(await connection.say(AUTH)).startsWith("235")) {
        counts.loggedIn++;
        const { over } = await take(connection);
        first();
        await over;
      }
    } catch {
      // It was closed, or refused: both are counted.
    }
    first();
    counts.closed++;
    connection?.destroy();
    await pause();
  }
}

let left = clients;
const waiting = Array.from({ length: clients }, () => () => {
  let done = false;
  return new Promise<void>((resolve) => {
    void run(() => {
      if (done) return;
      done = true;
      left--;
      resolve();
    });
  });
});
await Promise.all(Array.from({ length: AT_ONCE }, async () => {
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) await next();
}));
console.log("ready");

createInterface(process.stdin).on("line", () => {
  ended = true;
  console.log(JSON.stringify({ ...counts, replies } satisfies GreedyReport));
  process.exit(0);
});
