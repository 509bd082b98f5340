// Connections to services through an HTTP proxy: CONNECT (RFC 9110 §9.3.6), then TLS with the service
// itself inside the tunnel. The proxy sees the service's name, and nothing of the traffic.
//
// Uses `node:net` and `node:tls` on both runtimes, not Bun's own `upgradeTLS`: earlier versions did not
// verify the server of a connection that the client upgraded.

import { Buffer } from "node:buffer";
import type { Socket } from "node:net";
import { isIP } from "../ip_version.ts";
import { late } from "../late_modules.ts";
import { secured } from "./node_connect.ts";
import type { Outbound, OutboundHandler, Proxy, ServiceTrust } from "./runtime.ts";

export interface Service {
  /** A name, which the proxy resolves, or an IP address without brackets. */
  readonly hostname: string;
  readonly port: number;
}

export interface TunnelOptions extends Service {
  readonly tls: ServiceTrust;
}

/** Octets of a proxy's responses, interim ones included: each is a status line and some header fields. */
const MAX_HEAD = 16 * 1024;
const STATUS_LINE = /^HTTP\/1\.[01] (\d{3})(?: |\r\n)/;

/** TLS with a service through a proxy. For failures before it see {@link TunnelOpening}. */
export function connectThrough(
  proxy: Proxy,
  options: TunnelOptions,
  handler: OutboundHandler,
): Outbound {
  return new Tunnel(proxy, options, handler);
}

/** The proxy in words. */
export function nameOf(proxy: Proxy): string {
  return `the proxy ${authority(proxy)}`;
}

/**
 * Asks a proxy for a connection to a service.
 *
 * Failures at the proxy, or to reach it, have codes that begin with `PROXY_`: `PROXY_407` and the like
 * for the proxy's own responses, `PROXY_ECONNREFUSED` and the like without a connection to it,
 * `PROXY_CLOSED`, `PROXY_MALFORMED`.
 */
export class TunnelOpening {
  readonly #proxy: Proxy;
  readonly #service: Service;
  readonly #opened: (socket: Socket, received: Buffer) => void;
  readonly #failed: (error: Error) => void;
  readonly #socket: Socket;
  readonly #listeners = {
    connect: () => this.#ask(),
    data: (octets: Uint8Array) => this.#read(octets),
    end: () => this.#fail("CLOSED", "closes the connection without an answer"),
    close: () => this.#fail("CLOSED", "closes the connection without an answer"),
    error: (error: Error) => this.#fail(codeOf(error), `cannot be reached: ${error.message}`),
  };
  #head: Buffer = Buffer.alloc(0);
  /** Octets of the responses read so far. */
  #passed = 0;
  #over = false;

  /** @param opened gets the connection, paused, and the octets that came after the proxy's response */
  constructor(
    proxy: Proxy,
    service: Service,
    opened: (socket: Socket, received: Buffer) => void,
    failed: (error: Error) => void,
  ) {
    this.#proxy = proxy;
    this.#service = service;
    this.#opened = opened;
    this.#failed = failed;
    this.#socket = late.net.connect({ host: proxy.hostname, port: proxy.port, noDelay: true });
    for (const [name, listener] of Object.entries(this.#listeners)) {
      this.#socket.on(name, listener);
    }
  }

  destroy(): void {
    this.#over = true;
    this.#socket.destroy();
  }

  #ask(): void {
    if (this.#over) return;
    const target = authority(this.#service);
    const { authorization } = this.#proxy;
    const field = authorization === undefined
      ? ""
      : `Proxy-Authorization: ${authorization.reveal()}\r\n`;
    this.#socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n${field}\r\n`, "latin1");
  }

  #read(octets: Uint8Array): void {
    if (this.#over) return;
    this.#head = Buffer.concat([this.#head, octets]);
    for (;;) {
      const end = this.#head.indexOf("\r\n\r\n");
      if (end < 0) {
        if (this.#passed + this.#head.length > MAX_HEAD) this.#fail(...MALFORMED);
        return;
      }
      const status = Number(STATUS_LINE.exec(this.#head.toString("latin1", 0, end + 2))?.[1] ?? 0);
      this.#head = this.#head.subarray(end + 4);
      this.#passed += end + 4;
      if (this.#passed > MAX_HEAD) return this.#fail(...MALFORMED);
      // RFC 9110 §15.2: interim responses precede the final one.
      if (status >= 100 && status < 200) continue;
      if (status < 100) return this.#fail(...MALFORMED);
      if (status > 299) return this.#fail(String(status), refusal(status, this.#service));
      return this.#handOver();
    }
  }

  #handOver(): void {
    this.#over = true;
    for (const [name, listener] of Object.entries(this.#listeners)) {
      this.#socket.off(name, listener);
    }
    this.#socket.pause();
    this.#opened(this.#socket, this.#head);
  }

  #fail(code: string, what: string): void {
    if (this.#over) return;
    this.destroy();
    this.#failed(proxyError(this.#proxy, code, what));
  }
}

const MALFORMED = ["MALFORMED", "gives an answer that is not HTTP"] as const;

function proxyError(proxy: Proxy, code: string, what: string): Error {
  return Object.assign(new Error(`${nameOf(proxy)} ${what}`), { code: `PROXY_${code}` });
}

class Tunnel implements Outbound {
  readonly via: string;
  readonly #handler: OutboundHandler;
  readonly #opening: TunnelOpening;
  /** The connection to the service, once the proxy has made it. */
  #inner: Outbound | undefined;
  #gone = false;

  constructor(proxy: Proxy, { hostname, port, tls }: TunnelOptions, handler: OutboundHandler) {
    this.#handler = handler;
    this.via = nameOf(proxy);
    const failed = (error: Error) => {
      this.#gone = true;
      handler.closed(error);
    };
    this.#opening = new TunnelOpening(proxy, { hostname, port }, (socket, received) => {
      if (received.length === 0) return this.#secure(socket, hostname, tls);
      // In TLS the client speaks first, so these octets do not come from the service.
      socket.destroy();
      failed(proxyError(proxy, ...MALFORMED));
    }, failed);
  }

  write(data: string | Uint8Array, more?: string | Uint8Array): boolean {
    if (this.#inner === undefined) throw new Error("written before it was connected");
    return this.#inner.write(data, more);
  }

  destroy(): void {
    this.#gone = true;
    this.#inner?.destroy();
    this.#opening.destroy();
  }

  #secure(socket: Socket, hostname: string, tls: ServiceTrust): void {
    // TLS gets the error too. Without a listener, an error event would end the process.
    socket.on("error", () => {});
    let connected = false;
    const handler = this.#handler;
    this.#inner = secured({ socket }, hostname, tls, {
      connected: () => {
        connected = true;
        handler.connected();
      },
      data: (octets) => handler.data(octets),
      drained: () => handler.drained(),
      closed: (error) => {
        if (this.#gone) return;
        this.destroy();
        handler.closed(connected ? error : this.#inTheHandshake(error));
      },
    });
  }

  /** Keeps the handshake's own code, which tells whether the certificate was untrusted. */
  #inTheHandshake(error: Error | undefined): Error {
    const message = error?.message ?? "closed in the TLS handshake";
    const code = (error as { code?: string } | undefined)?.code ?? "ECONNRESET";
    return Object.assign(new Error(`${message} (through ${this.via})`), { code });
  }
}

/** What a proxy's refusal means. The proxy's own text is not passed on: it could contain anything. */
function refusal(status: number, service: Service): string {
  switch (status) {
    case 407:
      return "answers 407: it wants a user name and a password, or others than HTTPS_PROXY has";
    case 401:
    case 403:
    case 405:
      return `answers ${status}: it does not allow connections to ${authority(service)}`;
    default:
      return `answers ${status}: it cannot connect to ${authority(service)}`;
  }
}

function authority({ hostname, port }: { hostname: string; port: number }): string {
  return isIP(hostname) === 6 ? `[${hostname}]:${port}` : `${hostname}:${port}`;
}

function codeOf(error: Error): string {
  return (error as { code?: string }).code ?? "EUNKNOWN";
}
