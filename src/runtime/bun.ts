// Connections on `Bun.listen`: native sockets, TLS by `upgradeTLS`.

import { Buffer } from "node:buffer";
import { connectByBun } from "./bun_connect.ts";
import { shakeHandsByBun } from "./bun_handshake.ts";
import { connections, garbage } from "./bun_memory.ts";
import {
  type Connection,
  type ConnectionHandler,
  endReason,
  type Listener,
  listenError,
  type ListenOptions,
  openingOf,
  type Runtime,
  type TlsFacts,
  type TlsIdentity,
  VERSION_NUMBERS,
} from "./runtime.ts";

// The part of Bun's API that is used here (https://bun.sh/docs/api/tcp). Bun's own type package
// redeclares globals that Deno's type checker also declares, so both cannot be in one program.
interface BunSocket {
  data: BunConnection;
  readonly remoteAddress: string;
  readonly remotePort: number;
  write(bytes: Uint8Array, offset: number, length: number): number;
  end(): number;
  shutdown(): void;
  terminate(): void;
  pause(): void;
  resume(): void;
  getCipher(): { readonly name: string };
  getTLSVersion(): string;
  upgradeTLS(options: {
    isServer: true;
    data: BunConnection;
    tls: { cert: string; key: string; minVersion: number; ciphers?: string };
    socket: BunSocketHandlers;
    /** Undocumented, but Bun's own `node:tls` passes it on; tests hold it. */
    initialData?: Uint8Array;
  }): [raw: BunSocket, tls: BunSocket];
}
interface BunSocketHandlers {
  open?(socket: BunSocket): void;
  data(socket: BunSocket, bytes: Buffer): void;
  drain(socket: BunSocket): void;
  end(socket: BunSocket): void;
  close(socket: BunSocket, error?: Error): void;
  error(socket: BunSocket, error: Error): void;
  handshake?(socket: BunSocket, success: boolean, error: Error | null): void;
}
declare const Bun: {
  readonly version: string;
  listen(
    options: ({ hostname: string; port: number; exclusive: boolean } | { fd: number }) & {
      allowHalfOpen: boolean;
      socket: BunSocketHandlers;
    },
  ): { readonly hostname: string; readonly port: number; stop(closeActive?: boolean): void };
};

/**
 * For TLS 1.2 without a cipher string: only forward secrecy and AEAD (RFC 9325 §4.2), as in Deno's TLS.
 * Bun's default also has RSA key exchange and CBC. It stays if TLS 1.0 or 1.1 is allowed, because those
 * versions have nothing else.
 */
const STRONG_CIPHERS = [
  ...["ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384"],
  ...["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"],
  ...["ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305"],
].join(":");

function ciphersFor({ minVersion, ciphers }: TlsIdentity): { ciphers?: string } {
  if (ciphers !== undefined) return { ciphers };
  return minVersion === "1.0" || minVersion === "1.1" ? {} : { ciphers: STRONG_CIPHERS };
}

/** By version and cipher, of which there are few: Bun makes new texts for each connection. */
const facts = new Map<string, TlsFacts>();

function sharedFacts(version: string, cipher: string): TlsFacts {
  const key = `${version} ${cipher}`;
  let found = facts.get(key);
  if (found === undefined) facts.set(key, found = { version, cipher });
  return found;
}

/** Shared by all connections with nothing to write: it never changes. */
const NOTHING: Uint8Array[] = [];

/** Octets from which memory is freed at once. */
const WORTH_FREEING = 4 * 1024;

class BunConnection implements Connection {
  readonly remoteAddress: string;
  readonly remotePort: number;
  handler!: ConnectionHandler;
  #socket: BunSocket;
  #queue = NOTHING;
  #offset = 0;
  #ending = false;
  #closed = false;
  #pendingTls: { identity: TlsIdentity; received: Uint8Array | undefined } | undefined;
  /** The first octets of the client's handshake, until it is done. */
  #opening: Uint8Array | undefined;
  #inHandshake = false;
  #error: Error | undefined;

  constructor(socket: BunSocket) {
    this.#socket = socket;
    this.remoteAddress = socket.remoteAddress;
    this.remotePort = socket.remotePort;
  }

  write(bytes: Uint8Array): boolean {
    if (this.#closed || this.#ending) return true;
    if (this.#queue.length === 0) {
      const written = this.#socket.write(bytes, 0, bytes.length);
      if (written === bytes.length) return true;
      // A negative number means that the socket is gone: `close` follows.
      this.#offset = Math.max(written, 0);
    }
    if (this.#queue.length === 0) this.#queue = [bytes];
    else this.#queue.push(bytes);
    return false;
  }

  pause(): void {
    if (!this.#closed) this.#socket.pause();
  }

  resume(): void {
    if (!this.#closed) this.#socket.resume();
  }

  end(): void {
    if (this.#closed || this.#ending) return;
    this.#ending = true;
    this.#flush();
  }

  destroy(): void {
    if (!this.#closed) this.#socket.terminate();
  }

  startTls(identity: TlsIdentity, received?: Uint8Array): void {
    if (this.#closed) return;
    this.#pendingTls = { identity, received };
    this.#flush();
  }

  #flush(): void {
    while (this.#queue.length > 0) {
      const bytes = this.#queue[0]!;
      const rest = bytes.length - this.#offset;
      const written = this.#socket.write(bytes, this.#offset, rest);
      if (written < rest) {
        // A negative number means that the socket is gone: `close` follows.
        if (written > 0) this.#offset += written;
        return;
      }
      this.#queue.shift();
      this.#offset = 0;
    }
    if (this.#pendingTls !== undefined) {
      this.#upgrade(this.#pendingTls.identity, this.#pendingTls.received);
    }
    // shutdown, not end: still reads the peer's last octets, which avoids a reset that would remove the
    // relay's reply from the peer's buffer.
    if (this.#ending) this.#socket.shutdown();
  }

  #upgrade(identity: TlsIdentity, received: Uint8Array | undefined): void {
    this.#pendingTls = undefined;
    this.#inHandshake = true;
    if (received !== undefined) this.#opening = openingOf(received);
    try {
      const [, secure] = this.#socket.upgradeTLS({
        isServer: true,
        data: this,
        tls: {
          cert: identity.certificate,
          key: identity.privateKey,
          minVersion: VERSION_NUMBERS[identity.minVersion],
          ...ciphersFor(identity),
        },
        socket: secureHandlers,
        ...(received === undefined ? {} : { initialData: received }),
      });
      this.#socket = secure;
    } catch (error) {
      this.#error = error instanceof Error ? error : new Error(String(error));
      this.#socket.terminate();
    }
  }

  /** The plain socket under TLS keeps reporting events; only those of the socket in use count. */
  uses(socket: BunSocket): boolean {
    return socket === this.#socket;
  }

  /** Encrypted octets, including the handshake. Bun hands out a copy, which is not needed any more. */
  onRaw(bytes: Buffer): void {
    if (this.#inHandshake) this.#opening ??= openingOf(bytes);
    // Together as many octets as all mail has. A copy of a command is not worth freeing at once, for
    // Bun moves a small one to memory of its own first: that took 3 % of a message's time.
    if (bytes.length < WORTH_FREEING) return garbage(bytes.length);
    const { buffer } = bytes;
    if (buffer instanceof ArrayBuffer && bytes.length === buffer.byteLength) buffer.transfer(0);
  }

  onDrain(): void {
    const waiting = this.#queue.length > 0;
    this.#flush();
    if (waiting && this.#queue.length === 0 && !this.#closed) this.handler.drained();
  }

  onHandshake(success: boolean, error: Error | null): void {
    if (this.#closed) return;
    // `success` also depends on a client certificate, which the relay does not ask for. Without an error,
    // the handshake is done.
    if (success || error === null) {
      this.#inHandshake = false;
      this.#opening = undefined;
      // The cipher's own `version` is the oldest one that has it.
      const version = this.#socket.getTLSVersion();
      return this.handler.secured(sharedFacts(version, this.#socket.getCipher().name));
    }
    this.#error = error;
    this.#socket.terminate();
  }

  /** The socket's error, or one that a handler threw: without this, nothing would end the connection. */
  onError(error: Error): void {
    this.#error ??= error;
    this.destroy();
  }

  onClose(error?: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    connections.less();
    this.#queue = NOTHING;
    this.handler.closed(endReason(this.#error ?? error, this.#inHandshake), this.#opening);
  }
}

const plainHandlers: BunSocketHandlers = {
  data(socket, bytes) {
    if (!socket.data.uses(socket)) return socket.data.onRaw(bytes);
    socket.data.handler.data(bytes);
    // Most of it has been copied by now, except the large pieces of a message.
    garbage(bytes.length);
  },
  drain(socket) {
    if (socket.data.uses(socket)) socket.data.onDrain();
  },
  end(socket) {
    if (socket.data.uses(socket)) socket.data.handler.ended();
  },
  error(socket, error) {
    socket.data.onError(error);
  },
  close(socket, error) {
    socket.data.onClose(error);
  },
};

const secureHandlers: BunSocketHandlers = {
  ...plainHandlers,
  handshake(socket, success, error) {
    socket.data.onHandshake(success, error);
  },
};

export const bunRuntime: Runtime = {
  name: "Bun",
  version: Bun.version,
  connect: connectByBun,
  shakeHands: shakeHandsByBun,
  listen({ hostname, port, descriptor, accept }: ListenOptions): Listener {
    try {
      const listener = Bun.listen({
        ...(descriptor === undefined
          // Without `exclusive` a second relay on the same port would silently share it.
          ? { hostname, port, exclusive: true }
          : { fd: descriptor }),
        allowHalfOpen: true,
        socket: {
          ...plainHandlers,
          open(socket) {
            const connection = new BunConnection(socket);
            connections.more();
            socket.data = connection;
            connection.handler = accept(connection);
            connection.handler.opened();
          },
        },
      });
      // Bun gives no address for a socket that it has not opened itself.
      const { hostname: boundHostname, port: boundPort } = descriptor === undefined
        ? listener
        : { hostname, port };
      return {
        hostname: boundHostname,
        port: boundPort,
        close: () => listener.stop(false),
      };
    } catch (error) {
      throw listenError(error, hostname);
    }
  },
};
