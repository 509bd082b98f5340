// The imitated Entra ID and Graph of the crashes, in this process. Each relay has an endpoint of its own,
// so that Graph knows which relay has sent a message.

import { AsyncLocalStorage } from "node:async_hooks";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { getRequestListener } from "@hono/node-server";
import { Hono } from "hono";
import { SandboxEntra } from "../../src/sandbox/entra.ts";
import { type AcceptedMessage, SandboxGraph } from "../../src/sandbox/graph.ts";
import type { Arrival } from "./ledgers.ts";

export interface CrashCloud {
  readonly arrivals: readonly Arrival[];
  /** Messages of clients that have arrived, each counted once. */
  readonly arrived: number;
  /** What `AZURE_AUTHORITY_HOST` and `GRAPH_ENDPOINT` are for this relay. */
  settingsOf(relay: string): Record<string, string>;
  close(): Promise<void>;
}

export interface CrashCloudOptions {
  /** Milliseconds that Graph takes to accept a message. */
  readonly delay: () => number;
  /** Whether Graph refuses all requests for this mailbox now, with 503. */
  readonly refuses: (mailbox: string) => boolean;
  /** Called when a message has been accepted, before Graph responds. */
  readonly accepted: () => void;
}

export async function startCrashCloud(
  { delay, refuses, accepted }: CrashCloudOptions,
): Promise<CrashCloud> {
  const relays = new AsyncLocalStorage<string>();
  const arrivals: Arrival[] = [];
  const ids = new Set<string>();
  const entra = new SandboxEntra();
  const graph = new SandboxGraph({
    verify: (token) => entra.verify(token),
    async intercept({ req }) {
      await new Promise((resolve) => setTimeout(resolve, delay()));
      if (!refuses(req.param("mailbox") ?? "")) return undefined;
      const error = { code: "ServiceUnavailable", message: "The mailbox is being moved." };
      return Response.json({ error }, { status: 503 });
    },
    deliver(message) {
      const relay = relays.getStore() ?? "";
      const arrival = { ...arrivalOf(message), relay, at: performance.now() };
      arrivals.push(arrival);
      ids.add(arrival.id);
      accepted();
    },
  });
  const routes = new Hono();
  routes.route("/entra", entra.routes);
  routes.route("/graph", graph.routes);
  // A relay was killed in the middle of its request.
  routes.onError((_, context) => context.text("", 500));
  const answer = getRequestListener(routes.fetch);
  const server = createServer((request, response) => {
    const [, relay = "", path = "/"] = /^\/([^/]+)(\/.*)$/.exec(request.url ?? "") ?? [];
    request.url = path;
    relays.run(relay, () => void answer(request, response));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    arrivals,
    get arrived() {
      return ids.size;
    },
    settingsOf: (relay) => ({
      AZURE_AUTHORITY_HOST: `http://127.0.0.1:${port}/${relay}/entra`,
      GRAPH_ENDPOINT: `http://127.0.0.1:${port}/${relay}/graph`,
    }),
    close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      return closed;
    },
  };
}

function arrivalOf({ raw, uploads }: AcceptedMessage): Omit<Arrival, "relay" | "at"> {
  const text = Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength).toString("latin1");
  const end = text.indexOf("\r\n\r\n");
  const head = text.slice(0, end + 2);
  const [, number, sum] = /^X-Soak: (\d+) ([0-9a-f]{64})\r\n/m.exec(head) ?? [];
  const id = /^Received: [^;]* id ([0-9a-f]+);/m.exec(head)?.[1];
  // It is nobody's, which the comparison shows.
  if (number === undefined || id === undefined) return { message: 0, id: "", whole: false };
  // What a draft has attached is named by what it should be, as is the only part of the others.
  const [upload] = uploads;
  if (upload !== undefined) {
    return { message: Number(number), id, whole: upload.sha256 === sum && uploads.length === 1 };
  }
  const body = text.slice(end + 4);
  const octets = /^Content-Type: multipart\/mixed/m.test(head)
    ? Buffer.from(/base64\r\n.*\r\n\r\n([^]*?)\r\n--b--/.exec(body)?.[1] ?? "", "base64")
    : Buffer.from(body, "latin1");
  const whole = createHash("sha256").update(octets).digest("hex") === sum;
  return { message: Number(number), id, whole };
}
