// The imitated cloud: Entra ID under /entra, Graph under /graph, the inbox at the root.

import { Hono } from "hono";
import { Faults } from "./faults.ts";
import { type EntraOptions, SandboxEntra } from "./entra.ts";
import { type ExchangeOptions, SandboxExchange } from "./exchange/submission_server.ts";
import { type GraphOptions, SandboxGraph } from "./graph.ts";
import { programsOnly } from "./inbox/guard.ts";
import type { Inbox } from "./inbox/store.ts";
import type { Trace } from "./trace/trace.ts";

export interface CloudOptions {
  /** Of the submission server. */
  readonly exchange?: Omit<ExchangeOptions, "verify" | "deliver" | "faults">;
  readonly inbox: Inbox;
  readonly entra?: EntraOptions;
  readonly graph?: Omit<GraphOptions, "verify" | "deliver" | "faults">;
  /** Faults that are scripted from the start; more can be added at any time. */
  readonly faults?: Faults;
  /** The trace of the message that the request with this `client-request-id` sent. */
  readonly traceOf?: (clientRequestId: string | undefined) => Trace | undefined;
  /** Host names, besides localhost and addresses, under which the services can be reached. */
  readonly allowedHosts?: readonly string[];
}

export interface Cloud {
  readonly routes: Hono;
  readonly entra: SandboxEntra;
  readonly graph: SandboxGraph;
  /** Listens nowhere yet. */
  readonly exchange: SandboxExchange;
  /** Likewise. */
  readonly smarthost: SandboxExchange;
  readonly faults: Faults;
}

/** @throws TypeError if one of `allowedHosts` is not a valid host. */
export function createCloud(options: CloudOptions): Cloud {
  const { inbox, allowedHosts, traceOf, faults = new Faults() } = options;
  const { entra: entraOptions, graph: graphOptions } = options;
  const entra = new SandboxEntra({ ...entraOptions, faults });
  const graph = new SandboxGraph({
    ...graphOptions,
    verify: (token) => entra.verify(token),
    faults,
    deliver: async ({ clientRequestId, ...message }) => {
      await inbox.add({ ...message, trace: traceOf?.(clientRequestId) });
    },
  });
  const submission: ExchangeOptions = {
    ...options.exchange,
    verify: (token) => entra.verify(token),
    faults,
    deliver: async (message) => void await inbox.add({ ...message, uploads: [] }),
  };
  const exchange = new SandboxExchange(submission);
  const smarthost = new SandboxExchange({ ...submission, isSmarthost: true });
  const routes = new Hono();
  const guard = programsOnly(allowedHosts);
  for (const path of ["/entra/*", "/graph/*"]) routes.use(path, guard);
  routes.route("/entra", entra.routes);
  routes.route("/graph", graph.routes);
  return { routes, entra, graph, exchange, smarthost, faults };
}
