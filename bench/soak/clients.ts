// The clients of the soak: each logs in, sends a few messages and leaves, in good order or not.
// Takes ClientOptions as JSON; prints `N` for every hundredth message that came to its end, and the
// ClientLedger as the last line.

import { Buffer } from "node:buffer";
import process from "node:process";
import { percentile, seeded } from "../processes.ts";
import { SECRET, TENANT } from "../../tests/end_to_end/programs.ts";
import { WRONG_SECRET } from "../../src/sandbox/entra.ts";
import type { ClientLedger, ClientOptions, Try } from "./ledgers.ts";
import { contentOf, dotStuffed, type Size, sizeFor } from "./message.ts";
import { Hangup, SmtpConnection } from "../smtp.ts";

const options = JSON.parse(process.argv[2]!) as ClientOptions;
const random = seeded(options.seed + 2);
const APPS = 8;
const MAILBOXES = 20;
/** Messages of one connection at most. */
const MOST = 4;
/** Milliseconds before a client tries again whose login was put off. */
const AGAIN = 500;
/** Milliseconds until a reply has to be there. */
const PATIENCE = 120_000;

interface Message {
  readonly number: number;
  readonly app: number;
  readonly from: string;
  readonly size: Size;
  readonly chunked: boolean;
  /** Where the client hangs up, if it does. */
  readonly leaves: "stays" | "before DATA" | "inside" | "after the dot";
  readonly way: "end" | "destroy" | "reset";
  /** Tries before this one. */
  readonly before: number;
}

const tries: Try[] = [];
const logins: Record<string, number> = {};
const wrongLogins: Record<string, number> = {};
const times: number[] = [];
/** Messages that have to be tried again. */
const again: Message[] = [];
let made = 0;
let done = 0;
let connections = 0;
const begun = performance.now();

function next(): Message | undefined {
  if (performance.now() - begun > options.time) return undefined;
  const waiting = again.shift();
  if (waiting !== undefined) return waiting;
  if (made >= options.messages) return undefined;
  const number = options.first + made++;
  const app = Math.floor(random() * APPS);
  const chance = random();
  return {
    number,
    app,
    from: `m${Math.floor(random() * MAILBOXES)}@soak.example`,
    size: sizeFor(random),
    chunked: random() < 0.2,
    leaves: chance < 0.03
      ? "before DATA"
      : chance < 0.08
      ? "inside"
      : chance < 0.18
      ? "after the dot"
      : "stays",
    way: (["end", "destroy", "reset"] as const)[Math.floor(random() * 3)]!,
    before: 0,
  };
}

/** One for each connection, so that the relay's log distinguishes them. */
function address(): string {
  const number = ++connections;
  return `127.${64 + 8 * options.phase + (number >> 16)}.${number >> 8 & 255}.${number & 255}`;
}

function count(counts: Record<string, number>, reply: string): void {
  const key = reply.slice(0, 9);
  counts[key] = (counts[key] ?? 0) + 1;
}

function finished(entry: Omit<Try, "at">): void {
  tries.push({ ...entry, at: Date.now() });
  if (++done % 100 === 0) console.log(done);
}

async function client(): Promise<void> {
  for (let message = next(); message !== undefined; message = next()) {
    const own = address();
    const connection = await connect(own);
    if (connection === undefined) {
      again.push(message);
      continue;
    }
    const wrong = random() < 0.02;
    const reply = await logIn(connection, message.app, wrong ? WRONG_SECRET : SECRET);
    if (!reply.startsWith("235")) {
      count(wrong ? wrongLogins : logins, reply);
      connection.destroy();
      again.push(message);
      if (!wrong) await new Promise((resolve) => setTimeout(resolve, AGAIN));
      continue;
    }
    if (wrong) count(wrongLogins, reply);
    let sending: Message | undefined = message;
    for (let i = 0; sending !== undefined; i++) {
      const stays = await send(connection, own, sending);
      if (!stays) break;
      if (i + 1 >= MOST || random() < 0.4) {
        await connection.say("QUIT").catch(() => {});
        connection.destroy();
        break;
      }
      sending = next();
      if (sending !== undefined && sending.app !== message.app) {
        // It is another app's: it takes a login of its own.
        again.push(sending);
        connection.destroy();
        break;
      }
    }
    if (sending === undefined) connection.destroy();
  }
}

async function connect(own: string): Promise<SmtpConnection | undefined> {
  const implicit = random() < 0.4;
  try {
    const port = implicit ? options.smtps : options.smtp;
    return await SmtpConnection.open(port, own, implicit);
  } catch (error) {
    if (!(error instanceof Hangup)) throw error;
    count(logins, error.message);
    return undefined;
  }
}

async function logIn(connection: SmtpConnection, app: number, secret: string): Promise<string> {
  const username = `${TENANT}@${String(app).padStart(8, "0")}-2222-4222-8222-222222222222`;
  const base64 = (text: string) => Buffer.from(text, "utf8").toString("base64");
  try {
    if (random() < 0.5) {
      return await connection.say(`AUTH PLAIN ${base64(`\0${username}\0${secret}`)}`);
    }
    await connection.say("AUTH LOGIN");
    await connection.say(base64(username));
    return await connection.say(base64(secret));
  } catch (error) {
    if (!(error instanceof Hangup)) throw error;
    return error.message;
  }
}

/** @returns whether the connection is good for one more */
async function send(
  connection: SmtpConnection,
  own: string,
  message: Message,
): Promise<boolean> {
  const { number, from, size, chunked, leaves, way } = message;
  const to = `to${number % 7}@soak.example`;
  const entry = { message: number, address: own };
  let begun = false;
  let over: number | undefined;
  try {
    for (const command of [`MAIL FROM:<${from}>`, `RCPT TO:<${to}>`]) {
      const reply = await connection.say(command);
      if (!reply.startsWith("250")) {
        finished({ ...entry, end: "reply", reply, begun });
        return false;
      }
    }
    if (leaves === "before DATA") {
      connection[way]();
      finished({ ...entry, end: "unfinished", begun });
      return false;
    }
    const content = contentOf(number, from, to, size);
    const octets = chunked ? content : dotStuffed(content);
    if (!chunked) {
      const ready = await connection.say("DATA");
      if (!ready.startsWith("354")) {
        finished({ ...entry, end: "reply", reply: ready, begun });
        return false;
      }
    } else connection.write(`BDAT ${content.length} LAST\r\n`);
    begun = true;
    if (leaves === "inside") {
      await connection.written(octets.subarray(0, Math.floor(random() * (octets.length - 3))));
      connection[way]();
      finished({ ...entry, end: "unfinished", begun });
      return false;
    }
    if (leaves === "after the dot") {
      await connection.written(octets);
      // The longest of these is longer than most messages take.
      await new Promise((resolve) => setTimeout(resolve, random() * 60));
      connection[way]();
      finished({ ...entry, end: "gone", begun });
      // As most do: it does not know what became of it. One that has only ended its side reads its reply.
      if (random() < 0.6 && way !== "end") repeat(message);
      return false;
    }
    connection.write(octets);
    over = performance.now();
    const reply = await inTime(connection.reply());
    if (reply.startsWith("250")) times.push(performance.now() - over);
    finished({ ...entry, end: "reply", reply, begun });
    // Put off, and surely not sent: a device sends it again.
    if (/^4/.test(reply) && !/may have been sent|4\.4\.2/.test(reply) && random() < 0.3) {
      repeat(message);
    }
    return true;
  } catch (error) {
    if (!(error instanceof Hangup)) throw error;
    finished({ ...entry, end: "lost", reply: error.message, begun });
    connection.destroy();
    return false;
  }
}

function repeat(message: Message): void {
  if (message.before < 3) again.push({ ...message, leaves: "stays", before: message.before + 1 });
}

function inTime(reply: Promise<string>): Promise<string> {
  let timer: ReturnType<typeof setTimeout>;
  return Promise.race([
    reply,
    new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Hangup(`no reply in ${PATIENCE} ms`)), PATIENCE);
    }),
  ]).finally(() => clearTimeout(timer));
}

await Promise.all(Array.from({ length: options.clients }, () => client()));
const ledger: ClientLedger = {
  tries,
  logins,
  wrongLogins,
  connections,
  times: { median: percentile(times, 50), most: Math.max(0, ...times) },
};
await new Promise<void>((resolve) =>
  process.stdout.write(JSON.stringify(ledger) + "\n", () => resolve())
);
process.exit(0);
