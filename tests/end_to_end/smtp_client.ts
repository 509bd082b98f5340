// A bare SMTP client for tests that need many connections or exact control: in plain text, or with
// TLS from the first octet.

import { Buffer } from "node:buffer";
import { connect, type Socket } from "node:net";
import { connect as connectTls, TLSSocket } from "node:tls";

export class SmtpClient {
  readonly #socket: Socket;
  #text = "";
  #ended = false;
  #wake: (() => void) | undefined;

  /**
   * @param tls any certificate is accepted
   * @param from the local address to connect from, in plain text
   */
  constructor(port: number, host = "127.0.0.1", tls = false, from?: string) {
    this.#socket = tls
      ? connectTls({ host, port, rejectUnauthorized: false })
      : connect({ host, port, ...(from === undefined ? {} : { localAddress: from }) });
    // Each piece leaves by itself, immediately.
    this.#socket.setNoDelay(true);
    this.#socket.on("data", (octets: Uint8Array) => {
      this.#text += Buffer.from(octets).toString("latin1");
      this.#wake?.();
    });
    this.#socket.on("error", () => {});
    this.#socket.on("close", () => {
      this.#ended = true;
      this.#wake?.();
    });
  }

  /** The serial number of the server's certificate, in lower case. */
  get serial(): string {
    const socket = this.#socket;
    return socket instanceof TLSSocket
      ? socket.getPeerCertificate().serialNumber.toLowerCase()
      : "";
  }

  /** The next reply, all its lines joined by LF. @throws Error if the connection ends before */
  async reply(): Promise<string> {
    for (;;) {
      const match = /^(?:\d{3}-[^\r\n]*\r\n)*\d{3}(?: [^\r\n]*)?\r\n/.exec(this.#text);
      if (match !== null) {
        this.#text = this.#text.slice(match[0].length);
        return match[0].trimEnd().replaceAll("\r\n", "\n");
      }
      if (this.#ended) {
        throw new Error(`the connection ended; unread: ${JSON.stringify(this.#text)}`);
      }
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  /** Sends a line and waits for its reply. */
  say(line: string): Promise<string> {
    this.write(line + "\r\n");
    return this.reply();
  }

  write(octets: string | Uint8Array): void {
    this.#socket.write(typeof octets === "string" ? Buffer.from(octets, "latin1") : octets);
  }

  /** Greeting, EHLO and AUTH PLAIN. @returns the reply to AUTH */
  async login(username: string, password: string): Promise<string> {
    await this.reply();
    await this.say("EHLO client.example");
    return this.say(`AUTH PLAIN ${Buffer.from(`\0${username}\0${password}`).toString("base64")}`);
  }

  /** MAIL, RCPT, DATA and a small message. @returns the reply to the message */
  async send(from: string, to: string, subject = "test"): Promise<string> {
    await this.say(`MAIL FROM:<${from}>`);
    await this.say(`RCPT TO:<${to}>`);
    const ready = await this.say("DATA");
    if (!ready.startsWith("354")) return ready;
    return this.say(`From: <${from}>\r\nTo: <${to}>\r\nSubject: ${subject}\r\n\r\nText\r\n.`);
  }

  /** Half-closes. */
  end(): void {
    this.#socket.end();
  }

  /** Waits until the server has closed. */
  async closed(): Promise<void> {
    while (!this.#ended) await new Promise<void>((resolve) => this.#wake = resolve);
  }

  /** Stops reading. */
  pause(): void {
    this.#socket.pause();
  }

  reset(): void {
    this.#socket.resetAndDestroy();
  }

  destroy(): void {
    this.#socket.destroy();
  }
}
