// The load: connections that each log in over STARTTLS and send messages one after another. Prints
// `{"seconds": …, "sent": …, "cpu": …}`, the last in seconds of its own. Arguments: port, connections,
// messages on each, octets of a message, whether they pipeline, or speak plain text without a login
// (`plain`), or neither (an empty argument), and messages that each sends before the time counts.

import process from "node:process";
import { LoadClient, text } from "./client.ts";

const [port, connections, messages, octets] = process.argv.slice(2, 6).map(Number) as [
  number,
  number,
  number,
  number,
];
/** This program is compiled meanwhile, on the same processors. */
const untimed = Number(process.argv[7] ?? 0);
const plain = process.argv[6] === "plain";
const options = {
  port,
  tls: !plain,
  pipelining: process.argv[6] === "pipelining",
  message: text(octets),
  ...(plain ? {} : { account: 222222222222 }),
};

// An exception in a socket's callback would only be printed, and the bench would wait for ever.
process.on("uncaughtException", (error) => {
  console.error(error);
  process.exit(1);
});

const clients = await Promise.all(
  Array.from({ length: connections }, (_, number) => LoadClient.connect({ ...options, number })),
);
await Promise.all(clients.map((client) => sendAll(client, untimed)));
const cpuBefore = process.cpuUsage();
const begun = performance.now();
await Promise.all(clients.map(async (client) => {
  await sendAll(client, messages);
  client.end();
}));
const seconds = (performance.now() - begun) / 1000;
const { user, system } = process.cpuUsage(cpuBefore);
console.log(
  JSON.stringify({ seconds, sent: connections * messages, cpu: (user + system) / 1e6 }),
);
process.exit(0);

async function sendAll(client: LoadClient, messages: number): Promise<void> {
  for (let i = 0; i < messages; i++) await client.send();
}
