// A client behind a proxy, as the server sees it: octets in exactly the pieces that a test asks for, and
// TLS whose first flight the test controls.

import { Buffer } from "node:buffer";
import { connect, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { connect as connectTls, type TLSSocket } from "node:tls";

export class ProxiedClient {
  readonly #socket: Socket;
  #secure: TLSSocket | undefined;
  /** The handshake is done. */
  #encrypting = false;
  #text = "";
  #closed = false;
  #wake: (() => void)[] = [];

  static async connect(port: number, host = "127.0.0.1"): Promise<ProxiedClient> {
    const socket = connect({ host, port, noDelay: true });
    await new Promise<void>((resolve, reject) =>
      socket.once("connect", resolve).once("error", reject)
    );
    return new ProxiedClient(socket);
  }

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("error", () => {});
    socket.on("data", (octets: Uint8Array) => this.#secure === undefined && this.#read(octets));
    socket.on("close", () => this.#end());
    socket.on("end", () => this.#end());
  }

  /** Octets from the server that have not been read. */
  get text(): string {
    return this.#text;
  }

  /** Sends octets and waits until they are with the system. */
  send(octets: string | Uint8Array): Promise<void> {
    const bytes = typeof octets === "string" ? Buffer.from(octets, "latin1") : octets;
    const stream = this.#encrypting ? this.#secure! : this.#socket;
    return new Promise((resolve) => stream.write(bytes, () => resolve()));
  }

  /**
   * TLS as a client.
   *
   * @param first sends the first flight, the ClientHello, in pieces of its choice
   */
  async startTls(first: (hello: Buffer) => Promise<void>): Promise<void> {
    const socket = this.#socket;
    let begun = false;
    const transport = new Duplex({
      read() {},
      write(chunk: Buffer, _encoding, done) {
        const sending = begun
          ? new Promise<void>((sent) => socket.write(chunk, () => sent()))
          : first(chunk);
        begun = true;
        sending.then(() => done(), done);
      },
    });
    socket.on("data", (octets: Uint8Array) => transport.push(octets));
    socket.on("end", () => transport.push(null));
    socket.on("close", () => transport.destroy());
    const secure = this.#secure = connectTls({ socket: transport, rejectUnauthorized: false });
    secure.on("data", (octets: Uint8Array) => this.#read(octets));
    secure.on("end", () => socket.end());
    await new Promise<void>((resolve, reject) => {
      secure.once("secureConnect", resolve).once("error", reject);
      secure.once("close", () => reject(new Error("closed inside the handshake")));
    });
    secure.on("error", () => {});
    this.#encrypting = true;
  }

  async readLine(): Promise<string> {
    await this.#until(() => this.#text.includes("\r\n") || this.#closed);
    const end = this.#text.indexOf("\r\n");
    if (end < 0) throw new Error(`the server closed; unread: ${JSON.stringify(this.#text)}`);
    const line = this.#text.slice(0, end);
    this.#text = this.#text.slice(end + 2);
    return line;
  }

  /** Sends a command and reads its reply. @returns the last line */
  async say(command: string): Promise<string> {
    await this.send(command + "\r\n");
    let line = await this.readLine();
    while (line[3] === "-") line = await this.readLine();
    return line;
  }

  /** Waits until the server has closed. @returns what it sent before */
  async closed(): Promise<string> {
    await this.#until(() => this.#closed);
    return this.#text;
  }

  /** Half-closes. */
  end(): void {
    this.#socket.end();
  }

  reset(): void {
    this.#socket.resetAndDestroy();
  }

  destroy(): void {
    this.#secure?.destroy();
    this.#socket.destroy();
  }

  #read(octets: Uint8Array): void {
    this.#text += Buffer.from(octets).toString("latin1");
    this.#notify();
  }

  #end(): void {
    this.#closed = true;
    this.#notify();
  }

  async #until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#wake.push(resolve));
  }

  #notify(): void {
    for (const resolve of this.#wake.splice(0)) resolve();
  }
}
