// The HTTP side: health for probes, metrics, and whatever pages a command adds.

import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { createServer, type Server } from "node:http";
import { type AddressInfo, createServer as createTcpServer, type Socket } from "node:net";
import { getRequestListener } from "@hono/node-server";
import { Hono } from "hono";
import { basicAuth } from "hono/basic-auth";
import { auth } from "hono/utils/basic-auth";
import type { Secret } from "../secret.ts";
import type { ListenAddress } from "../settings/parsers.ts";
import { isLoopbackAddress, isOwnHost } from "./host_guard.ts";
import type { Metrics } from "./metrics.ts";

/** Each part's state, for `/readyz`: ready when all are. */
export type Readiness = () => Readonly<Record<string, PartState>>;

export interface PartState {
  readonly ready: boolean;
  readonly [detail: string]: unknown;
}

export interface HttpOptions {
  readonly listen: ListenAddress;
  /** Sockets that listen already, one at least; they take the place of `listen`. */
  readonly sockets?: readonly OpenSocket[] | undefined;
  readonly readiness: Readiness;
  /** What `/metrics` shows. */
  readonly metrics?: Metrics;
  /** Asked for by everything but `/healthz` and `/readyz`. */
  readonly password?: Secret | undefined;
  /** Path prefixes besides that do not ask for it, and look at Host by themselves. */
  readonly unlocked?: readonly string[];
  /** Names in Host that are taken on the loopback, besides its own and that of `listen`. */
  readonly names?: readonly string[];
  /** Further pages. */
  readonly pages?: Hono;
}

/** A listening socket that somebody else has opened, and what it is bound to. */
export interface OpenSocket extends ListenAddress {
  readonly descriptor: number;
}

export interface HttpService {
  readonly hostname: string;
  readonly port: number;
  /** All addresses; the one above is the first of them. */
  readonly listening: readonly ListenAddress[];
  close(): Promise<void>;
}

/** @throws Error with a `code` such as `EADDRINUSE` */
export async function serveHttp(options: HttpOptions): Promise<HttpService> {
  const { listen, sockets = [], readiness, metrics, password, unlocked = [], pages } = options;
  const names = [listen.hostname, ...(options.names ?? [])];
  /** Whether nobody but this machine can ask; known once it listens. */
  let onLoopback = false;
  // Any user name will do.
  const verifyUser = (_: string, given: string) =>
    password !== undefined && sameText(given, password.reveal());
  const hasPassword = (request: Request) => {
    const given = auth(request);
    return given !== undefined && verifyUser(given.username, given.password);
  };
  const isUnlocked = (path: string) => unlocked.some((prefix) => path.startsWith(prefix));

  const app = new Hono();
  app.get("/healthz", (context) => context.text("ok\n"));
  app.use((context, next) => {
    const { req } = context;
    // Off the loopback, the password is what no other web site has.
    const own = !onLoopback || isOwnHost(req.header("host"), names) || isUnlocked(req.path);
    if (own || hasPassword(req.raw)) return next();
    const error = "this Host is not the relay's: use localhost, an address or SERVER_HOSTNAME";
    return Promise.resolve(context.json({ error }, 403));
  });
  app.get("/readyz", (context) => {
    const parts = readiness();
    const ready = Object.values(parts).every((part) => part.ready);
    const shown = onLoopback || hasPassword(context.req.raw) ? parts : statesOf(parts);
    return context.json({ ready, parts: shown }, ready ? 200 : 503);
  });
  if (password !== undefined) {
    const lock = basicAuth({ verifyUser, realm: "smtp-oauth-relay" });
    app.use((context, next) => isUnlocked(context.req.path) ? next() : lock(context, next));
  }
  if (metrics !== undefined) {
    app.get("/metrics", (context) => {
      context.header("Content-Type", "text/plain; version=0.0.4; charset=utf-8");
      return context.body(metrics.text());
    });
  }
  if (pages !== undefined) app.route("/", pages);
  const server = createServer(getRequestListener(app.fetch));
  if (sockets.length > 0) {
    onLoopback = sockets.every(({ hostname }) => isLoopbackAddress(hostname));
    return serveOn(sockets, server);
  }
  const { address, port } = await listening(server, listen);
  onLoopback = isLoopbackAddress(address);
  return {
    hostname: address,
    port,
    listening: [{ hostname: address, port }],
    close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      // A browser's event stream would hold it open for ever.
      server.closeAllConnections();
      return closed;
    },
  };
}

/** Each part's state and nothing of it besides: probes need no more, and have no password. */
function statesOf(parts: ReturnType<Readiness>): Record<string, PartState> {
  return Object.fromEntries(Object.entries(parts).map(([name, { ready }]) => [name, { ready }]));
}

/** Not by the server's own `listen({ fd })`: Bun's listens elsewhere, and does not say so. */
async function serveOn(sockets: readonly OpenSocket[], server: Server): Promise<HttpService> {
  const open = new Set<Socket>();
  const listeners = sockets.map(({ descriptor }) => {
    const listener = createTcpServer((socket) => {
      open.add(socket);
      socket.on("close", () => open.delete(socket));
      server.emit("connection", socket);
    });
    return { listener, descriptor };
  });
  await Promise.all(
    listeners.map(({ listener, descriptor }) =>
      new Promise<void>((resolve, reject) => {
        listener.once("error", reject);
        listener.listen({ fd: descriptor }, resolve);
      })
    ),
  );
  const addresses = sockets.map(({ hostname, port }) => ({ hostname, port }));
  return {
    ...addresses[0]!,
    listening: addresses,
    async close() {
      const closed = listeners.map(({ listener }) =>
        new Promise<void>((resolve) => listener.close(() => resolve()))
      );
      for (const socket of open) socket.destroy();
      await Promise.all(closed);
    },
  };
}

function listening(server: Server, { hostname, port }: ListenAddress): Promise<AddressInfo> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, hostname, () => {
      server.off("error", reject);
      resolve(server.address() as AddressInfo);
    });
  });
}

/** Compares in a time that does not depend on where the texts differ. */
function sameText(a: string, b: string): boolean {
  const key = randomBytes(32);
  const digest = (text: string) => createHmac("sha256", key).update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}
