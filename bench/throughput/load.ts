// The load: connections that each log in over STARTTLS and send messages one after another, each
// command waiting for its reply, as devices do. Prints `{"seconds": …, "sent": …}`.
// Arguments: port, connections, messages on each, octets of a message.

import { Buffer } from "node:buffer";
import { connect, type Socket } from "node:net";
import process from "node:process";
import { connect as connectTls } from "node:tls";

const [port, connections, messages, octets] = process.argv.slice(2).map(Number) as [
  number,
  number,
  number,
  number,
];
const TENANT = "11111111-1111-1111-1111-111111111111";
const CLIENT = "22222222-2222-2222-2222-222222222222";
const auth = Buffer.from(`\0${TENANT}@${CLIENT}\0secret`).toString("base64");

function content(sender: string): string {
  const head = `From: <${sender}>\r\nTo: <to@example.org>\r\nSubject: bench\r\n\r\n`;
  const line = "The quick brown fox jumps over the lazy dog and writes home about it.....\r\n";
  return head + line.repeat(Math.ceil((octets - head.length) / line.length)) + ".\r\n";
}

/** Sends one command and awaits its reply. */
function dialogue(socket: Socket) {
  let wanted: ((line: string) => void) | undefined;
  let text = "";
  const settle = () => {
    const before = text.lastIndexOf("\r\n", text.length - 3);
    const end = before < 0 ? 0 : before + 2;
    if (wanted === undefined || !text.endsWith("\r\n") || text[end + 3] !== " ") return;
    const last = text.slice(end);
    const resolve = wanted;
    text = "";
    wanted = undefined;
    resolve(last);
  };
  socket.on("data", (chunk: Uint8Array) => {
    text += Buffer.from(chunk).toString("latin1");
    settle();
  });
  return (command: string, code: string) =>
    new Promise<void>((resolve, reject) => {
      wanted = (line) =>
        line.startsWith(code) ? resolve() : reject(new Error(`${command.slice(0, 40)}: ${line}`));
      if (command !== "") socket.write(command, "latin1");
      settle();
    });
}

async function client(number: number): Promise<() => Promise<void>> {
  const plain = connect({ host: "127.0.0.1", port, noDelay: true });
  let say = dialogue(plain);
  await say("", "220");
  await say("EHLO bench\r\n", "250");
  await say("STARTTLS\r\n", "220");
  plain.removeAllListeners("data");
  const socket = connectTls({ socket: plain, rejectUnauthorized: false });
  await new Promise((resolve, reject) =>
    socket.once("secureConnect", resolve).once("error", reject)
  );
  say = dialogue(socket);
  await say("EHLO bench\r\n", "250");
  await say(`AUTH PLAIN ${auth}\r\n`, "235");
  const sender = `sender${number}@example.com`;
  const mail = content(sender);
  return async () => {
    for (let i = 0; i < messages; i++) {
      await say(`MAIL FROM:<${sender}>\r\n`, "250");
      await say("RCPT TO:<to@example.org>\r\n", "250");
      await say("DATA\r\n", "354");
      await say(mail, "250");
    }
    socket.end("QUIT\r\n");
  };
}

const clients = await Promise.all(Array.from({ length: connections }, (_, i) => client(i)));
const begun = performance.now();
await Promise.all(clients.map((send) => send()));
const seconds = (performance.now() - begun) / 1000;
console.log(JSON.stringify({ seconds, sent: connections * messages }));
process.exit(0);
