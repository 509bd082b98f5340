// The sandbox's first message: sent through the relay's own port as any client would, with TLS and AUTH.
// The dialogue is kept for new users to read.

import { Buffer } from "node:buffer";
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { rfc5322Date } from "../message/received.ts";

export interface WelcomeOptions {
  readonly hostname: string;
  readonly port: number;
  /** Whether STARTTLS is offered. */
  readonly tls: boolean;
  /** Whether the relay expects a PROXY header from this machine. */
  readonly proxied: boolean;
  readonly username: string;
  readonly password: string;
  /** Further lines of the message: where to look, what to do next. */
  readonly lines: readonly string[];
}

const TIMEOUT_MS = 15_000;
const FROM = "sandbox@example.com";
const TO = "you@example.org";

/**
 * Sends the message.
 *
 * @returns the dialogue, one line each, with `C:` and `S:` in front, the password masked
 * @throws Error with the unexpected reply
 */
export async function sendWelcome(options: WelcomeOptions): Promise<readonly string[]> {
  const { hostname, port, tls, proxied, username, password, lines } = options;
  const dialogue: string[] = [];
  let line = new Line(connectTcp({ host: hostname, port }));
  const expect = async (code: number) => {
    for (const reply of await line.reply()) dialogue.push(`S: ${reply}`);
    const last = dialogue.at(-1)!;
    if (!last.startsWith(`S: ${code} `)) throw new Error(`the relay answered "${last.slice(3)}"`);
  };
  const say = async (command: string, code: number, shown = command) => {
    dialogue.push(`C: ${shown}`);
    line.write(command + "\r\n");
    await expect(code);
  };
  try {
    if (proxied) {
      // From a proxy itself, for no client (proxy-protocol.txt §2.1).
      dialogue.push("C: PROXY UNKNOWN");
      line.write("PROXY UNKNOWN\r\n");
    }
    await expect(220);
    await say("EHLO newcomer.example.com", 250);
    if (tls) {
      await say("STARTTLS", 220);
      dialogue.push("   (TLS handshake)");
      line = await line.secure();
      await say("EHLO newcomer.example.com", 250);
    }
    const response = Buffer.from(`\0${username}\0${password}`).toString("base64");
    await say(`AUTH PLAIN ${response}`, 235, "AUTH PLAIN (username and secret in base64)");
    await say(`MAIL FROM:<${FROM}>`, 250);
    await say(`RCPT TO:<${TO}>`, 250);
    await say("DATA", 354);
    dialogue.push("C: (the message)");
    await say(`${message(lines)}\r\n.`, 250, ".");
    await say("QUIT", 221);
  } finally {
    line.destroy();
  }
  return dialogue;
}

function message(lines: readonly string[]): string {
  return [
    `Date: ${rfc5322Date(new Date())}`,
    `From: The sandbox <${FROM}>`,
    `To: <${TO}>`,
    "Subject: Welcome: the relay relays",
    `Message-ID: <${crypto.randomUUID()}@example.com>`,
    "MIME-Version: 1.0",
    "Content-Type: text/plain; charset=utf-8",
    "",
    "This message arrived over SMTP, with a login. The relay exchanged the login for a token at a",
    "simulated Entra ID, and handed the message to a simulated Microsoft Graph. Your devices' mail",
    "will take the same path.",
    "",
    ...lines,
  ].map((line) => line.startsWith(".") ? `.${line}` : line).join("\r\n");
}

/** A connection that is read reply by reply. */
class Line {
  readonly #socket: Socket;
  #text = "";
  #lines: string[] = [];
  #waiting: { resolve: (lines: string[]) => void; reject: (error: Error) => void } | undefined;
  #error: Error | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.setTimeout(TIMEOUT_MS, () => socket.destroy(new Error("no response in time")));
    socket.on(
      "data",
      (octets: Uint8Array) => this.#received(Buffer.from(octets).toString("latin1")),
    );
    socket.on("error", (error) => this.#broken(error));
    socket.on("close", () => this.#broken(new Error("the connection was closed")));
  }

  write(text: string): void {
    this.#socket.write(text);
  }

  reply(): Promise<string[]> {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#settle();
    });
  }

  /** Continues in TLS; this process has just created the certificate itself. */
  secure(): Promise<Line> {
    this.#socket.removeAllListeners();
    return new Promise((resolve, reject) => {
      const socket = connectTls({ socket: this.#socket, rejectUnauthorized: false });
      socket.once("error", reject);
      socket.once("secureConnect", () => {
        socket.off("error", reject);
        resolve(new Line(socket));
      });
    });
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #received(text: string): void {
    this.#text += text;
    for (let end = this.#text.indexOf("\r\n"); end >= 0; end = this.#text.indexOf("\r\n")) {
      this.#lines.push(this.#text.slice(0, end));
      this.#text = this.#text.slice(end + 2);
    }
    this.#settle();
  }

  #broken(error: Error): void {
    this.#error ??= error;
    this.#settle();
  }

  /** A reply ends with the first line that has a space after its code (RFC 5321 §4.2.1). */
  #settle(): void {
    if (this.#waiting === undefined) return;
    const last = this.#lines.findIndex((line) => /^\d{3}(?: |$)/.test(line));
    const { resolve, reject } = this.#waiting;
    if (last >= 0) {
      this.#waiting = undefined;
      resolve(this.#lines.splice(0, last + 1));
    } else if (this.#error !== undefined) {
      this.#waiting = undefined;
      reject(this.#error);
    }
  }
}
