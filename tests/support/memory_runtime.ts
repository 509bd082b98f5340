/** A runtime without sockets: what a client sends and reads is text in this process. */
import { Buffer } from "node:buffer";
import { setImmediate } from "node:timers/promises";
import type {
  Connection,
  ConnectionHandler,
  Listener,
  ListenOptions,
  Runtime,
  TlsIdentity,
} from "../../src/runtime/runtime.ts";

export class MemoryRuntime implements Runtime {
  readonly name = "memory";
  readonly version = "1";
  readonly #listening: ListenOptions[] = [];
  #ports = 40_000;

  /** Where it listens now: host, port, and the descriptor of a socket that was handed over. */
  get listening(): string[] {
    return this.#listening.map(({ hostname, port, descriptor }) =>
      `${hostname}:${port}${descriptor === undefined ? "" : ` fd ${descriptor}`}`
    );
  }

  listen(given: ListenOptions): Listener {
    const options = { ...given, port: given.port || ++this.#ports };
    this.#listening.push(options);
    const close = () => void this.#listening.splice(this.#listening.indexOf(options), 1);
    return { hostname: options.hostname, port: options.port, close };
  }

  connect(): never {
    throw new Error("this runtime connects to nothing");
  }

  shakeHands(): Promise<never> {
    return Promise.reject(new Error("this runtime has no TLS"));
  }

  /** A client that has connected. @param address its own @param listener how many came before it */
  client(address = "192.0.2.7", listener = 0): MemoryClient {
    return new MemoryClient(this.#listening[listener]!, address);
  }

  /** The listener cannot accept clients for the moment. */
  failAccept(error: Error): void {
    this.#listening[0]!.failed?.(error);
  }
}

export class MemoryClient {
  /** All that the server has written. */
  text = "";
  /** The certificate of the handshake that the server has begun. */
  identity: TlsIdentity | undefined;
  /** The server has ended its side, or the connection. */
  ended = false;
  destroyed = false;
  paused = false;
  /** Whether it reads what the server writes. */
  reads = true;
  readonly #handler: ConnectionHandler;
  #closed = false;

  constructor(listener: ListenOptions, remoteAddress: string) {
    const connection: Connection = {
      remoteAddress,
      remotePort: 4711,
      write: (bytes) => {
        this.text += Buffer.from(bytes).toString("latin1");
        return this.reads;
      },
      pause: () => void (this.paused = true),
      resume: () => void (this.paused = false),
      end: () => void (this.ended = true),
      destroy: () => {
        this.ended = this.destroyed = true;
        queueMicrotask(() => this.close());
      },
      startTls: (identity) => void (this.identity = identity),
    };
    this.#handler = listener.accept(connection);
    this.#handler.opened();
  }

  /** Sends octets in one segment. */
  write(text: string): void {
    this.#handler.data(Buffer.from(text, "latin1"));
  }

  /** Sends lines, and gives what the server has written since. */
  async say(...lines: readonly string[]): Promise<string> {
    const before = this.text.length;
    this.write(lines.map((line) => `${line}\r\n`).join(""));
    // Services that answer at once have done so.
    await setImmediate();
    return this.text.slice(before);
  }

  /** Logs in with AUTH PLAIN. */
  async logIn(username: string, password: string): Promise<string> {
    await this.say("EHLO client.example");
    const response = Buffer.from(`\0${username}\0${password}`).toString("base64");
    return await this.say(`AUTH PLAIN ${response}`);
  }

  /** The handshake is done. */
  secured(): void {
    this.#handler.secured({ version: "TLSv1.3", cipher: "TLS_AES_256_GCM_SHA384" });
  }

  /** It reads again. */
  drain(): void {
    this.reads = true;
    this.#handler.drained();
  }

  /** It ends its side. */
  end(): void {
    this.#handler.ended();
  }

  /** The connection is gone. @param error a reset, or the like */
  close(error?: Error, opening?: Uint8Array): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#handler.closed(error, opening);
  }
}
