/**
 * Firmware and small libraries search the octets of the reply to EHLO for the words
 * that they know from elsewhere (`250-STARTTLS`, `250-AUTH`), take the first mechanism, and wait for
 * `250 ` at the start of a last line. RFC 5321 §4.1.1.1 leaves the order of the lines to the server;
 * the Python relay's has HELP last, so that every extension follows `250-`.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { connect, type Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import { connect as connectTls } from "node:tls";
import { PROGRAMS, type Relay, sandbox, SECRET, USERNAME } from "./programs.ts";

class NaiveClient {
  #socket: Socket;

  constructor(port: number) {
    this.#socket = connect({ port, host: "127.0.0.1" });
  }

  /** Reads until a line begins with this, without parsing. */
  expect(start: string): Promise<string> {
    return new Promise((resolve, reject) => {
      let text = "";
      const socket = this.#socket;
      const take = (octets: Uint8Array) => {
        text += Buffer.from(octets).toString("latin1");
        if (!`\n${text}`.includes(`\n${start}`) || !text.endsWith("\r\n")) return;
        socket.off("data", take);
        resolve(text);
      };
      socket.on("data", take);
      socket.once("close", () => reject(new Error(`${start} never came: ${text}`)));
    });
  }

  say(line: string, start: string): Promise<string> {
    const answer = this.expect(start);
    this.#socket.write(line + "\r\n");
    return answer;
  }

  async startTls(): Promise<void> {
    await this.say("STARTTLS", "220");
    this.#socket.removeAllListeners("close");
    const secure = connectTls({ socket: this.#socket, rejectUnauthorized: false });
    await new Promise<void>((resolve) => secure.once("secureConnect", () => resolve()));
    this.#socket = secure;
  }

  /** Sends one message by what it finds in the replies to EHLO. @returns the last reply */
  async send(from: string, to: string): Promise<string> {
    await this.expect("220");
    let ehlo = await this.say("EHLO printer", "250 ");
    if (ehlo.includes("250-STARTTLS")) {
      await this.startTls();
      ehlo = await this.say("EHLO printer", "250 ");
    }
    const [, mechanism = "none"] = /250-AUTH ([A-Z0-9-]+)/.exec(ehlo) ?? [];
    assert.equal(mechanism, "LOGIN", ehlo);
    await this.say("AUTH LOGIN", "334");
    await this.say(Buffer.from(USERNAME).toString("base64"), "334");
    await this.say(Buffer.from(SECRET).toString("base64"), "235");
    await this.say(`MAIL FROM:<${from}>`, "250");
    await this.say(`RCPT TO:<${to}>`, "250");
    await this.say("DATA", "354");
    const reply = await this.say("Subject: naive\r\n\r\nAll is well.\r\n.", "250 ");
    await this.say("QUIT", "221");
    return reply;
  }
}

const CASES = [
  ["with TLS", {}],
  ["where TLS is offered, and not demanded", { REQUIRE_TLS: "false" }],
  ["without TLS", { REQUIRE_TLS: "false", TLS_SOURCE: "off", SMTPS_LISTEN: "" }],
  ["with the mechanisms for tokens", { AUTH_MECHANISMS: "LOGIN,PLAIN,XOAUTH2,OAUTHBEARER" }],
] as const;

for (const program of PROGRAMS) {
  for (const [how, environment] of CASES) {
    describe(`a client that searches the reply to EHLO, ${how}, on ${program.name}`, () => {
      let relay: Relay;
      before(async () => {
        relay = await sandbox(program, environment);
      });
      after(async () => {
        assert.equal(await relay.running.stop("SIGINT"), 0);
      });

      it("finds its words, and sends", async () => {
        const reply = await new NaiveClient(relay.smtp).send("printer@example.com", "a@x.example");
        assert.match(reply, /^250 2\.0\.0 OK id=/);
      });

      it("finds HELP in the last line of the reply, and nothing else there", async () => {
        const client = new NaiveClient(relay.smtp);
        await client.expect("220");
        const ehlo = await client.say("EHLO printer", "250 ");
        assert.match(ehlo, /^(?:250-[^\r\n]+\r\n)+250 HELP\r\n$/);
        await client.say("QUIT", "221");
      });
    });
  }
}
