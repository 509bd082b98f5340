// A mail server that takes everything and keeps nothing, in a process of its own: it prints its port, and
// gets certificate and key as files. It offers STARTTLS and PIPELINING, as every smart host does, and
// CHUNKING if the third argument is that word.

import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import { type AddressInfo, createServer, type Socket } from "node:net";
import process from "node:process";
import { TLSSocket } from "node:tls";

const [certificate = "", privateKey = "", chunking] = process.argv.slice(2);
const identity = { cert: readFileSync(certificate), key: readFileSync(privateKey) };
const END = Buffer.from("\r\n.\r\n");

const server = createServer({ noDelay: true }, (socket) => {
  socket.on("error", () => {});
  socket.write("220 sink ESMTP\r\n");
  listen(socket, false);
});
server.listen(0, "127.0.0.1", () => console.log((server.address() as AddressInfo).port));

function listen(socket: Socket, secure: boolean): void {
  let rest: Buffer = Buffer.alloc(0);
  /** Octets of a chunk that are still to come, or `data`. */
  let content: number | "data" | undefined;
  const read = (octets: Buffer) => {
    let input = rest.length === 0 ? octets : Buffer.concat([rest, octets]);
    let replies = "";
    for (;;) {
      if (content === "data") {
        const end = input.indexOf(END);
        if (end < 0) {
          // A copy, so that the whole segment is not kept for it.
          input = Buffer.from(input.subarray(-(END.length - 1)));
          break;
        }
        input = input.subarray(end + END.length);
        replies += "250 2.0.0 OK\r\n";
        content = undefined;
      } else if (content !== undefined) {
        const taken = Math.min(content, input.length);
        input = input.subarray(taken);
        content -= taken;
        if (content > 0) break;
        replies += "250 2.0.0 OK\r\n";
        content = undefined;
      } else {
        const end = input.indexOf("\r\n");
        if (end < 0) break;
        const line = input.toString("latin1", 0, end);
        input = input.subarray(end + 2);
        const verb = line.slice(0, 4).toUpperCase();
        if (verb === "EHLO") {
          replies += "250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n";
          if (chunking === "CHUNKING") replies += "250-CHUNKING\r\n";
          replies += secure ? "250 SIZE\r\n" : "250 STARTTLS\r\n";
        } else if (verb === "STAR") {
          socket.removeListener("data", read);
          socket.write("220 2.0.0 Ready\r\n");
          const tls = new TLSSocket(socket, { isServer: true, ...identity });
          tls.on("error", () => {});
          return listen(tls, true);
        } else if (verb === "DATA") {
          replies += "354 Go on\r\n";
          content = "data";
        } else if (verb === "BDAT") content = Number(line.split(" ")[1]);
        else if (verb === "QUIT") {
          socket.end("221 2.0.0 Bye\r\n");
          return;
        } else replies += "250 2.0.0 OK\r\n";
      }
    }
    rest = input;
    if (replies !== "") socket.write(replies);
  };
  socket.on("data", read);
}
