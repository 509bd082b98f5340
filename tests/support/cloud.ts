/** The simulated Entra ID, Graph and inbox, served on the loopback. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { getRequestListener } from "@hono/node-server";
import { createCloud } from "../../src/sandbox/cloud.ts";
import type { EntraOptions, SandboxEntra } from "../../src/sandbox/entra.ts";
import type {
  ExchangeOptions,
  SandboxExchange,
} from "../../src/sandbox/exchange/submission_server.ts";
import { currentRuntime } from "../../src/runtime/current.ts";
import type { GraphOptions, SandboxGraph } from "../../src/sandbox/graph.ts";
import type { Faults } from "../../src/sandbox/faults.ts";
import { Inbox } from "../../src/sandbox/inbox/store.ts";

export interface CloudServerOptions {
  readonly entra?: EntraOptions;
  readonly graph?: Omit<GraphOptions, "verify" | "deliver" | "faults">;
  readonly exchange?: Omit<ExchangeOptions, "verify" | "deliver" | "faults">;
}

export interface CloudServer {
  /** Without a slash at the end. */
  readonly url: string;
  /** What `AZURE_AUTHORITY_HOST` would be. */
  readonly authority: URL;
  /** What `GRAPH_ENDPOINT` would be. */
  readonly endpoint: URL;
  readonly entra: SandboxEntra;
  readonly graph: SandboxGraph;
  readonly exchange: SandboxExchange;
  /** What `EXCHANGE_SMTP_URL` would be: the submission server listens from the first call on. */
  submissionUrl(): Promise<string>;
  readonly inbox: Inbox;
  /** Faults of the services. */
  readonly faults: Faults;
  /** Every HTTP request so far, whatever it asked for: `POST /path`. */
  readonly seen: readonly string[];
  close(): Promise<void>;
}

/** @example const cloud = await startCloud({ entra: { roles: () => [] } }); */
export async function startCloud(
  { entra, graph, exchange }: CloudServerOptions = {},
): Promise<CloudServer> {
  const inbox = new Inbox();
  const cloud = createCloud({
    inbox,
    ...(entra === undefined ? {} : { entra }),
    ...(graph === undefined ? {} : { graph }),
    ...(exchange === undefined ? {} : { exchange }),
  });
  const seen: string[] = [];
  const answer = getRequestListener(cloud.routes.fetch, { overrideGlobalObjects: false });
  const server = createServer((request, response) => {
    seen.push(`${request.method} ${request.url}`);
    void answer(request, response);
  });
  // After five seconds, the default, it would close a connection that a slow machine is about to use.
  server.keepAliveTimeout = 600_000;
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}`;
  let submission: string | undefined;
  return {
    url,
    authority: new URL(`${url}/entra`),
    endpoint: new URL(`${url}/graph`),
    entra: cloud.entra,
    graph: cloud.graph,
    exchange: cloud.exchange,
    async submissionUrl() {
      if (submission === undefined) {
        const { port } = cloud.exchange.listen(await currentRuntime());
        submission = `smtp://127.0.0.1:${port}`;
      }
      return submission;
    },
    inbox,
    faults: cloud.faults,
    seen,
    close() {
      cloud.exchange.close();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      return closed;
    },
  };
}
