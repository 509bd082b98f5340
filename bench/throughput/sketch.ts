// The lower bound of the bench: a bare sketch, not a relay. It does none of a relay's work: no checks of
// addresses, logins or messages, no limits, no deadlines, no retries, no replies to anything but this
// load. It moves the same octets from the same clients to the same cloud on one thread, and so shows the
// cost of sockets, TLS and system calls alone, which a relay on this runtime can hardly undercut.
// Arguments: certificate, key, cloud's base URL, and a port, any without it. Prints its port.

import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import process from "node:process";

interface Handlers<Data> {
  open?(socket: Socket<Data>): void;
  data(socket: Socket<Data>, octets: Buffer): void;
}
interface Socket<Data> {
  data: Data;
  write(text: string): number;
  upgradeTLS(options: {
    isServer: true;
    data: Data;
    tls: { cert: string; key: string; minVersion: number };
    socket: Handlers<Data>;
  }): [raw: Socket<Data>, tls: Socket<Data>];
}
declare const Bun: {
  listen<Data>(
    options: { hostname: string; port: number; socket: Handlers<Data> },
  ): { readonly port: number };
  connect<Data>(
    options: { hostname: string; port: number; data: Data; socket: Handlers<Data> },
  ): Promise<Socket<Data>>;
};

const [certificate, key, cloud, listenPort] = process.argv.slice(2) as [
  string,
  string,
  string,
  string | undefined,
];
const tls = {
  cert: readFileSync(certificate, "utf8"),
  key: readFileSync(key, "utf8"),
  minVersion: 771, // TLS 1.2
};
const { hostname, port } = new URL(cloud);
const CONNECTIONS = 16;
const NOTHING = Buffer.alloc(0);

// The head is as long as a relay's: the cloud's tokens have this size.
const HEAD = "POST /graph/v1.0/users/sender@example.com/sendMail HTTP/1.1\r\n" +
  `Host: ${hostname}:${port}\r\nAuthorization: Bearer ${"s".repeat(1240)}\r\n` +
  "Content-Type: text/plain\r\nContent-Length: ";

/** A kept connection to the cloud, with one request at a time on it. */
interface CloudConnection {
  session: Session | undefined;
  response: string;
}
const idle: Socket<CloudConnection>[] = [];
const waiting: { readonly session: Session; readonly base64: string }[] = [];

function post(connection: Socket<CloudConnection>, session: Session, base64: string): void {
  connection.data.session = session;
  write(connection, `${HEAD}${base64.length}\r\n\r\n${base64}`);
}

function answered(connection: Socket<CloudConnection>, octets: Buffer): void {
  connection.data.response += octets.toString("latin1");
  if (!connection.data.response.includes("\r\n\r\n")) return;
  const { session, response } = connection.data;
  connection.data.response = "";
  const next = waiting.shift();
  if (next === undefined) idle.push(connection);
  else post(connection, next.session, next.base64);
  session!.reply(response.startsWith("HTTP/1.1 202") ? "250 OK\r\n" : "451 Not taken\r\n");
}

/** One client: lines until DATA, then a message until the lone dot, and so on. */
class Session {
  #socket: Socket<Session>;
  #octets: Buffer = NOTHING;
  #inMessage = false;

  constructor(socket: Socket<Session>) {
    this.#socket = socket;
  }

  reply(replies: string): void {
    write(this.#socket, replies);
  }

  received(socket: Socket<Session>, octets: Buffer): void {
    // The plain socket under TLS goes on reporting.
    if (socket !== this.#socket) return;
    this.#octets = this.#octets.length === 0 ? octets : Buffer.concat([this.#octets, octets]);
    if (this.#inMessage) this.#message();
    else this.#commands();
  }

  #message(): void {
    const end = this.#octets.indexOf("\r\n.\r\n");
    if (end < 0) return;
    const base64 = this.#octets.toString("base64", 0, end + 2);
    this.#octets = NOTHING;
    this.#inMessage = false;
    const connection = idle.pop();
    if (connection === undefined) waiting.push({ session: this, base64 });
    else post(connection, this, base64);
  }

  #commands(): void {
    const lines = this.#octets.toString("latin1").split("\r\n");
    this.#octets = Buffer.from(lines.pop()!, "latin1");
    const replies = lines.map((line) => this.#command(line)).join("");
    if (replies !== "") this.reply(replies);
    if (lines.at(-1) === "STARTTLS") this.#secure();
  }

  #command(line: string): string {
    switch (line.slice(0, 4)) {
      case "EHLO":
        return "250-sketch\r\n250-PIPELINING\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n";
      case "STAR":
        return "220 Go ahead\r\n";
      case "AUTH":
        return "235 Taken without a look\r\n";
      case "DATA":
        this.#inMessage = true;
        return "354 Go ahead\r\n";
      default:
        return "250 OK\r\n";
    }
  }

  #secure(): void {
    [, this.#socket] = this.#socket.upgradeTLS({
      isServer: true,
      data: this,
      tls,
      socket: handlers,
    });
  }
}

/** A message is small enough for the system's buffers; were it not, the bench would be wrong. */
function write<Data>(socket: Socket<Data>, text: string): void {
  if (socket.write(text) !== text.length) throw new Error("not all was written");
}

const handlers: Handlers<Session> = {
  data: (socket, octets) => socket.data.received(socket, octets),
};

for (let i = 0; i < CONNECTIONS; i++) {
  idle.push(
    await Bun.connect<CloudConnection>({
      hostname,
      port: Number(port),
      data: { session: undefined, response: "" },
      socket: { data: answered },
    }),
  );
}
const server = Bun.listen<Session>({
  hostname: "127.0.0.1",
  port: Number(listenPort ?? 0),
  socket: {
    ...handlers,
    open(socket) {
      socket.data = new Session(socket);
      socket.data.reply("220 sketch ESMTP\r\n");
    },
  },
});
console.log(server.port);
