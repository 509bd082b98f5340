// The interface to the runtime. Everything else comes from `node:` modules and web standards that
// both runtimes have.

import { isIP } from "../ip_version.ts";
import type { Secret } from "../secret.ts";

/** Certificate chain and private key, PEM, with the protocol settings they are used with. */
export interface TlsIdentity {
  readonly certificate: string;
  readonly privateKey: string;
  readonly minVersion: TlsVersion;
  /**
   * OpenSSL cipher string for TLS 1.2 and older. When left out: only forward secrecy and AEAD, or the
   * runtime's own choice if `minVersion` is below 1.2.
   */
  readonly ciphers?: string;
}

export type TlsVersion = "1.0" | "1.1" | "1.2" | "1.3";

/** What a handshake has agreed on. */
export interface TlsFacts {
  /** As OpenSSL names it, such as `TLSv1.3`. */
  readonly version: string;
  /** Such as `TLS_AES_256_GCM_SHA384`. */
  readonly cipher: string;
}

/** One accepted TCP connection. No method throws; errors arrive through `closed`. */
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
  /** Stops `data` and, through TCP's window, the sender. */
  pause(): void;
  resume(): void;
  /** Half-closes: sends what is queued, then FIN (and close_notify). Reading continues. */
  end(): void;
  /** Closes immediately. `closed` follows. */
  destroy(): void;
  /**
   * Continues as a TLS server after sending what is queued; `secured` or `closed` follows. At the start
   * of a connection, this is implicit TLS (RFC 8314 §3.3).
   *
   * @param received octets that arrived as `data` and belong to the handshake, if any
   */
  startTls(identity: TlsIdentity, received?: Uint8Array): void;
}

/** Events of a connection. `opened` is the first, `closed` the last. */
export interface ConnectionHandler {
  opened(): void;
  /** @param bytes the receiver may keep them; their memory is not much larger than they are */
  data(bytes: Uint8Array): void;
  drained(): void;
  /** The peer has half-closed: no more `data`, but it may still read. */
  ended(): void;
  secured(tls: TlsFacts): void;
  /**
   * @param error the reason, unless it was an orderly end
   * @param opening the first octets of an unfinished handshake, at most 16
   */
  closed(error?: Error, opening?: Uint8Array): void;
}

export interface ListenOptions {
  /** IP address; `::` takes IPv4 too. */
  readonly hostname: string;
  /** 0 for any free port. */
  readonly port: number;
  /**
   * An inherited socket that is bound to this address, to use instead of a new one. It must be a
   * listening TCP socket (`Libc.describe`).
   */
  readonly descriptor?: number | undefined;
  accept(connection: Connection): ConnectionHandler;
  /**
   * Connections cannot be accepted at the moment, usually for lack of file descriptors. They wait, and
   * listening continues. Called once until a connection is accepted again; never called by `Bun.listen`.
   */
  failed?(error: Error): void;
}

export interface Listener {
  readonly hostname: string;
  readonly port: number;
  /** Stops accepting; open connections stay open. */
  close(): void;
}

/** An outgoing connection to a service. No method throws; errors arrive through `closed`. */
export interface Outbound {
  /** The proxy that it goes through, if any, in words. */
  readonly via?: string;
  /**
   * Sends octets or ASCII text. Copies octets before it returns, so they may change afterwards. Not
   * before `connected`: until then the service has not been verified.
   *
   * @param more is sent directly after `data`, in one write if both are small
   * @returns false when the service does not keep up: nothing is lost, but wait for `drained`
   */
  write(data: string | Uint8Array, more?: string | Uint8Array): boolean;
  /** Closes immediately. No event follows. */
  destroy(): void;
}

/** An outgoing connection in plain text that can continue in TLS. */
export interface Upgradable extends Outbound {
  /**
   * Continues as a TLS client. `connected` or `closed` follows. Octets that arrive from now on belong to
   * the handshake.
   */
  startTls(trust: ServiceTrust): void;
}

/** Events of an outgoing connection; never called from within `connect` or one of its methods. */
export interface OutboundHandler {
  /** Connected and, with TLS, the service's certificate has been verified. */
  connected(): void;
  /** @param bytes the receiver may keep them */
  data(bytes: Uint8Array): void;
  drained(): void;
  /**
   * The service has closed, or the connection could not be made. The last event.
   *
   * @param error the reason, with a `code`, unless it was an orderly end
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
 * TLS as a client, 1.2 or newer: the service's certificate must come from a trusted authority and name
 * the requested host (RFC 9110 §4.3.4).
 */
export interface ServiceTrust {
  /** Authorities besides those that the runtime trusts, PEM, one each. */
  readonly authorities: readonly string[];
  /** Offered by ALPN (RFC 7301); HTTP/1.1 when left out, none if empty. */
  readonly protocols?: readonly string[];
}

/** An HTTP proxy that connects to a service on request (RFC 9110 §9.3.6, CONNECT). */
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
  /**
   * Makes a TLS handshake with a port of the loopback, as a client that has this version alone and trusts any
   * certificate.
   *
   * @param timeout milliseconds
   * @throws Error with the TLS library's message
   */
  shakeHands(port: number, version: TlsVersion, timeout: number): Promise<void>;
}

/** The protocol versions as OpenSSL numbers them: Bun takes numbers, not names. */
export const VERSION_NUMBERS: Readonly<Record<TlsVersion, number>> = {
  "1.0": 769,
  "1.1": 770,
  "1.2": 771,
  "1.3": 772,
};

/** Octets of a handshake that are kept until it is done: enough to recognise another protocol. */
const OPENING = 16;

/** A copy, so that the buffer it comes from can be freed. */
export function openingOf(octets: Uint8Array): Uint8Array {
  return new Uint8Array(octets.subarray(0, OPENING));
}

/**
 * Why a connection has ended. A client that resets the connection during the handshake does not count
 * as a failed handshake: most of them only probe the port.
 */
export function endReason(error: Error | undefined, inHandshake: boolean): Error | undefined {
  const code = (error as { code?: string } | undefined)?.code;
  return inHandshake && code === "ECONNRESET" ? undefined : error;
}

/**
 * The cause of a socket error in the same form on both runtimes.
 *
 * @param hostname the address to listen on
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
    // Bun leaves out the cause only if it found no address for a name.
    else if (/^Failed to listen at /.test(message) && isIP(hostname) === 0) code = "ENOTFOUND";
    else code = "EUNKNOWN";
  }
  return Object.assign(new Error(message), { code });
}
