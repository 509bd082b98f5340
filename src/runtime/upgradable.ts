// Connections to services that may begin in plain text and continue in TLS, as STARTTLS does (RFC 3207),
// directly or through an HTTP proxy.
//
// Uses `node:net` and `node:tls` on both runtimes, as tunnel.ts does and for the same reason.

import type { Buffer } from "node:buffer";
import { connect as connectTcp, type Socket } from "node:net";
import { connectByNode, NodeOutbound, secured } from "./node_connect.ts";
import type {
  ConnectOptions,
  Outbound,
  OutboundHandler,
  Proxy,
  ServiceTrust,
  Upgradable,
} from "./runtime.ts";
import { connectThrough, nameOf, TunnelOpening } from "./tunnel.ts";

export interface UpgradableOptions extends ConnectOptions {
  readonly proxy?: Proxy | undefined;
  /** Where to connect, instead of looking the name up. For connections that begin in plain text. */
  readonly address?: string;
}

export type ConnectUpgradable = (
  options: UpgradableOptions,
  handler: OutboundHandler,
) => Upgradable;

/** As `Connect`, but for connections that can be upgraded if they begin without TLS. */
export function connectUpgradable(
  options: UpgradableOptions,
  handler: OutboundHandler,
): Upgradable {
  const { hostname, port, tls, proxy } = options;
  if (tls === undefined) return new PlainConnection(options, handler);
  const secure = proxy === undefined
    ? connectByNode({ hostname, port, tls }, handler)
    : connectThrough(proxy, { hostname, port, tls }, handler);
  const startTls = () => {
    throw new Error("the connection is in TLS already");
  };
  return {
    ...(secure.via === undefined ? {} : { via: secure.via }),
    write: (data, more) => secure.write(data, more),
    destroy: () => secure.destroy(),
    startTls,
  };
}

class PlainConnection implements Upgradable {
  readonly via?: string;
  readonly #hostname: string;
  readonly #handler: OutboundHandler;
  readonly #opening: TunnelOpening | undefined;
  #plain: NodeOutbound | undefined;
  #secure: Outbound | undefined;
  #gone = false;

  constructor(
    { hostname, port, proxy, address = hostname }: UpgradableOptions,
    handler: OutboundHandler,
  ) {
    this.#hostname = hostname;
    this.#handler = handler;
    if (proxy === undefined) {
      const socket = connectTcp({ host: address, port, noDelay: true });
      this.#plain = new NodeOutbound(socket, "connect", handler);
      return;
    }
    this.via = nameOf(proxy);
    this.#opening = new TunnelOpening(
      proxy,
      { hostname, port },
      (socket, received) => this.#opened(socket, received),
      (error) => handler.closed(error),
    );
  }

  write(data: string | Uint8Array, more?: string | Uint8Array): boolean {
    const outbound = this.#secure ?? this.#plain;
    if (outbound === undefined) throw new Error("written before it was connected");
    return outbound.write(data, more);
  }

  destroy(): void {
    this.#gone = true;
    this.#opening?.destroy();
    this.#secure?.destroy();
    this.#plain?.destroy();
  }

  startTls(trust: ServiceTrust): void {
    if (this.#plain === undefined || this.#secure !== undefined) {
      throw new Error("the connection is not in plain text");
    }
    const socket = this.#plain.release();
    this.#secure = secured({ socket }, this.#hostname, trust, this.#handler);
  }

  #opened(socket: Socket, received: Buffer): void {
    if (this.#gone) return void socket.destroy();
    this.#plain = new NodeOutbound(socket, undefined, this.#handler);
    this.#handler.connected();
    // The service may have spoken already.
    if (received.length > 0 && !this.#gone) this.#handler.data(received);
    if (!this.#gone && this.#secure === undefined) socket.resume();
  }
}
