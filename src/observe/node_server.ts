// An HTTP server on `node:http`: for Deno, for sockets that listen already, and for pages that break connections.

import { createServer, type Server, type ServerResponse } from "node:http";
import { type AddressInfo, createServer as createTcpServer, type Socket } from "node:net";
import { getRequestListener } from "@hono/node-server";
import type { HttpBound, HttpPeer, HttpServerOptions } from "../runtime/http_server.ts";
import type { OpenSocket } from "./http.ts";

/** The client that a request is from, with the response object of `node:http`. */
export interface NodeHttpPeer extends HttpPeer {
  readonly outgoing: ServerResponse;
}

/**
 * @param sockets replace the address, if there are any
 * @throws Error with a `code` such as `EADDRINUSE`
 */
export async function serveByNode(
  { hostname, port, withoutHost, respond }: HttpServerOptions,
  sockets: readonly OpenSocket[],
): Promise<HttpBound> {
  const server = createServer(getRequestListener((request, { incoming, outgoing }) => {
    const peer: NodeHttpPeer = {
      clientAddress: () => incoming.socket.remoteAddress ?? "",
      outgoing: outgoing as ServerResponse,
    };
    return respond(request, peer);
  }, { hostname: withoutHost, overrideGlobalObjects: false }));
  return sockets.length > 0
    ? await serveOn(sockets, server)
    : await bind(server, { hostname, port });
}

async function bind(
  server: Server,
  { hostname, port }: Pick<HttpServerOptions, "hostname" | "port">,
): Promise<HttpBound> {
  const bound = await new Promise<AddressInfo>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, hostname, () => {
      server.off("error", reject);
      resolve(server.address() as AddressInfo);
    });
  });
  return {
    addresses: [{ hostname: bound.address, port: bound.port }],
    close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      // A browser's event stream would keep the server from closing.
      server.closeAllConnections();
      return closed;
    },
  };
}

/** Not by the server's own `listen({ fd })`, which on one runtime silently listens on another port. */
async function serveOn(sockets: readonly OpenSocket[], server: Server): Promise<HttpBound> {
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
  return {
    addresses: sockets.map(({ hostname, port }) => ({ hostname, port })),
    async close() {
      const closed = listeners.map(({ listener }) =>
        new Promise<void>((resolve) => listener.close(() => resolve()))
      );
      for (const socket of open) socket.destroy();
      await Promise.all(closed);
    },
  };
}
