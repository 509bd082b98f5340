// Listening on an inherited socket, on Deno: `Deno.listen` takes no descriptor, but `node:net` does. Its
// connections are adapted to the form of Deno's own, so that `deno.ts` handles both.

import { Buffer } from "node:buffer";
import { createServer, type Socket } from "node:net";

/** The part of `Deno.TcpConn` that is used here. */
export type Conn = Pick<Deno.TcpConn, "remoteAddr" | "read" | "write" | "closeWrite" | "close">;
/** The part of `Deno.TcpListener` that is used here. */
export interface Conns {
  readonly addr: { readonly hostname: string; readonly port: number };
  accept(): Promise<Conn>;
  close(): void;
}

/** @param addr the address that the socket is bound to */
export function listenOnDescriptor(descriptor: number, addr: Conns["addr"]): Conns {
  const arrived: Socket[] = [];
  let failure: Error | undefined;
  let wake = () => {};
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
    // Without a listener, an error event would end the process.
    socket.on("error", () => {});
    arrived.push(socket);
    wake();
  });
  const fail = (error: Error) => {
    failure = error;
    wake();
  };
  server.on("error", fail);
  server.listen({ fd: descriptor });
  return {
    addr,
    async accept() {
      while (arrived.length === 0) {
        if (failure !== undefined) {
          const error = failure;
          failure = undefined;
          throw error;
        }
        await new Promise<void>((resolve) => wake = resolve);
      }
      return new SocketConn(arrived.shift()!);
    },
    close() {
      server.close();
      for (const socket of arrived.splice(0)) socket.destroy();
      fail(new Error("closed"));
    },
  };
}

/** A socket of `node:net` that is read only on request. */
class SocketConn implements Conn {
  readonly remoteAddr: Deno.NetAddr;
  readonly #socket: Socket;
  #ended = false;
  #error: Error | undefined;
  /** The pending read; at most one. */
  #waiting: (() => void) | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.remoteAddr = {
      transport: "tcp",
      hostname: socket.remoteAddress ?? "",
      port: socket.remotePort ?? 0,
    };
    socket.on("readable", () => this.#wake());
    socket.on("end", () => {
      this.#ended = true;
      this.#wake();
    });
    socket.on("error", (error) => {
      this.#error = error;
      this.#wake();
    });
    socket.on("close", () => {
      this.#error ??= new Error("the connection is closed");
      this.#wake();
    });
  }

  async read(into: Uint8Array): Promise<number | null> {
    for (;;) {
      const length = Math.min(this.#socket.readableLength, into.length);
      const octets = length === 0 ? null : this.#socket.read(length) as Uint8Array | null;
      if (octets !== null) {
        into.set(octets);
        return octets.length;
      }
      if (this.#ended) return null;
      if (this.#error !== undefined) throw this.#error;
      await new Promise<void>((resolve) => {
        this.#waiting = resolve;
        // Asks for more, and for `readable` or `end` when that arrives.
        this.#socket.read(0);
      });
    }
  }

  write(octets: Uint8Array): Promise<number> {
    return new Promise((resolve, reject) => {
      if (this.#error !== undefined) return reject(this.#error);
      this.#socket.write(Buffer.from(octets.buffer, octets.byteOffset, octets.length), (error) => {
        if (error) reject(error);
        else resolve(octets.length);
      });
    });
  }

  closeWrite(): Promise<void> {
    return new Promise((resolve) => this.#socket.end(resolve));
  }

  close(): void {
    this.#socket.destroy();
  }

  #wake(): void {
    const resolve = this.#waiting;
    this.#waiting = undefined;
    resolve?.();
  }
}
