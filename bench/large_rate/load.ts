// Clients that send large messages one after another, each over a connection of its own. Takes
// LargeLoad as JSON; prints `{"seconds": …}`, from the first message's MAIL to the last reply.
//
// On Bun's native sockets: the load generator must cost less than what it measures.

import { Buffer } from "node:buffer";
import process from "node:process";
import { messageOf } from "../memory/shapes.ts";
import type { LargeLoad } from "../large_rate.ts";

interface Socket<Data> {
  data: Data;
  write(octets: Uint8Array, offset?: number, length?: number): number;
  end(): void;
  upgradeTLS<Next>(options: {
    data: Next;
    tls: { rejectUnauthorized: boolean };
    socket: Sockets<Next>;
  }): [raw: Socket<Next>, tls: Socket<Next>];
}
interface Sockets<Data> {
  data?(socket: Socket<Data>, octets: Buffer): void;
  drain?(socket: Socket<Data>): void;
  handshake?(socket: Socket<Data>): void;
}
declare const Bun: {
  connect<Data>(options: {
    hostname: string;
    port: number;
    data: Data;
    socket: Sockets<Data>;
  }): Promise<Socket<Data>>;
};

const options = JSON.parse(process.argv[2]!) as LargeLoad;
const { port, clients, messages, octets, shape, recipients, username, password } = options;
const auth = Buffer.from(`\0${username}\0${password}`).toString("base64");
const END = Buffer.from(".\r\n");

/** Writes pieces as the connection takes them, and waits for a number of replies. */
class Conversation {
  readonly ready = Promise.withResolvers<void>();
  #socket: Socket<Conversation> | undefined;
  #pieces: Iterator<Buffer> | undefined;
  #rest: Buffer | undefined;
  #replies = 0;
  #text = "";
  #done = Promise.withResolvers<void>();

  secured(socket: Socket<Conversation>): void {
    this.#socket = socket;
    this.ready.resolve();
  }

  say(replies: number, pieces: Iterable<Buffer>): Promise<void> {
    this.#replies = replies;
    this.#done = Promise.withResolvers();
    this.#pieces = pieces[Symbol.iterator]();
    this.drained();
    return this.#done.promise;
  }

  received(octets: Buffer): void {
    const lines = (this.#text + octets.toString("latin1")).split("\r\n");
    this.#text = lines.pop()!;
    for (const line of lines) {
      if (!/^[23]/.test(line)) throw new Error(line);
      if (line[3] === " " && --this.#replies === 0) this.#done.resolve();
    }
  }

  drained(): void {
    for (;;) {
      const piece = this.#rest ?? this.#pieces?.next().value;
      if (piece === undefined) return;
      const written = Math.max(0, this.#socket!.write(piece, 0, piece.length));
      this.#rest = written < piece.length ? piece.subarray(written) : undefined;
      if (this.#rest !== undefined) return;
    }
  }

  end(): void {
    this.#socket!.end();
  }
}

/** Greeting, EHLO, STARTTLS, and the login. */
async function client(): Promise<Conversation> {
  const conversation = new Conversation();
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
  await conversation.say(1, [Buffer.from("EHLO bench\r\n")]);
  await conversation.say(1, [Buffer.from(`AUTH PLAIN ${auth}\r\n`)]);
  return conversation;
}

async function send(conversation: Conversation, number: number): Promise<void> {
  for (let message = 0; message < messages; message++) {
    // A mailbox for each client: messages of one mailbox wait for each other.
    const to = Array.from({ length: recipients }, (_, i) => `RCPT TO:<to${i}@example.org>\r\n`);
    const envelope = [`MAIL FROM:<sender${number}@example.com> SIZE=${octets}\r\n`, ...to];
    await conversation.say(envelope.length, [Buffer.from(envelope.join(""))]);
    await conversation.say(1, [Buffer.from("DATA\r\n")]);
    await conversation.say(1, contentOf(number));
  }
}

function* contentOf(number: number): Generator<Buffer> {
  yield* messageOf(shape, octets, number);
  yield END;
}

// An exception in a socket's callback would only be printed, and the bench would wait for ever.
process.on("uncaughtException", (error) => {
  console.error(error);
  process.exit(1);
});

const all = await Promise.all(Array.from({ length: clients }, client));
const begun = performance.now();
await Promise.all(all.map(send));
const seconds = (performance.now() - begun) / 1000;
for (const conversation of all) conversation.end();
console.log(JSON.stringify({ seconds }));
process.exit(0);
