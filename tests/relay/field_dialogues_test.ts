/**
 * Dialogues of devices and scripts that went wrong in the field, with a whole relay and the imitated
 * Graph. Those that the session answers alone are in tests/smtp/dialogues/.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { connect } from "node:net";
import { after, before, describe, it } from "node:test";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { USERNAME } from "../support/logins.ts";
import { SECRET, TestRelays } from "../support/relay.ts";

const AUTH = Buffer.from(`\0${USERNAME}\0${SECRET}`).toString("base64");

describe("a relay", () => {
  const relays = new TestRelays();
  let cloud: CloudServer;
  before(async () => {
    cloud = await startCloud();
  });
  after(() => cloud.close());

  it("refuses at RCPT whom it will not send to, so that the others get the message", async () => {
    const { authed } = await relays.start({ cloud });
    const client = await authed();
    assert.match(await client.say("MAIL FROM:<scan@example.com>"), /^250/);
    assert.match(await client.say("RCPT TO:<one@example.org>"), /^250/);
    const doubtful = [
      '<"doe, john"@example.org>',
      '<"<"@example.org>',
      '<"a;b"@example.org>',
      "<=?utf-8?q?x?=@example.org>",
    ];
    for (const path of doubtful) {
      assert.match(await client.say(`RCPT TO:${path}`), /^550 5\.1\.3 /, path);
    }
    assert.match(await client.say("RCPT TO:<two@example.org>"), /^250/);
    assert.match(await client.say("DATA"), /^354/);
    assert.match(await client.say("From: scan@example.com\r\n\r\nScan\r\n."), /^250/);
    const [message] = cloud.inbox.list();
    const { to, cc, bcc } = message!;
    assert.deepEqual([...to, ...cc, ...bcc].sort(), ["one@example.org", "two@example.org"]);
    await cloud.inbox.clear();
  });

  it("sends what a script says each time that it says it, though it only ends its side", async () => {
    // All in one write, no QUIT, the write side shut, the replies read to the end: netcat, a UPS card.
    const session = `EHLO ups\r\nAUTH PLAIN ${AUTH}\r\nMAIL FROM:<ups@example.com>\r\n` +
      "RCPT TO:<it@example.org>\r\nDATA\r\nSubject: on battery\r\n\r\nOn battery\r\n.\r\n";
    const clock = new FakeClock();
    const { port } = await relays.start({ cloud, clock });
    for (let sent = 1; sent <= 3; sent++) {
      const socket = relays.keep(connect({ host: "127.0.0.1", port, allowHalfOpen: true }));
      let replies = "";
      const replied = Promise.withResolvers<void>();
      socket.setEncoding("latin1").on("data", (text: string) => {
        replies += text;
        if (replies.includes(" OK id=")) replied.resolve();
      });
      const ended = new Promise((resolve) => socket.once("end", resolve));
      socket.end(session);
      await replied.promise;
      await clock.passUntil(ended);
      assert.match(replies, /^250 2\.0\.0 OK id=\w+\r\n$/m);
      assert.equal(cloud.inbox.list().length, sent);
    }
  });
});
