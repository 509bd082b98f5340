// The honest client: a message each second, each on a connection of its own, with STARTTLS, AUTH and
// QUIT. Takes HonestClient as JSON; prints a line of JSON for each message.

import process from "node:process";
import { createTransport } from "nodemailer";
import type { HonestClient, HonestMessage } from "./scenario.ts";

const options = JSON.parse(process.argv[2]!) as HonestClient;
const { port, address, messages, username, password } = options;
/** Milliseconds from one message's beginning to the next, whatever became of the one before. */
const EVERY = 1000;

async function send(number: number): Promise<HonestMessage> {
  const begun = performance.now();
  const transport = createTransport({
    host: "127.0.0.1",
    port,
    localAddress: address,
    requireTLS: true,
    tls: { rejectUnauthorized: false },
    auth: { user: username, pass: password },
    connectionTimeout: 30_000,
    greetingTimeout: 30_000,
    socketTimeout: 60_000,
  });
  try {
    const { response } = await transport.sendMail({
      from: "honest@example.com",
      to: "to@example.org",
      subject: `honest ${number}`,
      text: "It works.\r\n",
    });
    return { number, ms: performance.now() - begun, reply: response };
  } catch (error) {
    const { response, code, command, message } = error as Error & {
      response?: string;
      code?: string;
      command?: string;
    };
    const reply = response ?? `${code} ${command ?? ""} ${message}`;
    return { number, ms: performance.now() - begun, reply };
  } finally {
    transport.close();
  }
}

// The first one loads what the others need: it is not counted.
await send(0);
console.log("ready");
const all: Promise<void>[] = [];
for (let number = 1; number <= messages; number++) {
  all.push(send(number).then((message) => console.log(JSON.stringify(message))));
  await new Promise((resolve) => setTimeout(resolve, EVERY));
}
await Promise.all(all);
process.exit(0);
