// The imitated cloud: Entra ID under /entra, Graph under /graph, the inbox at the root.

import { Hono } from "hono";
import { type EntraOptions, SandboxEntra } from "./entra.ts";
import { type GraphOptions, SandboxGraph } from "./graph.ts";
import type { Inbox } from "./inbox/store.ts";

export interface CloudOptions {
  readonly inbox: Inbox;
  readonly entra?: EntraOptions;
  readonly graph?: Omit<GraphOptions, "verify" | "deliver">;
}

export interface Cloud {
  readonly routes: Hono;
  readonly entra: SandboxEntra;
  readonly graph: SandboxGraph;
}

export function createCloud(
  { inbox, entra: entraOptions, graph: graphOptions }: CloudOptions,
): Cloud {
  const entra = new SandboxEntra(entraOptions);
  const graph = new SandboxGraph({
    ...graphOptions,
    verify: (token) => entra.verify(token),
    deliver: async (mailbox, raw) => {
      await inbox.add({ mailbox, raw });
    },
  });
  const routes = new Hono();
  routes.route("/entra", entra.routes);
  routes.route("/graph", graph.routes);
  return { routes, entra, graph };
}
