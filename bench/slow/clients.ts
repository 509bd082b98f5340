// Clients that are slow on purpose, thousands of them: each does one thing, slowly, until it is
// closed, and comes back a second later. Takes SlowClients as JSON; prints `ready` once all have
// connected for the first time, and a report when it reads `end`.

import { Buffer } from "node:buffer";
import { connect, type Socket } from "node:net";
import process from "node:process";
import { createInterface } from "node:readline";
import { connect as connectTls } from "node:tls";
import type { SlowClients, SlowKind, SlowReport } from "./scenario.ts";

const options = JSON.parse(process.argv[2]!) as SlowClients;
const { port, username, password } = options;
/** Milliseconds from an octet to the next, and until a client that was closed comes back. */
const DRIP = 1000;
const BACK = 1000;
const OTHERS = ["silent", "command", "handshake", "half hello", "deaf"] as const;
/** Milliseconds in which the clients connect for the first time. */
const RAMP = 3000;
const REPLY = /^(?:\d{3}-[^\r\n]*\r\n)*(\d{3})[^\r\n]*\r\n/;

/** A record of 512 octets is announced (RFC 8446 §5.1), 43 of them come. */
const HALF_CLIENT_HELLO = Buffer.concat([
  Buffer.from("1603010200010001fc0303", "hex"),
  Buffer.alloc(32, 7),
]);

const kinds = {} as Record<SlowKind, { connected: number; held: number[]; replies: string[] }>;
const failures: Record<string, number> = {};
let connectedOnce = 0;
let ended = false;

class SlowClient {
  readonly #kind: SlowKind;
  readonly #address: string;
  /** EHLO has been sent, so that the next 220 is STARTTLS's. */
  #greeted = false;
  #socket: Socket | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;
  #seen = false;

  constructor(kind: SlowKind, address: string) {
    this.#kind = kind;
    this.#address = address;
  }

  begin(): void {
    if (ended) return;
    const begun = performance.now();
    let connected = false;
    let unread = "";
    this.#greeted = false;
    // `deaf` ones do not hang up either when the relay has: it must not wait for them.
    const socket = this.#socket = connect({
      host: "127.0.0.1",
      port,
      localAddress: this.#address,
      allowHalfOpen: this.#kind === "deaf",
    });
    const step = this.#steps();
    socket.on("connect", () => {
      connected = true;
      kinds[this.#kind].connected++;
      if (!this.#seen) {
        this.#seen = true;
        if (++connectedOnce === options.clients) console.log("ready");
      }
    });
    if (this.#kind !== "deaf") {
      socket.on("data", (octets: Buffer) => {
        unread += octets.toString("latin1");
        for (let reply = REPLY.exec(unread); reply !== null; reply = REPLY.exec(unread)) {
          unread = unread.slice(reply[0].length);
          if (reply[1] === "421") this.#count(reply[0]);
          else step(reply[1]!, socket);
        }
      });
    }
    socket.on("error", (error: NodeJS.ErrnoException) => {
      if (connected) return;
      const code = error.code ?? error.message;
      failures[code] = (failures[code] ?? 0) + 1;
    });
    socket.on("close", () => {
      clearInterval(this.#timer);
      if (connected) kinds[this.#kind].held.push(performance.now() - begun);
      if (!ended) setTimeout(() => this.begin(), BACK);
    });
  }

  end(): void {
    clearInterval(this.#timer);
    this.#socket?.destroy();
  }

  #count(reply: string): void {
    const { replies } = kinds[this.#kind];
    if (replies.length < 100_000) replies.push(reply.slice(0, 9));
  }

  #drip(socket: { write(octets: string): unknown }, octets: () => string): void {
    clearInterval(this.#timer);
    this.#timer = setInterval(() => socket.write(octets()), DRIP);
  }

  /** What follows a reply. */
  #steps(): (code: string, socket: Socket) => void {
    switch (this.#kind) {
      case "silent":
      case "deaf":
        return () => {};
      case "command":
        return (code, socket) => {
          if (code !== "220") return;
          let sent = 0;
          const line = "NOOP " + "a".repeat(400);
          this.#drip(socket, () => line[sent++ % line.length]!);
        };
      case "handshake":
      case "half hello":
        return (code, socket) => {
          if (code === "220") {
            if (!this.#greeted) this.#greet(socket);
            else if (this.#kind === "half hello") socket.write(HALF_CLIENT_HELLO);
          } else if (code === "250") socket.write("STARTTLS\r\n");
        };
      case "content":
        return (code, socket) => {
          if (code === "250") socket.write("STARTTLS\r\n");
          else if (!this.#greeted) this.#greet(socket);
          else this.#logIn(socket);
        };
    }
  }

  #greet(socket: Socket): void {
    this.#greeted = true;
    socket.write("EHLO slow.example\r\n");
  }

  /** Logs in normally, and then sends its message an octet at a time. */
  #logIn(plain: Socket): void {
    plain.removeAllListeners("data");
    const socket = connectTls({ socket: plain, rejectUnauthorized: false });
    const auth = Buffer.from(`\0${username}\0${password}`).toString("base64");
    const commands = [
      "EHLO slow.example",
      `AUTH PLAIN ${auth}`,
      "MAIL FROM:<slow@example.com>",
      "RCPT TO:<to@example.org>",
      "DATA",
    ];
    const next = () => socket.write(commands.shift()! + "\r\n");
    let unread = "";
    socket.on("secureConnect", next);
    socket.on("error", () => plain.destroy());
    socket.on("close", () => plain.destroy());
    socket.on("end", () => socket.end());
    socket.on("data", (octets: Buffer) => {
      unread += octets.toString("latin1");
      for (let reply = REPLY.exec(unread); reply !== null; reply = REPLY.exec(unread)) {
        unread = unread.slice(reply[0].length);
        const code = reply[1]!;
        if (code === "354") this.#drip(socket, () => "a");
        else if (code >= "400") {
          this.#count(reply[0]);
          socket.end();
        } else if (commands.length > 0) next();
      }
    });
  }
}

const clients: SlowClient[] = [];
for (let i = 0; i < options.clients; i++) {
  const kind = i < options.content ? "content" : OTHERS[i % OTHERS.length]!;
  kinds[kind] ??= { connected: 0, held: [], replies: [] };
  clients.push(new SlowClient(kind, options.addresses[i % options.addresses.length]!));
}

// Mixed, so that no kind comes before the others.
const order = clients.map((client, i) => ({ client, at: (i * 7919) % clients.length }));
for (const { client, at } of order) {
  setTimeout(() => client.begin(), RAMP * at / clients.length);
}

createInterface(process.stdin).on("line", () => {
  ended = true;
  for (const client of clients) client.end();
  const report: SlowReport = { kinds: {}, failures };
  for (const [kind, { connected, held, replies }] of Object.entries(kinds)) {
    const counts: Record<string, number> = {};
    for (const reply of replies) counts[reply] = (counts[reply] ?? 0) + 1;
    held.sort((a, b) => a - b);
    const median = held.length === 0 ? null : Math.round(held[held.length >> 1]!);
    report.kinds[kind] = { connected, closed: held.length, held: median, replies: counts };
  }
  console.log(JSON.stringify(report));
  process.exit(0);
});
