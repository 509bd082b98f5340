// Connections to services on `node:net` and `node:tls`.

import type { Socket } from "node:net";
import { late } from "../late_modules.ts";
import type { ConnectOptions, Outbound, OutboundHandler, ServiceTrust } from "./runtime.ts";
import { free } from "../octets.ts";
import { ALPN_PROTOCOL, identityProblem, serverName, trusted } from "./trust.ts";

export function connectByNode(
  { hostname, port, tls }: ConnectOptions,
  handler: OutboundHandler,
): Outbound {
  if (tls === undefined) {
    const socket = late.net.connect({ host: hostname, port, noDelay: true });
    return new NodeOutbound(socket, "connect", handler);
  }
  return secured({ host: hostname, port }, hostname, tls, handler);
}

/**
 * TLS with a service.
 *
 * @param over the service's address, or an existing connection to it
 */
export function secured(
  over: { readonly host: string; readonly port: number } | { readonly socket: Socket },
  hostname: string,
  trust: ServiceTrust,
  handler: OutboundHandler,
): Outbound {
  const authorities = trusted(trust.authorities);
  const name = serverName(hostname);
  const { protocols = [ALPN_PROTOCOL] } = trust;
  const socket = late.tls.connect({
    ...over,
    minVersion: "TLSv1.2",
    // Overrides NODE_TLS_REJECT_UNAUTHORIZED.
    rejectUnauthorized: true,
    checkServerIdentity: (_, certificate) => identityProblem(hostname, certificate),
    ...(protocols.length === 0 ? {} : { ALPNProtocols: [...protocols] }),
    ...(name === "" ? {} : { servername: name }),
    ...(authorities === undefined ? {} : { ca: [...authorities] }),
  });
  socket.setNoDelay(true);
  return new NodeOutbound(socket, "secureConnect", handler, () => {
    // The runtime has checked both. Should one of its versions fail to, still nothing is sent.
    if (!socket.authorized) return untrusted();
    return identityProblem(hostname, socket.getPeerCertificate());
  });
}

function untrusted(): Error {
  const error = new Error("the service's certificate is not trusted");
  return Object.assign(error, { code: "CERT_UNTRUSTED" });
}

export class NodeOutbound implements Outbound {
  readonly #socket: Socket;
  /** Adds or removes all listeners. */
  readonly #listen: (change: "on" | "off") => void;
  #connected: boolean;
  #gone = false;

  /**
   * @param ready the event at which it is connected; `undefined` if it is so already
   * @param problem what is wrong with the service, once it is ready
   */
  constructor(
    socket: Socket,
    ready: "connect" | "secureConnect" | undefined,
    handler: OutboundHandler,
    problem: () => Error | undefined = () => undefined,
  ) {
    this.#socket = socket;
    this.#connected = ready === undefined;
    const closed = (error?: Error) => {
      if (this.#gone) return;
      this.destroy();
      handler.closed(error);
    };
    const connected = () => {
      if (this.#gone) return;
      const found = problem();
      if (found !== undefined) return closed(found);
      this.#connected = true;
      handler.connected();
    };
    const data = (octets: Uint8Array) => void (this.#gone || handler.data(octets));
    const drained = () => void (this.#gone || handler.drained());
    const ended = () => closed();
    this.#listen = (change) => {
      if (ready !== undefined) socket[change](ready, connected);
      socket[change]("data", data);
      socket[change]("drain", drained);
      socket[change]("end", ended);
      socket[change]("error", closed);
      socket[change]("close", ended);
    };
    this.#listen("on");
  }

  /** Leaves the socket, paused, to another owner. No event follows. */
  release(): Socket {
    this.#gone = true;
    this.#listen("off");
    this.#socket.pause();
    // TLS gets the error too. Without a listener, an error event would end the process.
    this.#socket.on("error", () => {});
    return this.#socket;
  }

  write(data: string | Uint8Array, more?: string | Uint8Array): boolean {
    if (!this.#connected) throw new Error("written before it was connected");
    if (this.#gone) return true;
    if (more === undefined) return this.#write(data);
    this.#socket.cork();
    this.#write(data);
    const writable = this.#write(more);
    this.#socket.uncork();
    return writable;
  }

  /** The socket keeps what it is given until it has been sent. */
  #write(data: string | Uint8Array): boolean {
    const octets = copyOf(data);
    if (octets.length < WORTH_FREEING) return this.#socket.write(octets);
    // The copies of a large message would be as much garbage as the message. After an error, the socket
    // may still use them.
    return this.#socket.write(octets, (error) => {
      if (error === undefined || error === null) free(octets);
    });
  }

  destroy(): void {
    this.#gone = true;
    this.#socket.destroy();
  }
}

/** Octets of a copy from which it is freed as soon as it has been sent. */
const WORTH_FREEING = 16 * 1024;

const encoder = new TextEncoder();

function copyOf(data: string | Uint8Array): Uint8Array {
  // The same for ASCII text, and many times as fast as Buffer on Deno. The constructor copies memory,
  // whereas `Uint8Array.from` goes from octet to octet.
  return typeof data === "string" ? encoder.encode(data) : new Uint8Array(data);
}
