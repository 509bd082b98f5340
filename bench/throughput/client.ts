// A client of the load: one connection, by default with STARTTLS and a login, that sends messages.
//
// On Bun's native sockets: the load generator must cost less than what it measures.

import { Buffer } from "node:buffer";

interface Sockets<Data> {
  data?(socket: Socket<Data>, octets: Buffer): void;
  open?(socket: Socket<Data>): void;
  drain?(socket: Socket<Data>): void;
  handshake?(socket: Socket<Data>): void;
  close?(socket: Socket<Data>): void;
}
interface Socket<Data> {
  data: Data;
  write(octets: Uint8Array): number;
  end(): void;
  upgradeTLS<Next>(options: {
    data: Next;
    tls: { rejectUnauthorized: boolean };
    socket: Sockets<Next>;
  }): [raw: Socket<Next>, tls: Socket<Next>];
}
declare const Bun: {
  connect<Data>(options: {
    hostname: string;
    port: number;
    data: Data;
    socket: Sockets<Data>;
  }): Promise<Socket<Data>>;
};

const TENANT = "11111111-1111-1111-1111-111111111111";
const LF = 10;

/** What one client sends. */
export interface ClientOptions {
  readonly port: number;
  /** Its number: it decides the sender. */
  readonly number: number;
  /** The number of the account that it logs in with; without one it does not log in. */
  readonly account?: number;
  readonly tls: boolean;
  /** MAIL, RCPT and DATA leave together (RFC 2920), or each waits for the reply before it. */
  readonly pipelining?: boolean;
  readonly message: Message;
}

/** The content of a message, with the dot that ends it, for the client of a number. */
export type Message = (client: number) => Buffer;

/** A text of about so many octets. */
export function text(octets: number): Message {
  const line = "The quick brown fox jumps over the lazy dog and writes home about it.....\r\n";
  return (client) => {
    const head = `From: <${senderOf(client)}>\r\nTo: <to@example.org>\r\nSubject: bench\r\n\r\n`;
    const body = line.repeat(Math.ceil((octets - head.length) / line.length));
    return Buffer.from(`${head}${body}.\r\n`, "latin1");
  };
}

/** Something that is sent, and how many replies it brings. */
interface Step {
  readonly send: Buffer;
  readonly replies: number;
}

export class LoadClient {
  /** When the content of the latest message was sent, in milliseconds of `performance.now()`. */
  contentSent = 0;
  readonly #message: readonly Step[];
  #socket!: Socket<LoadClient>;
  #steps: readonly Step[] = [];
  #next = 0;
  #replies = 1;
  #rest: { octets: Buffer; offset: number } | undefined;
  #waiting: PromiseWithResolvers<void> | undefined = Promise.withResolvers<void>();

  private constructor({ number, pipelining, message }: ClientOptions) {
    const mail = `MAIL FROM:<${senderOf(number)}>\r\n`;
    const commands = [mail, "RCPT TO:<to@example.org>\r\n", "DATA\r\n"];
    const groups = pipelining === true ? [commands] : commands.map((command) => [command]);
    this.#message = [
      ...groups.map((group) => ({ send: Buffer.from(group.join("")), replies: group.length })),
      { send: message(number), replies: 1 },
    ];
  }

  /** Connects and logs in. @throws Error with the reply if that is refused */
  static async connect(options: ClientOptions): Promise<LoadClient> {
    const client = new LoadClient(options);
    const greeted = client.#waiting!.promise;
    client.#socket = await Bun.connect<LoadClient>({
      hostname: "127.0.0.1",
      port: options.port,
      data: client,
      socket: handlers,
    });
    await greeted;
    await client.#run([step("EHLO bench\r\n")]);
    if (options.tls) {
      await client.#run([step("STARTTLS\r\n")]);
      await client.#secure();
      await client.#run([step("EHLO bench\r\n")]);
    }
    if (options.account !== undefined) {
      const digits = String(options.account).padStart(12, "0");
      const username = `${TENANT}@22222222-2222-2222-2222-${digits}`;
      const response = Buffer.from(`\0${username}\0secret`).toString("base64");
      await client.#run([step(`AUTH PLAIN ${response}\r\n`)]);
    }
    return client;
  }

  /** Sends a message. @throws Error with the reply if it is refused */
  send(): Promise<void> {
    return this.#run(this.#message);
  }

  async quit(): Promise<void> {
    await this.#run([step("QUIT\r\n")]);
    this.end();
  }

  end(): void {
    this.#socket.end();
  }

  #run(steps: readonly Step[]): Promise<void> {
    this.#steps = steps;
    this.#next = 0;
    this.#waiting = Promise.withResolvers();
    this.#step();
    return this.#waiting.promise;
  }

  #step(): void {
    const { send, replies } = this.#steps[this.#next++]!;
    this.#replies = replies;
    this.#write(send);
  }

  #secure(): Promise<void> {
    this.#waiting = Promise.withResolvers();
    const [, tls] = this.#socket.upgradeTLS<LoadClient>({
      data: this,
      tls: { rejectUnauthorized: false },
      socket: { ...handlers, handshake: () => this.#end() },
    });
    this.#socket = tls;
    return this.#waiting.promise;
  }

  /** A reply ends with the line that has a space after its code; here, each piece ends with a line. */
  received(socket: Socket<LoadClient>, octets: Buffer): void {
    // The plain socket under TLS goes on reporting. The greeting may come before the socket is known.
    if (this.#socket !== undefined && socket !== this.#socket) return;
    if (octets[octets.length - 1] !== LF) return;
    for (let start = 0; start < octets.length; start = octets.indexOf(LF, start) + 1) {
      if (octets[start]! > 0x33) return this.#end(new Error(octets.toString("latin1")));
      if (octets[start + 3] === 0x20) this.#replies--;
    }
    if (this.#replies > 0) return;
    if (this.#next < this.#steps.length) this.#step();
    else this.#end();
  }

  closed(): void {
    this.#end(new Error("the connection was closed"));
  }

  drained(): void {
    if (this.#rest !== undefined) this.#write(this.#rest.octets, this.#rest.offset);
  }

  #end(error?: Error): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (error === undefined) waiting?.resolve();
    else waiting?.reject(error);
  }

  #write(octets: Buffer, offset = 0): void {
    const end = offset + this.#socket.write(octets.subarray(offset));
    this.#rest = end < octets.length ? { octets, offset: end } : undefined;
    if (this.#rest === undefined) this.contentSent = performance.now();
  }
}

const handlers: Sockets<LoadClient> = {
  data: (socket, octets) => socket.data.received(socket, octets),
  drain: (socket) => socket.data.drained(),
  close: (socket) => socket.data.closed(),
};

function senderOf(client: number): string {
  return `sender${client}@example.com`;
}

function step(command: string): Step {
  return { send: Buffer.from(command), replies: 1 };
}
