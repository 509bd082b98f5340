// A name server for the replay of docs/recipes.md, on 127.0.0.1:53 of a network of its own: it knows
// the relay's name, and no other (RFC 1035 §4.1).

import { Buffer } from "node:buffer";
import { createSocket } from "node:dgram";

const ADDRESSES = { "smtp.example.com": [127, 0, 0, 1], "printserver.example.net": [127, 0, 0, 2] };
const A = 1;
const NAME_ERROR = 3;

const socket = createSocket("udp4");
socket.on("message", (query, { port, address }) => {
  const labels = [];
  let at = 12;
  for (; query[at] > 0; at += query[at] + 1) {
    labels.push(query.toString("latin1", at + 1, at + 1 + query[at]));
  }
  const questionEnd = at + 5;
  const known = ADDRESSES[labels.join(".").toLowerCase()];
  const answers = known !== undefined && query.readUInt16BE(at + 1) === A ? 1 : 0;
  const header = Buffer.from(query.subarray(0, 12));
  header.writeUInt16BE(0x8580 | (known === undefined ? NAME_ERROR : 0), 2);
  header.writeUInt16BE(answers, 6);
  header.writeUInt32BE(0, 8);
  // The name is a pointer to the question's; class IN, 60 s.
  const record = Buffer.from([0xc0, 12, 0, A, 0, 1, 0, 0, 0, 60, 0, 4, ...known ?? []]);
  const question = query.subarray(12, questionEnd);
  socket.send(
    Buffer.concat([header, question, answers === 1 ? record : Buffer.alloc(0)]),
    port,
    address,
  );
});
socket.bind(53, "127.0.0.1", () => console.log("The names are served"));
