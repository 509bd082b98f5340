// What the owner of a connection sees of a session beyond the dialogue: stops, states, blocks.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { reply } from "../../src/smtp/reply.ts";
import { driverIn, STATES } from "./driver.ts";

const STOPPING = reply(421, "4.3.2", "relay.example is stopping");

describe("a session that is ended by the server (RFC 5321 §3.8)", () => {
  for (const state of Object.keys(STATES).filter((name) => name !== "closed")) {
    it(`says 421 and closes, ${state}`, () => {
      const driver = driverIn(state, { late: true });
      const effects = driver.session.abort(STOPPING, "the relay stops");
      assert.deepEqual(effects, [
        { type: "reply", text: "421 4.3.2 relay.example is stopping\r\n" },
        { type: "close", reason: "the relay stops" },
      ]);
      assert.deepEqual(driver.session.receive(new Uint8Array([10])), []);
      assert.deepEqual(driver.session.submitted(reply(250, "2.0.0", "OK")), []);
    });
  }

  it("says nothing where it has closed already", () => {
    assert.deepEqual(driverIn("closed").session.abort(STOPPING, "the relay stops"), []);
  });
});

describe("what a session awaits decides about timeouts (RFC 5321 §4.5.3.2)", () => {
  const awaited = (state: string) => {
    const { busy, receivingContent } = driverIn(state, { late: true }).session;
    return busy ? "an answer" : receivingContent ? "content" : "a command";
  };

  const table: Readonly<Record<string, readonly string[]>> = {
    "an answer": [
      "before a TLS handshake",
      "while a login is checked",
      "while a message is delivered",
    ],
    "content": [
      "in DATA",
      "in DATA behind a half end",
      "in DATA beyond the limit",
      "in a chunk",
      "in a refused chunk",
    ],
    "a command": [
      "behind the greeting",
      "in a command that is too long",
      "at the empty challenge of AUTH PLAIN",
      "between chunks",
      "behind RCPT",
    ],
  };
  for (const [what, states] of Object.entries(table)) {
    for (const state of states) {
      it(`awaits ${what} ${state}`, () => assert.equal(awaited(state), what));
    }
  }
});

describe("answers that nobody asked for", () => {
  it("change nothing: no login, no reply (RFC 4954 §4)", () => {
    const driver = driverIn("behind EHLO");
    assert.deepEqual(driver.session.authenticated(reply(235, "2.7.0", "OK")), []);
    assert.deepEqual(driver.session.submitted(reply(250, "2.0.0", "OK")), []);
    assert.deepEqual(driver.session.tlsStarted(), []);
    driver.feed("MAIL FROM:<alice@example.com>\r\n");
    assert.equal(driver.replies, "530 5.7.0 Authentication required\r\n");
  });
});

describe("a submitted content", () => {
  it("stays as it was handed out while the next message arrives (RFC 5321 §3.3)", () => {
    const driver = driverIn("behind RCPT", { late: true });
    const blocks = driver.session.receive(latin1("DATA\r\nfirst\r\n.\r\n"))
      .flatMap((effect) => effect.type === "submit" ? effect.content : []);
    const before = blocks.map((block) => block.slice());
    driver.session.submitted(reply(250, "2.0.0", "OK"));
    driver.feed("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nsecond message\r\n.\r\n");
    assert.equal(driver.submissions[0]?.content, "second message\r\n");
    assert.deepEqual(blocks, before);
  });
});

describe("a message to many", () => {
  it("has as many recipients as LIMITS RCPTMAX says, in order (RFC 5321 §4.5.3.1.8)", () => {
    const recipients = Array.from({ length: 500 }, (_, index) => `user${index}@example.net`);
    const driver = driverIn("behind MAIL", { maxRecipients: 500 });
    driver.feed(recipients.map((address) => `RCPT TO:<${address}>\r\n`).join(""));
    driver.feed("RCPT TO:<one-more@example.net>\r\nDATA\r\n.\r\n");
    assert.deepEqual(driver.submissions[0]?.envelope.recipients, recipients);
    assert.equal(driver.replies.match(/^250 2\.1\.5 /gm)?.length, 500);
    assert.equal(driver.replies.match(/^452 4\.5\.3 /gm)?.length, 1);
  });
});

function latin1(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}
