// The cloud of the bench: responds as Entra and Graph do with the least work, so that the relay is what
// is measured. Prints its port. `/count` returns how many messages it has received. Argument: milliseconds
// after which it responds to a message; at once without it.
//
// On bare sockets, with only the part of HTTP/1.1 that the two relays' clients use: it shares the machine
// with what is measured, and its own cost hides part of the difference.

import { Buffer } from "node:buffer";
import process from "node:process";

interface Socket {
  data: Conversation;
  write(octets: Uint8Array): number;
}
declare const Bun: {
  listen(options: {
    hostname: string;
    port: number;
    socket: {
      open(socket: Socket): void;
      data(socket: Socket, octets: Buffer): void;
    };
  }): { readonly port: number };
};

const DELAY = Number(process.argv[2] ?? 0);
let count = 0;
const claims = btoa(JSON.stringify({ roles: ["Mail.Send"] })).replaceAll("=", "");
const TOKEN = response("200 OK", {
  token_type: "Bearer",
  expires_in: 3599,
  access_token: `e30.${claims}.${"s".repeat(1200)}`,
});
const ACCEPTED = response("202 Accepted");
const REFUSED = response("400 Bad Request");

/** One request at a time: a head, then as many octets as it announces. */
class Conversation {
  #head: Buffer = Buffer.alloc(0);
  #left = 0;
  #response: Buffer = REFUSED;

  /** @returns the response once the request is here */
  received(octets: Buffer): Buffer | undefined {
    if (this.#left === 0) {
      this.#head = this.#head.length === 0 ? octets : Buffer.concat([this.#head, octets]);
      const end = this.#head.indexOf("\r\n\r\n");
      if (end < 0) return undefined;
      const head = this.#head.toString("latin1", 0, end);
      const length = Number(/content-length: *(\d+)/i.exec(head)?.[1] ?? 0);
      this.#response = responseTo(head.slice(0, head.indexOf("\r\n")), length);
      this.#left = length - (this.#head.length - end - 4);
      this.#head = Buffer.alloc(0);
    } else {
      this.#left -= octets.length;
    }
    return this.#left === 0 ? this.#response : undefined;
  }
}

function responseTo(requestLine: string, length: number): Buffer {
  if (requestLine.startsWith("GET /count ")) return response("200 OK", { count });
  if (requestLine.includes("/token ")) return TOKEN;
  // Must be base64 of a complete message, or the bench would measure something else.
  if (!requestLine.includes("/sendMail ") || length % 4 !== 0 || length < 10_000) return REFUSED;
  count++;
  return ACCEPTED;
}

function response(status: string, body?: unknown): Buffer {
  const text = body === undefined ? "" : JSON.stringify(body);
  return Buffer.from(
    `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${text.length}\r\n\r\n` +
      text,
  );
}

const server = Bun.listen({
  hostname: "127.0.0.1",
  port: 0,
  socket: {
    open(socket) {
      socket.data = new Conversation();
    },
    data(socket, octets) {
      const response = socket.data.received(octets);
      if (response === ACCEPTED && DELAY > 0) setTimeout(() => socket.write(response), DELAY);
      else if (response !== undefined) socket.write(response);
    },
  },
});
console.log(server.port);
