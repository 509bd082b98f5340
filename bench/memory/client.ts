// Sends one message over STARTTLS and AUTH. Arguments: port and octets of the message; of 0 octets,
// a short text. Prints the reply.

import process from "node:process";
import { Readable } from "node:stream";
import { createTransport } from "nodemailer";
import { filesFor, largeMessage } from "../../tests/support/large_message.ts";
import { SECRET, USERNAME } from "../../tests/end_to_end/programs.ts";

const [port, octets] = process.argv.slice(2).map(Number) as [number, number];
const transport = createTransport({
  host: "127.0.0.1",
  port,
  requireTLS: true,
  tls: { rejectUnauthorized: false },
  auth: { user: USERNAME, pass: SECRET },
  socketTimeout: 300_000,
});
const short = "From: ann@x.test\r\nTo: bea@x.test\r\n\r\nhello\r\n";
const { response } = await transport.sendMail({
  envelope: { from: "ann@x.test", to: ["bea@x.test"] },
  raw: octets === 0 ? short : Readable.from(largeMessage(filesFor(octets))),
});
console.log(response);
transport.close();
