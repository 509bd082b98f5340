// The clients' end of a connection, on an address of its own, with TLS.

import { Buffer } from "node:buffer";
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

const REPLY = /^(?:\d{3}-[^\r\n]*\r\n)*\d{3}(?: [^\r\n]*)?\r\n/;

/** Milliseconds for the relay to answer while a connection is being opened. */
const OPENING = 60_000;

/** The relay is gone, or has refused to go on. */
export class Hangup extends Error {}

/** Likewise, before the client could begin: nothing of it is lost. */
export class NotServed extends Hangup {}

export class SmtpConnection {
  #plain: Socket;
  #socket: Socket;
  #text = "";
  #ended = false;
  #wake: (() => void) | undefined;

  private constructor(socket: Socket) {
    this.#plain = this.#socket = socket;
    this.#listen(socket);
  }

  /**
   * With TLS from the first octet, by STARTTLS, or without, if so requested; EHLO is done then.
   *
   * @throws NotServed
   */
  static async open(
    port: number,
    address: string,
    implicit: boolean,
    tls = true,
  ): Promise<SmtpConnection> {
    const socket = connect({ host: "127.0.0.1", port, localAddress: address });
    let stage = "connecting";
    let late: ReturnType<typeof setTimeout>;
    const opening = SmtpConnection.#open(socket, implicit, tls, (next) => stage = next)
      .catch((error) => {
        throw error instanceof Hangup ? new NotServed(`${stage}: ${error.message}`) : error;
      });
    const tooLate = new Promise<never>((_, reject) => {
      late = setTimeout(() => {
        socket.destroy();
        reject(new NotServed(`nothing came for too long: ${stage}`));
      }, OPENING);
    });
    return await Promise.race([opening, tooLate]).finally(() => clearTimeout(late));
  }

  static async #open(
    socket: Socket,
    implicit: boolean,
    tls: boolean,
    stage: (text: string) => void,
  ): Promise<SmtpConnection> {
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", (error) => reject(new Hangup(error.message)));
      socket.once("close", () => reject(new Hangup("closed while connecting")));
    });
    const connection = new SmtpConnection(socket);
    stage("the greeting");
    if (implicit) await connection.#secure();
    await connection.#expect("220");
    stage("EHLO");
    connection.write("EHLO soak.example\r\n");
    await connection.#expect("250");
    if (tls && !implicit) {
      stage("STARTTLS");
      connection.write("STARTTLS\r\n");
      await connection.#expect("220");
      stage("TLS");
      await connection.#secure();
      stage("EHLO on TLS");
      connection.write("EHLO soak.example\r\n");
      await connection.#expect("250");
    }
    return connection;
  }

  async #expect(code: string): Promise<void> {
    const reply = await this.reply();
    if (reply.startsWith(code)) return;
    this.destroy();
    throw new Hangup(reply);
  }

  async #secure(): Promise<void> {
    this.#plain.removeAllListeners("data");
    const socket = connectTls({ socket: this.#plain, rejectUnauthorized: false });
    this.#socket = socket;
    this.#listen(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once("secureConnect", resolve);
      socket.once("error", (error) => reject(new Hangup(error.message)));
      const closed = () => reject(new Hangup("closed in the handshake"));
      socket.once("close", closed);
      this.#plain.once("close", closed);
    });
  }

  #listen(socket: Socket): void {
    socket.on("data", (octets: Buffer) => {
      this.#text += octets.toString("latin1");
      this.#wake?.();
    });
    socket.on("error", () => {});
    const end = () => {
      this.#ended = true;
      this.#wake?.();
    };
    socket.on("end", end);
    socket.on("close", end);
  }

  /** The next reply without its line end. @throws Hangup where there is none */
  async reply(): Promise<string> {
    for (;;) {
      const match = REPLY.exec(this.#text);
      if (match !== null) {
        this.#text = this.#text.slice(match[0].length);
        return match[0].trimEnd();
      }
      if (this.#ended) throw new Hangup("the relay has hung up");
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  write(octets: string | Buffer): void {
    this.#socket.write(octets);
  }

  say(line: string): Promise<string> {
    this.write(line + "\r\n");
    return this.reply();
  }

  /** Resolves when the octets have left, or the connection has. */
  written(octets: Buffer): Promise<void> {
    return new Promise((resolve) => {
      if (this.#ended) return resolve();
      const done = () => {
        this.#socket.off("close", done);
        resolve();
      };
      this.#socket.once("close", done);
      this.#socket.write(octets, done);
    });
  }

  /** FIN, with the rest of what was written before it. */
  end(): void {
    this.#socket.end();
    this.#plain.setTimeout(10_000, () => this.#plain.destroy());
  }

  destroy(): void {
    this.#plain.destroy();
  }

  /** RST: what was written and has not left is gone. */
  reset(): void {
    this.#plain.resetAndDestroy();
  }
}
