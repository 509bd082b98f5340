// Many clients on plain connections: each logs in, sends one small message, and stays until all have,
// or leaves at once. Takes GrowthClients as JSON; prints a line when the last message is accepted, and ends
// when it is told to.

import process from "node:process";
import { createInterface } from "node:readline";
import { SmtpConnection } from "../smtp.ts";
import type { GrowthClients } from "../growth.ts";

const { port, first, count, stay, tenant, password } = JSON.parse(
  process.argv[2]!,
) as GrowthClients;
/** Clients that are on their way to their reply at the same time. */
const AT_ONCE = 20;
/** Connections from one address. */
const PER_ADDRESS = 25;

const content = "From: <a@example.com>\r\nTo: <b@example.org>\r\nSubject: growth\r\n\r\nText.\r\n.";
const open: SmtpConnection[] = [];
let next = 0;

async function client(): Promise<void> {
  while (next < count) {
    const number = next++;
    const place = Math.floor(number / PER_ADDRESS);
    const address = `127.0.${8 + (place >> 8)}.${place & 255}`;
    const connection = await SmtpConnection.open(port, address, false, false);
    // An app of its own for each, unless all are to be one account.
    const app = (first + (stay ? 0 : number)).toString(16).padStart(12, "0");
    const login = `\0${tenant}@33333333-3333-3333-3333-${app}\0${password}`;
    for (
      const line of [
        `AUTH PLAIN ${btoa(login)}`,
        `MAIL FROM:<sender${number}@example.com>`,
        "RCPT TO:<b@example.org>",
        "DATA",
        content,
      ]
    ) {
      const reply = await connection.say(line);
      if (!/^[23]/.test(reply)) throw new Error(reply);
    }
    if (stay) open.push(connection);
    else connection.destroy();
  }
}

process.on("uncaughtException", (error) => {
  console.error(error);
  process.exit(1);
});
await Promise.all(Array.from({ length: AT_ONCE }, client));
console.log("done");
createInterface(process.stdin).once("line", () => process.exit(0));
