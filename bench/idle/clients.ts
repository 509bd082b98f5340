// Clients that connect by TLS, say EHLO, and then stay without a word. Reads how many there shall be, a number
// a line, and answers each line when there are so many.

import { createInterface } from "node:readline";
import process from "node:process";
import { connect, type TLSSocket } from "node:tls";

/** Connections that are opened at the same time. */
const AT_ONCE = 20;

const { port } = JSON.parse(process.argv[2]!) as { readonly port: number };
const open: TLSSocket[] = [];

for await (const line of createInterface(process.stdin)) {
  const wanted = Number(line);
  while (open.length < wanted) {
    const more = Math.min(AT_ONCE, wanted - open.length);
    open.push(...await Promise.all(Array.from({ length: more }, idle)));
  }
  console.log(open.length);
}

function idle(): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port, rejectUnauthorized: false });
    let text = "";
    socket.on("data", (octets) => {
      const before = text;
      text += octets.toString("latin1");
      if (!before.includes("\n") && text.startsWith("220 ")) {
        socket.write("EHLO idle.example.com\r\n");
      }
      if (/^250 /m.test(text)) resolve(socket);
    });
    socket.once("error", reject);
    socket.once("close", () => reject(new Error(`the relay closed: ${text}`)));
  });
}
