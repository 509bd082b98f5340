// The cloud of the soak: the simulated Entra ID and Graph, with every kind of failure by chance, and a
// ledger of the messages that it has taken. Takes CloudOptions as JSON. Prints its address; then, told
// to, `calm`s down, and writes its `ledger`.

import { createHash } from "node:crypto";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { createInterface } from "node:readline";
import { Buffer } from "node:buffer";
import { getRequestListener } from "@hono/node-server";
import { Hono } from "hono";
import { SandboxEntra } from "../../src/sandbox/entra.ts";
import { SandboxGraph } from "../../src/sandbox/graph.ts";
import type { AcceptedMessage } from "../../src/sandbox/graph.ts";
import { seeded } from "../processes.ts";
import type { CloudLedger, CloudOptions } from "./ledgers.ts";
import { RandomFaults } from "./trouble.ts";

const { seed } = JSON.parse(process.argv[2]!) as CloudOptions;
const random = seeded(seed + 1);
/** Of new connections, those that are reset before anything is read. */
const RESET = 0.05;
/** Milliseconds that Graph takes for a request: mostly the first, now and then up to the second. */
const USUAL = 200;
const LONGEST = 1000;
/** Milliseconds from one time without connections to the next, and how long it lasts. */
const CLOSED_EVERY = 10_000;
const CLOSED_FOR = 300;

const ledger: { taken: [number, string][]; damaged: string[]; strange: number } = {
  taken: [],
  damaged: [],
  strange: 0,
};

function take({ raw, uploads = [] }: AcceptedMessage): void {
  const text = Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength).toString("latin1");
  const end = text.indexOf("\r\n\r\n");
  const head = text.slice(0, end + 2);
  const number = /^X-Soak: (\d+) ([0-9a-f]{64})\r\n/m.exec(head);
  const id = /^Received: [^;]* id ([0-9a-f]+);/m.exec(head)?.[1];
  if (number === null || id === undefined) {
    ledger.strange++;
    return;
  }
  ledger.taken.push([Number(number[1]), id]);
  // What a large message has attached is named by what it should be.
  const attached = /^Content-Type: multipart\/mixed/m.test(head);
  const right = attached
    ? uploads.length === 1 && uploads[0]!.sha256 === uploads[0]!.name.slice(0, 64)
    : sha256(text.slice(end + 4)) === number[2];
  if (!right) ledger.damaged.push(id);
}

function sha256(text: string): string {
  return createHash("sha256").update(text, "latin1").digest("hex");
}

const faults = new RandomFaults(seed);
const entra = new SandboxEntra({ faults });
const graph = new SandboxGraph({
  verify: (token) => entra.verify(token),
  faults,
  deliver: (message) => take(message),
  async intercept() {
    const most = faults.calm ? 0 : random() < 0.05 ? LONGEST : USUAL;
    await new Promise((resolve) => setTimeout(resolve, random() * most));
    return undefined;
  },
});
const routes = new Hono();
routes.route("/entra", entra.routes);
routes.route("/graph", graph.routes);
const answer = getRequestListener(routes.fetch);

let resets = 0;
let closings = 0;
async function open(port: number): Promise<Server> {
  const server = createServer((request, response) => void answer(request, response));
  server.on("connection", (socket) => {
    if (faults.calm || random() >= RESET) return;
    resets++;
    socket.resetAndDestroy();
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  return server;
}

let server = await open(0);
const { port } = server.address() as AddressInfo;
console.log(`http://127.0.0.1:${port}`);

const closing = setInterval(async () => {
  closings++;
  server.close();
  server.closeIdleConnections();
  await new Promise((resolve) => setTimeout(resolve, CLOSED_FOR));
  server = await open(port);
}, CLOSED_EVERY);

createInterface(process.stdin).on("line", (word) => {
  if (word === "calm") {
    faults.calm = true;
    clearInterval(closing);
    server.closeIdleConnections();
    return;
  }
  const whole: CloudLedger = {
    ...ledger,
    faults: faults.counts,
    resets,
    closings,
    drafts: graph.drafts,
    authorizedUploads: graph.authorizedUploads,
    throttled: graph.throttled,
    requests: graph.requests,
  };
  console.log(JSON.stringify(whole));
});
