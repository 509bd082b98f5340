/** A mail server on the loopback that answers as a test says, on real sockets, with TLS if it has a certificate. */
import { Buffer } from "node:buffer";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { TLSSocket } from "node:tls";
import type { ServerCertificate } from "../support/authority.ts";

/** What the server is asked: a verb, the connection itself, or the end of a content. */
export type Question =
  | "connect"
  | "EHLO"
  | "HELO"
  | "STARTTLS"
  | "AUTH"
  | "MAIL"
  | "RCPT"
  | "DATA"
  | "BDAT"
  | "content"
  | "RSET"
  | "QUIT";

/** Octets to send; `close`: a FIN; `reset`: an RST; `silence`: nothing. */
export type Answer = { readonly say: string } | "close" | "reset" | "silence";

export interface MailServerOptions {
  /** What EHLO offers besides STARTTLS. */
  readonly extensions?: readonly string[];
  readonly certificate?: ServerCertificate | undefined;
  /** TLS from the first octet. */
  readonly implicit?: boolean;
  /** @returns undefined for what a good server would answer */
  readonly answer?: (
    question: Question,
    line: string,
    connection: MailServerConnection,
  ) => Answer | undefined;
}

const GOOD: Readonly<Record<Question, string>> = {
  connect: "220 mail.example ESMTP\r\n",
  EHLO: "",
  HELO: "250 mail.example\r\n",
  STARTTLS: "220 Ready\r\n",
  AUTH: "235 2.7.0 OK\r\n",
  MAIL: "250 2.1.0 OK\r\n",
  RCPT: "250 2.1.5 OK\r\n",
  DATA: "354 Go on\r\n",
  BDAT: "",
  content: "250 2.0.0 Queued\r\n",
  RSET: "250 2.0.0 OK\r\n",
  QUIT: "221 2.0.0 Bye\r\n",
};

export class MailServerConnection {
  /** From 0. */
  readonly index: number;
  readonly commands: string[] = [];
  /** As sent, for DATA with dots and end. */
  readonly contents: string[] = [];
  /** Resolves when the client's side has ended. */
  readonly ended: Promise<void>;
  secure = false;
  readonly #options: MailServerOptions;
  readonly #heard: () => void;
  #socket: Socket;
  #text = "";
  #mode: "commands" | "data" | number = "commands";

  constructor(index: number, socket: Socket, options: MailServerOptions, heard: () => void) {
    this.index = index;
    this.#socket = socket;
    this.#options = options;
    this.#heard = heard;
    // Each answer leaves by itself, immediately.
    socket.setNoDelay(true);
    this.ended = new Promise((resolve) => socket.on("close", () => resolve()));
    socket.on("error", () => {});
    if (options.implicit) this.#secure();
    else this.#listen();
    this.#ask("connect", "");
  }

  hasHeard(question: Question): boolean {
    if (question === "connect") return true;
    if (question === "content") return this.contents.length > 0;
    return this.commands.some((line) => line.startsWith(question));
  }

  write(text: string): void {
    this.#socket.write(Buffer.from(text, "latin1"));
  }

  /** Reads no more. */
  pause(): void {
    this.#socket.pause();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #listen(): void {
    this.#socket.on("data", (octets: Uint8Array) => {
      this.#text += Buffer.from(octets).toString("latin1");
      this.#read();
      this.#heard();
    });
    this.#socket.on("end", () => this.#socket.end());
  }

  #secure(): void {
    const { certificate, privateKey } = this.#options.certificate!;
    this.#socket.removeAllListeners("data");
    this.#socket = new TLSSocket(this.#socket, {
      isServer: true,
      cert: certificate,
      key: privateKey,
    });
    this.#socket.on("error", () => {});
    this.secure = true;
    this.#listen();
  }

  #read(): void {
    for (;;) {
      if (this.#mode === "data") {
        const end = this.#text.startsWith(".\r\n") ? 0 : this.#text.indexOf("\r\n.\r\n") + 2;
        if (end === 1) return;
        this.#take(end + 3);
      } else if (typeof this.#mode === "number") {
        if (this.#text.length < this.#mode) return;
        this.#take(this.#mode);
      } else {
        const end = this.#text.indexOf("\r\n");
        if (end < 0) return;
        const line = this.#text.slice(0, end);
        this.#text = this.#text.slice(end + 2);
        this.commands.push(line);
        const [verb = ""] = line.toUpperCase().split(" ");
        // What is no verb is a response to a challenge.
        this.#ask(verb in GOOD ? verb as Question : "AUTH", line);
      }
    }
  }

  #take(octets: number): void {
    this.contents.push(this.#text.slice(0, octets));
    this.#text = this.#text.slice(octets);
    this.#mode = "commands";
    this.#ask("content", "");
  }

  #ask(question: Question, line: string): void {
    const answer = this.#options.answer?.(question, line, this);
    if (answer === "close") return void this.#socket.end();
    if (answer === "reset") {
      if (this.#socket instanceof TLSSocket) this.#socket.destroy();
      else this.#socket.resetAndDestroy();
      return;
    }
    if (answer !== "silence") this.write(answer?.say ?? this.#good(question));
    if (answer !== undefined && question !== "DATA" && question !== "BDAT") return;
    if (question === "STARTTLS") this.#secure();
    if (question === "DATA" && (answer === undefined || isGoOn(answer))) this.#mode = "data";
    if (question === "BDAT") this.#mode = Number(line.split(" ")[1]);
    if (question === "QUIT") this.#socket.end();
  }

  #good(question: Question): string {
    if (question !== "EHLO") return GOOD[question];
    const { extensions = [], certificate } = this.#options;
    const offers = [
      ...extensions,
      ...(certificate === undefined || this.secure ? [] : ["STARTTLS"]),
    ];
    return ["mail.example", ...offers]
      .map((line, i) => `250${i < offers.length ? "-" : " "}${line}\r\n`).join("");
  }
}

function isGoOn(answer: Answer): boolean {
  return typeof answer === "object" && answer.say.startsWith("354");
}

export interface MailServerHandle {
  readonly port: number;
  readonly connections: readonly MailServerConnection[];
  /** Waits until the condition holds; checked whenever something has come in. */
  until(condition: () => boolean): Promise<void>;
  close(): Promise<void>;
}

export async function startMailServer(options: MailServerOptions = {}): Promise<MailServerHandle> {
  const connections: MailServerConnection[] = [];
  let waiting: (() => void)[] = [];
  const wake = () => {
    const all = waiting;
    waiting = [];
    for (const resolve of all) resolve();
  };
  const server = createServer((socket) => {
    connections.push(new MailServerConnection(connections.length, socket, options, wake));
    wake();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    connections,
    async until(condition) {
      while (!condition()) await new Promise<void>((resolve) => waiting.push(resolve));
    },
    close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const connection of connections) connection.destroy();
      return closed;
    },
  };
}
