// Connections on `Deno.listen`: native until TLS, for which `node:tls` takes over the same connection
// (`Deno.startTls` is for clients only).

import { Duplex } from "node:stream";
import { createSecureContext, type SecureContext, TLSSocket } from "node:tls";
import { free } from "../octets.ts";
import { type Conn, type Conns, listenOnDescriptor } from "./deno_inherited.ts";
import { connectByNode } from "./node_connect.ts";
import { shakeHandsByNode } from "./node_handshake.ts";
import {
  type Connection,
  type ConnectionHandler,
  endReason,
  type Listener,
  listenError,
  type ListenOptions,
  openingOf,
  type Runtime,
  type TlsIdentity,
} from "./runtime.ts";

const ACCEPT_PAUSE_MS = 100;
/** What `accept` throws for a connection that ended before it was accepted. */
const GONE: ReadonlySet<string> = new Set(["ENOTCONN", "ECONNABORTED", "ECONNRESET"]);
const NOTHING = new Uint8Array(0);
/** Octets of a copy from which it is freed as soon as nothing needs it. */
const WORTH_FREEING = 4 * 1024;
const READ_SIZE = 64 * 1024;
/** Octets waiting to be written above which `write` asks for a pause. */
const WRITE_HIGH_WATER = 64 * 1024;

class DenoConnection implements Connection {
  readonly remoteAddress: string;
  readonly remotePort: number;
  handler!: ConnectionHandler;
  readonly #conn: Conn;
  #secure: TLSSocket | undefined;
  #stream: ConnectionStream | undefined;
  #inHandshake = false;
  #pendingTls: { identity: TlsIdentity; received: Uint8Array | undefined } | undefined;
  #paused = false;
  #reading = false;
  /** A read is pending. */
  #awaitingRead = false;
  #ended = false;
  #queue: Uint8Array[] = [];
  #queued = 0;
  #writing = false;
  #blocked = false;
  #ending = false;
  #closed = false;

  constructor(conn: Conn) {
    this.#conn = conn;
    this.remoteAddress = conn.remoteAddr.hostname;
    this.remotePort = conn.remoteAddr.port;
  }

  start(): void {
    this.handler.opened();
    void this.#read();
  }

  write(bytes: Uint8Array): boolean {
    if (this.#closed || this.#ending) return true;
    if (this.#secure !== undefined) return this.#secure.write(bytes);
    this.#queue.push(bytes);
    this.#queued += bytes.length;
    void this.#flush();
    this.#blocked = this.#queued > WRITE_HIGH_WATER;
    return !this.#blocked;
  }

  pause(): void {
    this.#paused = true;
    this.#secure?.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    if (this.#secure !== undefined) this.#secure.resume();
    else void this.#read();
  }

  end(): void {
    if (this.#closed || this.#ending) return;
    this.#ending = true;
    void this.#end();
  }

  async #end(): Promise<void> {
    if (this.#ended) {
      try {
        // After a reset by the client, a read still reports that the client has ended its side.
        await this.#conn.write(NOTHING);
      } catch (error) {
        return this.#close(error);
      }
    }
    if (this.#secure !== undefined) this.#secure.end();
    else await this.#flush();
  }

  destroy(): void {
    this.#close();
  }

  startTls(identity: TlsIdentity, received?: Uint8Array): void {
    if (this.#closed) return;
    this.#pendingTls = { identity, received };
    void this.#flush();
  }

  async #read(): Promise<void> {
    if (this.#reading || this.#ended) return;
    this.#reading = true;
    try {
      let buffer = new Uint8Array(READ_SIZE);
      while (!this.#paused && !this.#closed && !this.#handedOver) {
        this.#awaitingRead = true;
        const length = await this.#conn.read(buffer);
        this.#awaitingRead = false;
        if (this.#closed) return;
        // TLS began during this read: its octets belong to the handshake.
        if (this.#stream !== undefined) {
          this.#stream.handOver(length === null ? null : buffer.subarray(0, length));
          return;
        }
        if (length === null) {
          this.#ended = true;
          this.handler.ended();
          if (this.#ending && !this.#writing) this.#close();
          return;
        }
        // A view would keep the whole buffer in memory.
        if (length < READ_SIZE) {
          this.handler.data(buffer.slice(0, length));
        } else {
          this.handler.data(buffer);
          buffer = new Uint8Array(READ_SIZE);
        }
      }
    } catch (error) {
      this.#close(error);
    } finally {
      this.#reading = false;
    }
  }

  get #handedOver(): boolean {
    return this.#pendingTls !== undefined || this.#secure !== undefined;
  }

  async #flush(): Promise<void> {
    if (this.#writing) return;
    this.#writing = true;
    try {
      for (let bytes = this.#queue.shift(); bytes !== undefined; bytes = this.#queue.shift()) {
        for (let sent = 0; sent < bytes.length;) {
          sent += await this.#conn.write(bytes.subarray(sent));
        }
        this.#queued -= bytes.length;
        if (this.#closed) return;
      }
      if (this.#blocked) {
        this.#blocked = false;
        this.handler.drained();
      }
      if (this.#pendingTls !== undefined) {
        this.#upgrade(this.#pendingTls.identity, this.#pendingTls.received);
      } else if (this.#ending && this.#secure === undefined) {
        await this.#conn.closeWrite();
        if (this.#ended) this.#close();
      }
    } catch (error) {
      this.#close(error);
    } finally {
      this.#writing = false;
    }
    if (this.#queue.length > 0 && !this.#closed) await this.#flush();
  }

  #upgrade(identity: TlsIdentity, received: Uint8Array | undefined): void {
    this.#pendingTls = undefined;
    this.#inHandshake = true;
    try {
      this.#stream = new ConnectionStream(this.#conn, this.#awaitingRead, received);
      const secure = new TLSSocket(
        this.#stream,
        {
          isServer: true,
          secureContext: secureContext(identity),
          allowHalfOpen: true,
        } as ConstructorParameters<typeof TLSSocket>[1],
      );
      this.#secure = secure;
      this.#stream.freeWhatIsRead();
      secure.on("secure", () => {
        this.#inHandshake = false;
        if (this.#stream !== undefined) this.#stream.opening = undefined;
        if (this.#closed) return;
        // The cipher's own `version` is the oldest one that has it.
        const version = secure.getProtocol() ?? "unknown";
        this.handler.secured({ version, cipher: secure.getCipher().name });
      });
      secure.on("data", (bytes: Uint8Array) => this.#closed || this.handler.data(bytes));
      secure.on("drain", () => this.#closed || this.handler.drained());
      secure.on("end", () => {
        this.#ended = true;
        if (!this.#closed) this.handler.ended();
      });
      secure.on("error", (error: Error) => this.#close(error));
      secure.on("close", () => this.#close());
      if (this.#paused) secure.pause();
    } catch (error) {
      this.#close(error);
    }
  }

  #close(reason?: unknown): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#queue = [];
    this.#secure?.destroy();
    closeQuietly(this.#conn);
    // Not within the caller's own call: `closed` is always an event.
    queueMicrotask(() => {
      const error = reason === undefined ? undefined : asError(reason);
      const opening = this.#inHandshake ? this.#stream?.opening : undefined;
      this.handler.closed(endReason(error, this.#inHandshake), opening);
    });
  }
}

/** A connection as the stream that `node:tls` needs. */
class ConnectionStream extends Duplex {
  readonly #conn: Conn;
  /** Another object's read is pending; its octets arrive through `handOver`. */
  #waiting: boolean;
  /** The first octets; not recorded once the handshake is done. */
  opening: Uint8Array | undefined;
  #opened = false;
  /** Reused for every read: encrypted octets arrive in pieces of any size. */
  readonly #buffer = new Uint8Array(READ_SIZE);

  /** @param received octets that were read earlier and precede the rest */
  constructor(conn: Conn, waiting: boolean, received: Uint8Array | undefined) {
    super({ allowHalfOpen: true });
    this.#conn = conn;
    this.#waiting = waiting;
    if (received !== undefined) this.#take(received);
  }

  handOver(octets: Uint8Array | null): void {
    this.#waiting = false;
    this.#take(octets);
  }

  /**
   * Frees what comes as soon as it is decrypted: else a large message is garbage of its size. Call it
   * once `node:tls` listens, which copies what it is given.
   */
  freeWhatIsRead(): void {
    this.on("data", (octets: Uint8Array) => {
      if (octets.length >= WORTH_FREEING) free(octets);
    });
  }

  #take(octets: Uint8Array | null): void {
    if (!this.#opened && octets !== null) this.opening = openingOf(octets);
    this.#opened = true;
    this.push(octets);
  }

  override _read(): void {
    if (this.#waiting) return;
    const buffer = this.#buffer;
    this.#conn.read(buffer).then(
      (length) => this.#take(length === null ? null : buffer.slice(0, length)),
      (error) => this.destroy(error),
    );
  }

  override _write(chunk: Uint8Array, _encoding: string, done: (error?: Error) => void): void {
    const send = async () => {
      for (let sent = 0; sent < chunk.length;) sent += await this.#conn.write(chunk.subarray(sent));
    };
    send().then(() => done(), (error) => done(asError(error)));
  }

  override _final(done: (error?: Error) => void): void {
    this.#conn.closeWrite().then(() => done(), () => done());
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    closeQuietly(this.#conn);
    done(error);
  }
}

const contexts = new WeakMap<TlsIdentity, SecureContext>();

/** Parsed once for each identity, not for each connection. */
function secureContext(identity: TlsIdentity): SecureContext {
  let context = contexts.get(identity);
  if (context === undefined) {
    context = createSecureContext({
      cert: identity.certificate,
      key: identity.privateKey,
      minVersion: `TLSv1${identity.minVersion === "1.0" ? "" : identity.minVersion.slice(1)}` as
        | "TLSv1"
        | "TLSv1.1"
        | "TLSv1.2"
        | "TLSv1.3",
      ...(identity.ciphers === undefined ? {} : { ciphers: identity.ciphers }),
    });
    contexts.set(identity, context);
  }
  return context;
}

function closeQuietly(conn: Conn): void {
  try {
    conn.close();
  } catch {
    // Already closed.
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

export const denoRuntime: Runtime = {
  name: "Deno",
  version: Deno.version.deno,
  connect: connectByNode,
  shakeHands: shakeHandsByNode,
  listen({ hostname, port, descriptor, accept, failed }: ListenOptions): Listener {
    let listener: Conns;
    try {
      listener = descriptor === undefined
        ? Deno.listen({ hostname, port })
        : listenOnDescriptor(descriptor, { hostname, port });
    } catch (error) {
      throw listenError(error, hostname);
    }
    let open = true;
    let failing = false;
    const acceptAll = async () => {
      while (open) {
        let conn: Conn | undefined;
        try {
          conn = await listener.accept();
          // Accepted just as the listener was closed: it would not be counted any more.
          if (!open) return closeQuietly(conn);
          failing = false;
          const connection = new DenoConnection(conn);
          connection.handler = accept(connection);
          connection.start();
        } catch (error) {
          // Closed, or temporarily out of file descriptors, which must not end listening.
          if (!open) return;
          if (conn !== undefined) closeQuietly(conn);
          // A client reset its connection before it was accepted: others must not wait because of it.
          if (GONE.has((error as { code?: string }).code ?? "")) continue;
          if (!failing) failed?.(asError(error));
          failing = true;
          await new Promise((resolve) => setTimeout(resolve, ACCEPT_PAUSE_MS));
        }
      }
    };
    void acceptAll();
    const { hostname: boundHostname, port: boundPort } = listener.addr;
    return {
      hostname: boundHostname,
      port: boundPort,
      close() {
        if (!open) return;
        open = false;
        listener.close();
      },
    };
  },
};
