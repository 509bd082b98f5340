// Connections to services on `Bun.connect`.
//
// Bun verifies the chain and the host name itself and refuses writes on a connection that failed
// either. Both are checked again before `connected`, so that no version of Bun can weaken them.

import { Buffer } from "node:buffer";
import type { PeerCertificate } from "node:tls";
import { garbage, inUse } from "./bun_memory.ts";
import type { ConnectOptions, Outbound, OutboundHandler } from "./runtime.ts";
import { ALPN_PROTOCOL, identityProblem, serverName, trusted } from "./trust.ts";

// The part of Bun's API that is used here (https://bun.sh/docs/api/tcp).
interface BunSocket {
  data: BunOutbound;
  readonly authorized: boolean;
  getPeerCertificate(): PeerCertificate | undefined;
  /** @returns how many octets were accepted; negative if the socket is closed */
  write(data: Uint8Array, offset: number, length: number): number;
  /** Closes immediately, with FIN; `end` would wait for the other side's close_notify. */
  close(): void;
}
interface BunSocketHandlers {
  open(socket: BunSocket): void;
  handshake?(socket: BunSocket, success: boolean, error: Error | null): void;
  data(socket: BunSocket, bytes: Buffer): void;
  drain(socket: BunSocket): void;
  end(socket: BunSocket): void;
  error(socket: BunSocket, error: Error): void;
  close(socket: BunSocket, error?: Error): void;
}
declare const Bun: {
  connect(options: {
    hostname: string;
    port: number;
    data: BunOutbound;
    tls?: {
      serverName: string;
      rejectUnauthorized: true;
      minVersion: number;
      ALPNProtocols?: string;
      ca?: readonly string[];
    };
    socket: BunSocketHandlers;
  }): Promise<BunSocket>;
};

/** TLS 1.2 as OpenSSL numbers it. */
const TLS_1_2 = 0x0303;

/** In wire form (RFC 7301 §3.1): each name after its length. */
function protocolList(names: readonly string[] = [ALPN_PROTOCOL]): string {
  return names.map((name) => String.fromCharCode(name.length) + name).join("");
}

class BunOutbound implements Outbound {
  readonly #hostname: string;
  readonly #handler: OutboundHandler;
  #socket: BunSocket | undefined;
  #connected = false;
  #gone = false;
  /** What the socket has not accepted yet: `write` has returned false. */
  #waiting: Uint8Array[] = [];

  constructor(hostname: string, handler: OutboundHandler) {
    this.#hostname = hostname;
    this.#handler = handler;
  }

  write(data: string | Uint8Array, more: string | Uint8Array = NOTHING): boolean {
    if (!this.#connected) throw new Error("written before it was connected");
    if (this.#gone) return true;
    inUse();
    const length = data.length + more.length;
    // A string is encoded into memory of its own. What comes with a head is small.
    if (typeof data === "string" && more.length === 0) garbage(length);
    if (this.#waiting.length > 0 || length > scratch.length) {
      const octets = Buffer.allocUnsafeSlow(length);
      copy(more, octets, copy(data, octets, 0));
      this.#waiting.push(octets);
      garbage(length);
      return this.#writeWaiting();
    }
    // One write of octets from shared memory: costs half as much as strings.
    const end = copy(more, scratch, copy(data, scratch, 0));
    const taken = this.#socket!.write(scratch, 0, end);
    // Negative: the socket is closed, and `close` follows.
    if (taken === end || taken < 0) return true;
    // A copy: the scratch memory is used for another connection next (a Buffer's slice would share it).
    this.#waiting.push(Buffer.from(scratch.subarray(taken, end)));
    garbage(end - taken);
    return false;
  }

  destroy(): void {
    this.#gone = true;
    this.#waiting = [];
    this.#socket?.close();
  }

  onOpen(socket: BunSocket): void {
    this.#socket = socket;
    if (this.#gone) socket.close();
  }

  onConnected(): void {
    if (this.#gone || this.#connected) return;
    this.#connected = true;
    this.#handler.connected();
  }

  onHandshake(socket: BunSocket, success: boolean, error: Error | null): void {
    if (this.#gone) return;
    const problem = error ?? identityProblem(this.#hostname, socket.getPeerCertificate());
    if (problem !== undefined) return this.onClosed(problem);
    if (!success || !socket.authorized) {
      return this.onClosed(new Error("the service's certificate is not trusted"));
    }
    this.onConnected();
  }

  onData(octets: Buffer): void {
    if (!this.#gone && this.#connected) this.#handler.data(octets);
  }

  onDrain(): void {
    if (this.#gone || this.#waiting.length === 0) return;
    if (this.#writeWaiting()) this.#handler.drained();
  }

  /** @returns whether everything was accepted */
  #writeWaiting(): boolean {
    while (this.#waiting.length > 0) {
      const octets = this.#waiting[0]!;
      const taken = this.#socket!.write(octets, 0, octets.length);
      if (taken < octets.length) {
        if (taken > 0) this.#waiting[0] = octets.subarray(taken);
        return taken < 0;
      }
      this.#waiting.shift();
    }
    return true;
  }

  onClosed(error?: Error): void {
    if (this.#gone) return;
    this.destroy();
    this.#handler.closed(error);
  }
}

/** Scratch memory for what is written: the socket copies it immediately. */
const scratch = Buffer.allocUnsafeSlow(64 * 1024);
const NOTHING = new Uint8Array(0);

/** @returns where the copy ends */
function copy(data: string | Uint8Array, to: Buffer, at: number): number {
  if (typeof data === "string") return at + to.write(data, at, "latin1");
  to.set(data, at);
  return at + data.length;
}

const plainHandlers: BunSocketHandlers = {
  open(socket) {
    socket.data.onOpen(socket);
    socket.data.onConnected();
  },
  data: (socket, octets) => socket.data.onData(octets),
  drain: (socket) => socket.data.onDrain(),
  end: (socket) => socket.data.onClosed(),
  error: (socket, error) => socket.data.onClosed(error),
  close: (socket, error) => socket.data.onClosed(error),
};

const secureHandlers: BunSocketHandlers = {
  ...plainHandlers,
  open: (socket) => socket.data.onOpen(socket),
  handshake: (socket, success, error) => socket.data.onHandshake(socket, success, error),
};

export function connectByBun(
  { hostname, port, tls }: ConnectOptions,
  handler: OutboundHandler,
): Outbound {
  const outbound = new BunOutbound(hostname, handler);
  const authorities = tls === undefined ? undefined : trusted(tls.authorities);
  const protocols = protocolList(tls?.protocols);
  Bun.connect({
    hostname,
    port,
    data: outbound,
    ...(tls === undefined ? { socket: plainHandlers } : {
      tls: {
        serverName: serverName(hostname),
        rejectUnauthorized: true,
        minVersion: TLS_1_2,
        ...(protocols === "" ? {} : { ALPNProtocols: protocols }),
        ...(authorities === undefined ? {} : { ca: authorities }),
      },
      socket: secureHandlers,
    }),
  }).catch((error: Error) => outbound.onClosed(error));
  return outbound;
}
