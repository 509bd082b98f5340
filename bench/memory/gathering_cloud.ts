// A cloud that holds back its responses to messages until no more arrive, so that the relay holds as many
// at once as it can. Reads as fast as messages arrive, and stores nothing. Prints its address; on `most`
// at its standard input, prints how many messages waited at once. Takes `{"calm": …}` as JSON, 0 of which
// means to respond at once.

import { Buffer } from "node:buffer";
import process from "node:process";
import { createInterface } from "node:readline";

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
      close(socket: Socket): void;
    };
  }): { readonly port: number };
};

/**
 * Milliseconds without an octet of mail after which no more messages are expected; 0: responds to each
 * at once.
 */
const { calm: CALM = 1_500 } = JSON.parse(process.argv[2] ?? "{}") as { calm?: number };

const waiting: (() => void)[] = [];
let most = 0;
let calm: ReturnType<typeof setTimeout> | undefined;

function respondToAll(): void {
  calm = undefined;
  most = Math.max(most, waiting.length);
  for (const response of waiting.splice(0)) response();
}

/** One request at a time: a head, then as many octets as it announces. */
class Conversation {
  #head: Buffer = Buffer.alloc(0);
  #left = 0;
  #line = "";
  #range = "";

  received(socket: Socket, octets: Buffer): void {
    if (calm !== undefined) calm.refresh();
    if (this.#left === 0) {
      this.#head = this.#head.length === 0 ? octets : Buffer.concat([this.#head, octets]);
      const end = this.#head.indexOf("\r\n\r\n");
      if (end < 0) return;
      const head = this.#head.toString("latin1", 0, end);
      this.#line = head.slice(0, head.indexOf("\r\n"));
      this.#range = /content-range: bytes \d+-(\d+\/\d+)/i.exec(head)?.[1] ?? "";
      const length = Number(/content-length: *(\d+)/i.exec(head)?.[1] ?? 0);
      this.#left = length - (this.#head.length - end - 4);
      this.#head = Buffer.alloc(0);
    } else {
      this.#left -= octets.length;
    }
    if (this.#left > 0) return;
    const response = responseTo(this.#line, this.#range);
    if (CALM === 0 || !/\/send(?:Mail)? /.test(this.#line)) return void socket.write(response);
    waiting.push(() => socket.write(response));
    calm ??= setTimeout(respondToAll, CALM);
  }
}

function responseTo(line: string, range: string): Buffer {
  if (line.includes("/token ")) return TOKEN;
  if (/\/send(?:Mail)? /.test(line)) return response("202 Accepted");
  if (line.startsWith("DELETE ")) return response("204 No Content");
  if (line.startsWith("PUT ")) {
    const [last, size] = range.split("/").map(Number) as [number, number];
    if (last + 1 === size) return response("201 Created", {});
    return response("200 OK", { nextExpectedRanges: [`${last + 1}-`] });
  }
  if (line.includes("/createUploadSession ")) {
    return response("201 Created", { uploadUrl: `${address}/upload` });
  }
  if (/\/(?:messages|attachments) /.test(line)) return response("201 Created", { id: "draft" });
  return response("400 Bad Request");
}

function response(status: string, body?: unknown): Buffer {
  const text = body === undefined ? "" : JSON.stringify(body);
  return Buffer.from(
    `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${text.length}\r\n\r\n` +
      text,
  );
}

const roles = ["Mail.Send", "Mail.ReadWrite"];
const claims = btoa(JSON.stringify({ roles })).replaceAll("=", "");
const TOKEN = response("200 OK", {
  token_type: "Bearer",
  expires_in: 3599,
  access_token: `e30.${claims}.${"s".repeat(1200)}`,
});

const server = Bun.listen({
  hostname: "127.0.0.1",
  port: 0,
  socket: {
    open: (socket) => void (socket.data = new Conversation()),
    data: (socket, octets) => socket.data.received(socket, octets),
    close: () => {},
  },
});
const address = `http://127.0.0.1:${server.port}`;
console.log(address);
createInterface(process.stdin).on("line", () => console.log(most));
