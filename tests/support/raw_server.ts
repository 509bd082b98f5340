/** A TCP server on the loopback that does with each connection what a test says. */
import { Buffer } from "node:buffer";
import { type AddressInfo, createServer, type Socket } from "node:net";

/** One connection, and the octets received on it. */
export class RawConnection {
  readonly socket: Socket;
  #received: Buffer = Buffer.alloc(0);
  #ended = false;
  readonly #waiting = new Set<() => void>();

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (octets: Uint8Array) => {
      this.#received = Buffer.concat([this.#received, octets]);
      this.#wake();
    });
    // Resets are what some tests are about.
    socket.on("error", () => {});
    socket.on("end", () => this.#end());
    socket.on("close", () => this.#end());
  }

  /** Everything that has come in, as ISO 8859-1. */
  get received(): string {
    return this.#received.toString("latin1");
  }

  /** Requests with a Content-Length that have come in whole. */
  get requests(): readonly string[] {
    const found: string[] = [];
    for (let rest = this.received;;) {
      const head = rest.indexOf("\r\n\r\n");
      if (head < 0) return found;
      const length = /^content-length: (\d+)/im.exec(rest.slice(0, head))?.[1] ?? "0";
      const end = head + 4 + Number(length);
      if (rest.length < end) return found;
      found.push(rest.slice(0, end));
      rest = rest.slice(end);
    }
  }

  /** Waits until so many requests are here, and hands the last one over. */
  async request(count = 1): Promise<string> {
    await this.until(() => this.requests.length >= count);
    return this.requests[count - 1]!;
  }

  /** Waits until `condition` holds; checked at every event of the connection. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      if (this.#ended) throw new Error("the connection ended before");
      await this.#event();
    }
  }

  /** Waits for the client's end of the connection. */
  async ended(): Promise<void> {
    while (!this.#ended) await this.#event();
  }

  write(text: string): void {
    this.socket.write(text, "latin1");
  }

  #event(): Promise<void> {
    return new Promise((resolve) => this.#waiting.add(resolve));
  }

  #end(): void {
    this.#ended = true;
    this.#wake();
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }
}

export interface RawServer {
  readonly url: URL;
  readonly port: number;
  /** All that have been accepted, oldest first. */
  readonly connections: readonly RawConnection[];
  /** Waits for the connection with this index. */
  connection(index: number): Promise<RawConnection>;
  close(): Promise<void>;
}

/** @param serve what to do with a connection, besides reading it; what it throws is lost */
export async function startRawServer(
  serve: (connection: RawConnection) => void | Promise<void> = () => {},
): Promise<RawServer> {
  const connections: RawConnection[] = [];
  const waiting = new Set<() => void>();
  const server = createServer((socket) => {
    const connection = new RawConnection(socket);
    connections.push(connection);
    for (const resolve of waiting) resolve();
    waiting.clear();
    Promise.resolve(serve(connection)).catch(() => {});
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: new URL(`http://127.0.0.1:${port}/`),
    port,
    connections,
    async connection(index) {
      while (connections[index] === undefined) {
        await new Promise<void>((resolve) => waiting.add(resolve));
      }
      return connections[index];
    },
    close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const { socket } of connections) socket.destroy();
      return closed;
    },
  };
}

/** A loopback port on which no server listens. */
export async function closedPort(): Promise<number> {
  const server = await startRawServer();
  await server.close();
  return server.port;
}
