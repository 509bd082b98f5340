// HTTP/1.1 requests (RFC 9112) that are sent once and never again.
//
// No layer may repeat a POST that hands a message to Graph, and the relay must know whether any octet
// of it may have been sent. The runtimes' own clients promise neither (one's resends a POST when a
// kept-alive connection breaks, the other's stops at 256 requests at once), so this is the small part of
// HTTP that the relay needs, the same on both: keep-alive, no redirects, no content coding, responses
// read up to a limit.

import type { Clock } from "../clock.ts";
import { connectByNode } from "../runtime/node_connect.ts";
import type { Connect } from "../runtime/runtime.ts";
import { Deadlines, realTime } from "./deadlines.ts";
import { type ConnectionPool, type ConnectionSettings, HttpConnection } from "./http_connection.ts";
import type { HttpFailure, HttpRequest, HttpResponse, HttpUrl } from "./types.ts";

export type { HttpFailure, HttpRequest, HttpResponse, HttpUrl, RequestBody } from "./types.ts";

export interface HttpClientOptions {
  /** How connections are made, usually `Runtime.connect`; `node:net` and `node:tls` when left out. */
  readonly connect?: Connect;
  /** Certificate authorities trusted besides the runtime's, PEM, one each. */
  readonly authorities?: readonly string[];
  /** Octets of a response's body that are read at most; 1 MiB when left out. */
  readonly maxResponse?: number;
  /** Milliseconds that an unused connection is kept; services close theirs after a minute or more. */
  readonly keepAlive?: number;
  /** For tests; the machine's own time when left out. */
  readonly clock?: Pick<Clock, "now" | "alarm">;
}

const DEFAULTS = {
  connect: connectByNode,
  authorities: [],
  maxResponse: 1024 * 1024,
  keepAlive: 20_000,
  clock: realTime,
};

/** A pool of connections, one request on each at a time. */
export class HttpClient {
  readonly #options: Required<HttpClientOptions>;
  readonly #deadlines: Deadlines<HttpConnection>;
  /**
   * Unused connections by origin, the most recently used one last. They need no limit: there are never more
   * connections than there have been requests at the same time within `keepAlive`.
   */
  readonly #idle = new Map<string, HttpConnection[]>();
  readonly #settings: ConnectionSettings;
  readonly #pool: ConnectionPool = {
    waiting: (connection) => this.#deadlines.watch(connection),
    ready: (connection) => this.#sendSoon(connection),
    reusable: (connection) => this.#keep(connection),
    gone: (connection) => this.#forget(connection),
  };
  /** Connections whose requests are sent at the end of this turn of the event loop. */
  #ready: HttpConnection[] = [];
  #closed = false;

  constructor(options: HttpClientOptions = {}) {
    const { connect, authorities, maxResponse, keepAlive, clock } = this.#options = {
      ...DEFAULTS,
      ...options,
    };
    this.#deadlines = new Deadlines(clock);
    this.#settings = { connect, trust: { authorities }, maxResponse, keepAlive, clock };
  }

  /** Sends a request once. Failures are values: see {@link HttpFailure}. */
  request(request: HttpRequest): Promise<HttpResponse | HttpFailure> {
    if (request.signal?.aborted) {
      const message = "given up before it was begun";
      return Promise.resolve({ type: "failure", sent: false, code: "ABORTED", message });
    }
    const { url } = request;
    const connection = this.#unused(url.origin) ?? this.#connect(url);
    return connection.run(request);
  }

  /** Closes the unused connections now, and the others when their request has ended. */
  close(): void {
    this.#closed = true;
    for (const connections of this.#idle.values()) {
      for (const connection of connections.splice(0)) connection.destroy();
    }
  }

  /** Ends all requests now: they fail with `ABORTED`. Later requests are not affected. */
  abort(): void {
    for (const connection of this.#deadlines.items) connection.abort();
  }

  /**
   * Requests that are made in one turn of the event loop are sent together after it: writes in a row
   * cost a third less than writes between other work. By then, the relay also knows of most
   * connections that the service has closed, and sends nothing into them.
   */
  #sendSoon(connection: HttpConnection): void {
    if (this.#ready.push(connection) > 1) return;
    setImmediate(() => {
      const ready = this.#ready;
      this.#ready = [];
      for (const one of ready) one.sendRequest();
    });
  }

  /** The most recently used connection: it is the least likely to be closed by the other side. */
  #unused(origin: string): HttpConnection | undefined {
    const connections = this.#idle.get(origin);
    if (connections === undefined || connections.length === 0) return undefined;
    const connection = connections.pop()!;
    if (connection.deadline > this.#options.clock.now()) return connection;
    // It has expired, though the timer has not run yet. The others have been unused for even longer.
    connection.destroy();
    for (const older of connections.splice(0)) older.destroy();
    return undefined;
  }

  #connect(url: HttpUrl): HttpConnection {
    return new HttpConnection(url, this.#settings, this.#pool);
  }

  #keep(connection: HttpConnection): void {
    const { origin } = connection;
    if (this.#closed) return connection.destroy();
    const connections = this.#idle.get(origin);
    if (connections === undefined) this.#idle.set(origin, [connection]);
    else connections.push(connection);
  }

  #forget(connection: HttpConnection): void {
    this.#deadlines.forget(connection);
    const connections = this.#idle.get(connection.origin);
    // From the front: those that expire together are the first.
    const index = connections?.indexOf(connection) ?? -1;
    if (index >= 0) connections!.splice(index, 1);
  }
}
