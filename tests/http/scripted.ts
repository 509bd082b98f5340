/** A service without sockets, whose connections do what a test says, when it says so. */
import { Buffer } from "node:buffer";
import { HttpClient, type HttpClientOptions } from "../../src/http/client.ts";
import type { ConnectOptions, OutboundHandler } from "../../src/runtime/runtime.ts";

export class ScriptedConnection {
  readonly #handler: OutboundHandler;
  /** The target of the connection. */
  readonly target: ConnectOptions;
  /** Everything written to it. */
  written = "";
  destroyed = false;

  constructor(target: ConnectOptions, handler: OutboundHandler) {
    this.target = target;
    this.#handler = handler;
  }

  connect(): void {
    this.#handler.connected();
  }

  /** The service sends `text`. */
  say(text: string): void {
    this.#handler.data(Buffer.from(text, "latin1"));
  }

  /** The connection has room again. */
  drain(): void {
    this.#handler.drained();
  }

  /** The service closes it. */
  close(error?: Error): void {
    this.#handler.closed(error);
  }
}

export interface ScriptedService {
  readonly http: HttpClient;
  /** All connections so far, oldest first. */
  readonly connections: readonly ScriptedConnection[];
}

/**
 * A client whose connections are scripted.
 *
 * @param hasRoom what each write returns: whether the connection has room for more
 */
export function scriptedService(
  options: Omit<HttpClientOptions, "connect"> = {},
  hasRoom = true,
): ScriptedService {
  const connections: ScriptedConnection[] = [];
  const http = new HttpClient({
    ...options,
    connect(target, handler) {
      const connection = new ScriptedConnection(target, handler);
      connections.push(connection);
      return {
        write(data, more = "") {
          for (const part of [data, more]) {
            connection.written += typeof part === "string"
              ? part
              : Buffer.from(part).toString("latin1");
          }
          return hasRoom;
        },
        destroy: () => void (connection.destroyed = true),
      };
    },
  });
  return { http, connections };
}
