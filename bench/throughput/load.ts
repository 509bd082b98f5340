// The load: connections that each log in over STARTTLS and send messages one after another. Prints
// `{"seconds": …, "sent": …}`. Arguments: port, connections, messages on each, octets of a message,
// and whether MAIL, RCPT and DATA leave together (RFC 2920) or each waits for the reply before it.
//
// On Bun's native sockets: the load generator must cost less than what it measures.

import { Buffer } from "node:buffer";
import process from "node:process";

interface Sockets<Data> {
  data?(socket: Socket<Data>, octets: Buffer): void;
  open?(socket: Socket<Data>): void;
  drain?(socket: Socket<Data>): void;
  handshake?(socket: Socket<Data>): void;
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

const [port, connections, messages, octets] = process.argv.slice(2, 6).map(Number) as [
  number,
  number,
  number,
  number,
];
const pipelining = process.argv[6] === "pipelining";
const TENANT = "11111111-1111-1111-1111-111111111111";
const CLIENT = "22222222-2222-2222-2222-222222222222";
const AUTH = Buffer.from(`\0${TENANT}@${CLIENT}\0secret`).toString("base64");
const LF = 10;

function content(sender: string): string {
  const head = `From: <${sender}>\r\nTo: <to@example.org>\r\nSubject: bench\r\n\r\n`;
  const line = "The quick brown fox jumps over the lazy dog and writes home about it.....\r\n";
  return head + line.repeat(Math.ceil((octets - head.length) / line.length)) + ".\r\n";
}

/** One client's conversation: a step is what is sent and how many replies it brings. */
class Conversation {
  readonly ready = Promise.withResolvers<void>();
  readonly done = Promise.withResolvers<void>();
  readonly #steps: readonly { readonly send: Buffer; readonly replies: number }[];
  #socket: Socket<Conversation> | undefined;
  #next = 0;
  #left = messages;
  #replies = 1;
  #rest: { octets: Buffer; offset: number } | undefined;
  #login = [`EHLO bench\r\n`, `AUTH PLAIN ${AUTH}\r\n`];

  constructor(sender: string) {
    const commands = [`MAIL FROM:<${sender}>\r\n`, "RCPT TO:<to@example.org>\r\n", "DATA\r\n"];
    const groups = pipelining ? [commands] : commands.map((command) => [command]);
    this.#steps = [...groups.map((group) => ({ text: group.join(""), replies: group.length })), {
      text: content(sender),
      replies: 1,
    }].map(({ text, replies }) => ({ send: Buffer.from(text, "latin1"), replies }));
  }

  secured(socket: Socket<Conversation>): void {
    this.#socket = socket;
    this.#write(Buffer.from(this.#login.shift()!));
  }

  send(): void {
    const step = this.#steps[this.#next++]!;
    this.#replies = step.replies;
    this.#write(step.send);
  }

  /** A reply ends with the line that has a space after its code; here, each piece ends with a line. */
  received(octets: Buffer): void {
    if (octets[octets.length - 1] !== LF) return;
    for (let start = 0; start < octets.length; start = octets.indexOf(LF, start) + 1) {
      if (octets[start]! > 0x33) throw new Error(octets.toString("latin1"));
      if (octets[start + 3] === 0x20) this.#replies--;
    }
    if (this.#replies > 0) return;
    this.#replies = 1;
    const command = this.#login.shift();
    if (command !== undefined) return this.#write(Buffer.from(command));
    if (this.#left === messages && this.#next === 0) return this.ready.resolve();
    if (this.#next < this.#steps.length) return this.send();
    this.#next = 0;
    if (--this.#left > 0) return this.send();
    this.#socket!.end();
    this.done.resolve();
  }

  drained(): void {
    if (this.#rest !== undefined) this.#write(this.#rest.octets, this.#rest.offset);
  }

  #write(octets: Buffer, offset = 0): void {
    const end = offset + this.#socket!.write(octets.subarray(offset));
    this.#rest = end < octets.length ? { octets, offset: end } : undefined;
  }
}

/** Greeting, EHLO, STARTTLS; the rest is the conversation's. */
async function client(number: number): Promise<Conversation> {
  const conversation = new Conversation(`sender${number}@example.com`);
  const commands = ["EHLO bench\r\n", "STARTTLS\r\n"];
  let plain = true;
  await Bun.connect({
    hostname: "127.0.0.1",
    port,
    data: conversation,
    socket: {
      data(socket) {
        if (!plain) return;
        const command = commands.shift();
        if (command !== undefined) {
          socket.write(Buffer.from(command));
          return;
        }
        plain = false;
        socket.upgradeTLS({
          data: conversation,
          tls: { rejectUnauthorized: false },
          socket: {
            handshake: (secure) => conversation.secured(secure),
            data: (_, octets) => conversation.received(octets),
            drain: () => conversation.drained(),
          },
        });
      },
    },
  });
  await conversation.ready.promise;
  return conversation;
}

// An exception in a socket's callback would only be printed, and the bench would wait for ever.
process.on("uncaughtException", (error) => {
  console.error(error);
  process.exit(1);
});

const clients = await Promise.all(Array.from({ length: connections }, (_, i) => client(i)));
const begun = performance.now();
for (const conversation of clients) conversation.send();
await Promise.all(clients.map(({ done }) => done.promise));
const seconds = (performance.now() - begun) / 1000;
console.log(JSON.stringify({ seconds, sent: connections * messages }));
process.exit(0);
