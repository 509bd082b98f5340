// An HTTP server on `Bun.serve`. That of `node:http` would take streams, net, HTTP/2 and more along: 9 MiB of an
// empty program, and 5 ms of each start.

import type { HttpBound, HttpServerOptions } from "./http_server.ts";
import { listenError } from "./runtime.ts";

// The part of Bun's API that is used here (https://bun.sh/docs/api/http).
interface BunServer {
  readonly address: { readonly address: string; readonly port: number };
  requestIP(request: Request): { readonly address: string } | null;
  /** @param seconds in which the connection of the request may be idle from now on */
  timeout(request: Request, seconds: number): void;
  /** @param active whether to end open connections too */
  stop(active: boolean): Promise<void>;
}
declare const Bun: {
  serve(options: {
    hostname: string;
    port: number;
    development: false;
    reusePort: false;
    idleTimeout: number;
    maxRequestBodySize: number;
    fetch(request: Request, server: BunServer): Promise<Response>;
  }): BunServer;
};

/**
 * Seconds until a connection without a request is closed: it has a descriptor that SMTP may need. An event stream has
 * an event each 5 s.
 */
const IDLE_TIMEOUT = 10;
/** Seconds that an answer may take, such as the list of a queue in Azure. */
const ANSWER_TIMEOUT = 75;
/** Octets; 413 for more. Bun reads a body even if no page does. */
const MAX_BODY = 64 * 1024;

export function serveByBun(
  { hostname, port, withoutHost, respond }: HttpServerOptions,
): HttpBound {
  try {
    const server = Bun.serve({
      hostname,
      port,
      // Otherwise its own pages would answer faults, and a second relay could share the port.
      development: false,
      reusePort: false,
      idleTimeout: IDLE_TIMEOUT,
      maxRequestBodySize: MAX_BODY,
      async fetch(request, server) {
        const whole = withAddress(request, withoutHost);
        if (whole === undefined) return new Response(null, { status: 400 });
        // At once: after the next turn of the event loop, Bun may not know it any more.
        const address = server.requestIP(request)?.address ?? "";
        server.timeout(request, ANSWER_TIMEOUT);
        const response = await respond(whole, { clientAddress: () => address });
        server.timeout(request, IDLE_TIMEOUT);
        // A body that no page has read would be waited for.
        if (request.body !== null) response.headers.set("Connection", "close");
        return response;
      },
    });
    const { address } = server;
    return {
      addresses: [{ hostname: address.address, port: address.port }],
      close: () => server.stop(true),
    };
  } catch (error) {
    throw listenError(error, hostname);
  }
}

/**
 * Without a Host, Bun makes no address, and passes on the path alone. From a Host that is not one it makes none
 * either.
 *
 * @returns undefined if there is a Host, but no address can be made of it (RFC 9112 §3.2: 400)
 */
function withAddress(request: Request, withoutHost: string): Request | undefined {
  const { url } = request;
  if (url.startsWith("http://") && URL.canParse(url)) return request;
  const isPath = url.startsWith("/") && !request.headers.get("host");
  return isPath ? new Request(`http://${withoutHost}${url}`, request) : undefined;
}
