// HTTP/1.1 requests (RFC 9112) that are sent once and never again.
//
// A POST that hands a message to Graph must not be repeated by any layer, and it must be known
// whether any octet of it may have left. The runtimes' own clients promise neither (Deno's resends
// a POST when a kept-alive connection breaks, Bun's stops at 256 requests at once), so this is the
// small part of HTTP that the relay needs, the same on both: keep-alive, no redirects, no content
// coding, answers read to a bound.

import { connectByNode } from "../runtime/node_connect.ts";
import type { Connect } from "../runtime/runtime.ts";
import { Deadlines } from "./deadlines.ts";
import { HttpConnection } from "./http_connection.ts";

export interface HttpRequest {
  readonly method: string;
  readonly url: URL;
  /** Header fields besides Host, Content-Length and Connection. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: RequestBody;
  /** Milliseconds for all of it, from connecting to the last octet of the response. */
  readonly timeout: number;
  /** Ends it before its time, with `ABORTED`. */
  readonly signal?: AbortSignal;
  /** Octets of the response's body that are read at most; the client's own bound when left out. */
  readonly maxResponse?: number;
}

/** A body that is made while it is sent, so that it need not be held a second time. */
export interface RequestBody {
  /** Octets. */
  readonly length: number;
  /** ASCII strings or octets, `length` in sum. Octets are good until the next part is asked for. */
  parts(): Iterable<string | Uint8Array>;
}

export interface ResponseHead {
  readonly status: number;
  /** Names in lower case; of several fields with one name, the last. */
  readonly headers: ReadonlyMap<string, string>;
}

export interface HttpResponse extends ResponseHead {
  readonly type: "response";
  readonly body: Uint8Array;
}

/** With the response's head, where that had come in whole and behind all of the request. */
export interface HttpFailure extends Partial<ResponseHead> {
  readonly type: "failure";
  /** Whether the service may have seen any of the request. */
  readonly sent: boolean;
  /**
   * Such as `ECONNREFUSED`, `ETIMEDOUT`, `TRUNCATED`, `MALFORMED`, `ABORTED`; `EARLY` where a success
   * was answered before all of the request had left, `UNASKED` where the service spoke before any had.
   */
  readonly code: string;
  readonly message: string;
}

export interface HttpClientOptions {
  /** How connections are made, `Runtime.connect` mostly; `node:net` and `node:tls` when left out. */
  readonly connect?: Connect;
  /** Certificate authorities trusted besides the runtime's, PEM, one each. */
  readonly authorities?: readonly string[];
  /** Octets of a response's body that are read at most; 1 MiB when left out. */
  readonly maxResponse?: number;
  /** Milliseconds that an unused connection is kept; services close theirs after a minute or more. */
  readonly keepAlive?: number;
  /** Unused connections kept for one service. */
  readonly maxIdle?: number;
}

const DEFAULTS = {
  connect: connectByNode,
  authorities: [],
  maxResponse: 1024 * 1024,
  keepAlive: 20_000,
  maxIdle: 256,
};

/** A pool of connections, one request on each at a time. */
export class HttpClient {
  readonly #options: Required<HttpClientOptions>;
  readonly #deadlines = new Deadlines<HttpConnection>();
  readonly #idle = new Map<string, HttpConnection[]>();
  readonly #owner;
  /** Those whose requests leave at the end of this turn of the event loop. */
  #leaving: HttpConnection[] = [];
  #closed = false;

  constructor(options: HttpClientOptions = {}) {
    const { connect, authorities, maxResponse, keepAlive } = this.#options = {
      ...DEFAULTS,
      ...options,
    };
    this.#owner = {
      connect,
      trust: { authorities },
      maxResponse,
      keepAlive,
      waiting: (connection: HttpConnection) => this.#deadlines.watch(connection),
      ready: (connection: HttpConnection) => this.#leave(connection),
      reusable: (connection: HttpConnection) => this.#keep(connection),
      gone: (connection: HttpConnection) => this.#forget(connection),
    };
  }

  /** Sends a request once. Trouble is a value: see {@link HttpFailure}. */
  request(request: HttpRequest): Promise<HttpResponse | HttpFailure> {
    if (request.signal?.aborted) {
      const message = "given up before it was begun";
      return Promise.resolve({ type: "failure", sent: false, code: "ABORTED", message });
    }
    const origin = originOf(request.url);
    const connection = this.#unused(origin) ?? new HttpConnection(origin, request.url, this.#owner);
    return connection.run(request);
  }

  /** Closes the unused connections, and those in use as soon as they are done. */
  close(): void {
    this.#closed = true;
    for (const connections of this.#idle.values()) {
      for (const connection of connections.splice(0)) connection.destroy();
    }
  }

  /** Ends everything at once: requests under way fail with `ABORTED`. Later ones are none of them. */
  abort(): void {
    for (const connection of this.#deadlines.items) connection.abort();
  }

  /**
   * Requests that are made in one turn of the event loop leave together behind it: in a row, writes
   * are cheaper by a third than between other work. And a connection that the service has closed is
   * mostly known to be closed by then, so that nothing is sent into it.
   */
  #leave(connection: HttpConnection): void {
    if (this.#leaving.push(connection) > 1) return;
    setImmediate(() => {
      const leaving = this.#leaving;
      this.#leaving = [];
      for (const one of leaving) one.leave();
    });
  }

  /** The most recently used connection is the least likely to be closed by the other side. */
  #unused(origin: string): HttpConnection | undefined {
    const connections = this.#idle.get(origin);
    if (connections === undefined || connections.length === 0) return undefined;
    const connection = connections.pop()!;
    if (connection.deadline > performance.now()) return connection;
    // Its time is over, though nobody has looked yet; the others have waited longer still.
    connection.destroy();
    for (const older of connections.splice(0)) older.destroy();
    return undefined;
  }

  #keep(connection: HttpConnection): void {
    const { origin } = connection;
    let connections = this.#idle.get(origin);
    if (connections === undefined) this.#idle.set(origin, connections = []);
    if (this.#closed || connections.length >= this.#options.maxIdle) connection.destroy();
    else connections.push(connection);
  }

  #forget(connection: HttpConnection): void {
    this.#deadlines.forget(connection);
    const connections = this.#idle.get(connection.origin);
    const index = connections?.lastIndexOf(connection) ?? -1;
    if (index >= 0) connections!.splice(index, 1);
  }
}

function originOf(url: URL): string {
  return `${url.protocol}//${url.host}`;
}
