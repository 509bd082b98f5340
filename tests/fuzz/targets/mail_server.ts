// What mail servers say to the relay's client: any replies, in any pieces. The driver holds the rules.

import assert from "node:assert/strict";
import { ReplyReader } from "../../../src/smtp_client/reply_reader.ts";
import { serverReply } from "../../../src/smtp_client/server_reply.ts";
import { ClientDriver, LOGINS, TLS_MODES } from "../../smtp_client/driver.ts";
import { inPieces, Input, type Target, UNPRINTABLE } from "../engine/target.ts";

const RECIPIENTS = [["bob@example.org"], ["a@example.org", "jürgen@example.org"]];

/** The replies that are whole, and what ends them. */
function read(octets: Uint8Array, cuts: readonly number[]): unknown[] {
  const reader = new ReplyReader();
  const found: unknown[] = [];
  for (const piece of inPieces(octets, cuts)) {
    reader.add(piece);
    for (let reply = reader.next(); reply !== undefined; reply = reader.next()) {
      found.push(reply);
      if (typeof reply === "string") return found;
      const { text, enhanced, code } = serverReply(reply, []);
      assert.ok(!UNPRINTABLE.test(text) && text.length <= 503);
      if (enhanced !== undefined) assert.equal(enhanced[0], String(code)[0]);
    }
  }
  return found;
}

export const mailServer: Target = {
  name: "mail_server",
  run(octets) {
    const input = new Input(octets);
    const scenario = {
      login: input.pick(LOGINS),
      tls: input.pick(TLS_MODES),
      envelopes: [
        { recipients: input.pick(RECIPIENTS), partlyRefused: "send", size: 5000 },
        { recipients: input.pick(RECIPIENTS), partlyRefused: "stop", smtputf8: input.flag() },
      ],
    } as const;
    const cut = 1 + input.byte();
    const said = input.rest();
    assert.deepEqual(read(said, [cut, 1, 3]), read(said, []), "however the octets are cut up");
    // At a line's end, as servers send them, and anywhere.
    for (const pieces of [inPieces(said, [cut]), said.toString("latin1").split(/(?<=\n)/)]) {
      const driver = new ClientDriver(scenario);
      for (const piece of pieces) driver.feed(piece);
      driver.end();
    }
  },
  seeds: [
    "\0\0\0\0\0\xff220 x\r\n250-x\r\n250 PIPELINING\r\n250 a\r\n250 b\r\n354 c\r\n250 d\r\n250 e\r\n",
    "\x01\x01\0\x01\0\xff220 x\r\n250-x\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n220 go\r\n250-x\r\n" +
    "250-CHUNKING\r\n250-SMTPUTF8\r\n250-AUTH LOGIN\r\n250 SIZE 100\r\n334 x\r\n334 y\r\n235 z\r\n",
    "\x02\x02\0\0\0\xff220 x\r\n250-x\r\n250-AUTH XOAUTH2\r\n250 SIZE\r\n334 eyJ9\r\n535 5.7.8 x\r\n",
    "\0\0\0\x01\0\xff220 x\r\n502 x\r\n250 x\r\n250 a\r\n550 b\r\n250 c\r\n250 d\r\n250 e\r\n550 f\r\n",
    "\0\0\x01\0\0\x03220 x\r\n250-x\r\n250-SMTPUTF8\r\n250 CHUNKING\r\n250 a\r\n450 b\r\n250 c\r\n",
    "\0\x01\0\0\0\xff220 x\r\n250-x\r\n250 STARTTLS\r\n220 go\r\n250 injected\r\n",
  ],
  words: [
    ..."\r\n|\n|\r|-| |220 |250 |250-|354 |334 |235 |421 |450 |550 |552 |5.1.1 |199 |600 ".split(
      "|",
    ),
    ..."PIPELINING\r\n|CHUNKING\r\n|SIZE 10\r\n|SIZE 0\r\n|8BITMIME\r\n|SMTPUTF8\r\n".split("|"),
    ..."STARTTLS\r\n|AUTH PLAIN LOGIN\r\n|AUTH XOAUTH2\r\n|AUTH=OAUTHBEARER\r\n|\0|\x1b|\xff|eyJ9"
      .split(
        "|",
      ),
    "x".repeat(2100),
    "250-x\r\n".repeat(200),
  ],
};
