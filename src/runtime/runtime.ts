// What the relay asks of the runtime it runs on. Everything else comes from `node:` modules and
// web standards that both have.

import { isIP } from "node:net";
import type { Secret } from "../secret.ts";

/** Certificate chain and private key, PEM, with the protocol settings they are used with. */
export interface TlsIdentity {
  readonly certificate: string;
  readonly privateKey: string;
  readonly minVersion: TlsVersion;
  /**
   * OpenSSL cipher string for TLS 1.2 and older. When left out: forward secrecy and AEAD alone, or, where
   * `minVersion` is below 1.2, the runtime's own choice.
   */
  readonly ciphers?: string;
}

export type TlsVersion = "1.0" | "1.1" | "1.2" | "1.3";

/** One accepted TCP connection. No method throws; trouble arrives through `closed`. */
export interface Connection {
  /** As the runtime reports it: an IPv4 client of a dual-stack socket is `::ffff:a.b.c.d`. */
  readonly remoteAddress: string;
  readonly remotePort: number;
  /**
   * Sends octets, which must not change afterwards.
   *
   * @returns false when the peer does not keep up: nothing is lost, but wait for `drained`
   */
  write(bytes: Uint8Array): boolean;
  /** Stops `data` and with it, by TCP's window, the sender. */
  pause(): void;
  resume(): void;
  /** Half-closes: sends what is queued, then FIN (and close_notify). Reading goes on. */
  end(): void;
  /** Lets go at once. `closed` follows. */
  destroy(): void;
  /**
   * Goes on as a TLS server once what is queued has left; `secured` or `closed` follows. Right at
   * the start of a connection it gives TLS from the first octet (RFC 8314 §3.3).
   *
   * @param received octets that have come as `data` and belong to the handshake, if there are any
   */
  startTls(identity: TlsIdentity, received?: Uint8Array): void;
}

/** What happens on a connection. `opened` comes first; after `closed` nothing more does. */
export interface ConnectionHandler {
  opened(): void;
  /** @param bytes are the receiver's to keep; their memory is not much larger than they are */
  data(bytes: Uint8Array): void;
  drained(): void;
  /** The peer has half-closed: no more `data`, but it may still read. */
  ended(): void;
  secured(): void;
  /**
   * @param error the reason, when it was not an orderly end
   * @param opening the first octets of a handshake that was not done, 16 of them at most
   */
  closed(error?: Error, opening?: Uint8Array): void;
}

export interface ListenOptions {
  /** IP address; `::` takes IPv4 too. */
  readonly hostname: string;
  /** 0 for a free one. */
  readonly port: number;
  /**
   * A socket that somebody else has opened and bound to this address: it is listened on in place of a
   * new one. It must be one of TCP, and listening (`Libc.describe`).
   */
  readonly descriptor?: number | undefined;
  accept(connection: Connection): ConnectionHandler;
  /**
   * Connections cannot be accepted for the moment, for want of file descriptors mostly. They wait,
   * and listening goes on. Told once until one is accepted again; Bun's own listening does not tell.
   */
  failed?(error: Error): void;
}

export interface Listener {
  readonly hostname: string;
  readonly port: number;
  /** Stops accepting; open connections go on. */
  close(): void;
}

/** A connection of ours to a service. No method throws; trouble arrives through `closed`. */
export interface Outbound {
  /** The proxy that it goes through, if there is one, in words. */
  readonly via?: string;
  /**
   * Sends octets or ASCII text. Octets are taken before it returns, and may change afterwards. Not
   * before `connected`: until then nobody knows whom it would go to.
   *
   * @param more leaves right behind, together with `data` where both are small
   * @returns false when the service does not keep up: nothing is lost, but wait for `drained`
   */
  write(data: string | Uint8Array, more?: string | Uint8Array): boolean;
  /** Lets go at once. No event follows. */
  destroy(): void;
}

/** What happens on a connection of ours; never inside `connect` or a method's own call. */
export interface OutboundHandler {
  /** The service is there and, with TLS, has proved to be the one that was asked for. */
  connected(): void;
  /** @param bytes are the receiver's to keep */
  data(bytes: Uint8Array): void;
  drained(): void;
  /**
   * The service has closed, or the connection could not be made. The last event.
   *
   * @param error the reason, with a `code`, when it was not an orderly end
   */
  closed(error?: Error): void;
}

export interface ConnectOptions {
  /** A name, or an IP address without brackets. */
  readonly hostname: string;
  readonly port: number;
  /** Left out for a plain connection. */
  readonly tls?: ServiceTrust;
}

/**
 * TLS as a client, 1.2 or newer: the service's certificate must come from an authority that is
 * trusted, and name the host that was asked for (RFC 9110 §4.3.4).
 */
export interface ServiceTrust {
  /** Authorities besides those that the runtime trusts, PEM, one each. */
  readonly authorities: readonly string[];
}

/** A program in between that connects us to a service on request (RFC 9110 §9.3.6, CONNECT). */
export interface Proxy {
  /** A name, or an IP address without brackets. */
  readonly hostname: string;
  readonly port: number;
  /** The value of Proxy-Authorization. */
  readonly authorization?: Secret;
}

export type Connect = (options: ConnectOptions, handler: OutboundHandler) => Outbound;

export interface Runtime {
  readonly name: string;
  readonly version: string;
  /** @throws Error with a `code` such as `EADDRINUSE` */
  listen(options: ListenOptions): Listener;
  readonly connect: Connect;
}

/** Octets of a handshake that are kept until it is done: enough to tell what it was instead. */
const OPENING = 16;

/** A copy, so that what it lay in is free. */
export function openingOf(octets: Uint8Array): Uint8Array {
  return Uint8Array.from(octets.subarray(0, OPENING));
}

/**
 * Why a connection has ended. A client that leaves inside the handshake is no failed handshake:
 * most of them only probe the port.
 */
export function endReason(error: Error | undefined, inHandshake: boolean): Error | undefined {
  const code = (error as { code?: string } | undefined)?.code;
  return inHandshake && code === "ECONNRESET" ? undefined : error;
}

/**
 * A socket error's cause in a form that is the same on both runtimes.
 *
 * @param hostname that was to be listened on
 */
export function listenError(error: unknown, hostname: string): Error & { code: string } {
  const message = error instanceof Error ? error.message : String(error);
  const given = (error as { code?: unknown } | null)?.code;
  const name = error instanceof Error ? error.name : "";
  let code = typeof given === "string" ? given : "";
  if (code === "" || code === "ERR_UNKNOWN") {
    if (name === "AddrInUse" || /address.*in use|EADDRINUSE/i.test(message)) code = "EADDRINUSE";
    else if (name === "PermissionDenied" || /permission|EACCES/i.test(message)) code = "EACCES";
    else if (/EADDRNOTAVAIL|not available|cannot assign/i.test(message)) code = "EADDRNOTAVAIL";
    else if (/EAFNOSUPPORT|address family/i.test(message)) code = "EAFNOSUPPORT";
    else if (/lookup address|getaddrinfo|ENOTFOUND/i.test(message)) code = "ENOTFOUND";
    // Bun says nothing of the cause only where it has found no address for a name.
    else if (/^Failed to listen at /.test(message) && isIP(hostname) === 0) code = "ENOTFOUND";
    else code = "EUNKNOWN";
  }
  return Object.assign(new Error(message), { code });
}
