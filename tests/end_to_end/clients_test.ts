// Real clients send to the sandbox: Graph receives what they sent.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { after, before, describe, it } from "node:test";
import { CLIENTS } from "./clients.ts";
import { PROGRAMS, type Relay, sandbox, SECRET, USERNAME } from "./programs.ts";

const FROM = "printer@example.com";
const TO = "reader@example.org";
/** In the envelope, but in no header field: Exchange would ignore it. */
const HIDDEN = "hidden@example.org";

/** Everything that a careless relay changes: stuffed dots, 8-bit octets, odd folding, long lines. */
function message(subject: string): Buffer {
  return Buffer.from(
    [
      `From: "Scanner, 3rd floor" <${FROM}>`,
      `To: =?utf-8?q?J=C3=BCrgen?=`,
      ` <${TO}>`,
      `Subject:   ${subject}`,
      "Date: Mon, 23 Nov 2026 08:00:00 +0000",
      `Message-ID: <${subject}@example.com>`,
      "X-Odd:\t kept ",
      "MIME-Version: 1.0",
      "Content-Type: text/plain; charset=utf-8",
      "Content-Transfer-Encoding: 8bit",
      "",
      ".",
      "..",
      ".leading dot",
      "Grüße, 8-bit: äöü € 漢字",
      "trailing spaces   ",
      "",
      "x".repeat(900),
      "From here on, no mbox.",
      "",
      "",
    ].join("\r\n"),
    "utf8",
  );
}

for (const program of PROGRAMS) {
  describe(`mail through the sandbox on ${program.name}`, () => {
    let relay: Relay;
    before(async () => {
      relay = await sandbox(program);
    });
    after(async () => {
      assert.equal(await relay.running.stop("SIGINT"), 0);
    });

    for (const client of CLIENTS) {
      for (const implicitTls of [false, true]) {
        const way = implicitTls ? "TLS from the start (RFC 8314 §3.3)" : "STARTTLS (RFC 3207)";
        const subject = `${client.name}-${implicitTls ? "smtps" : "starttls"}`;
        // Skipped only where the client is not installed; CI installs all of them.
        it(
          `${client.name} delivers over ${way}, octet for octet`,
          { skip: client.absent },
          async () => {
            const sent = message(subject);
            await client.send({
              port: implicitTls ? relay.smtps : relay.smtp,
              implicitTls,
              username: USERNAME,
              password: SECRET,
              from: FROM,
              to: [TO, HIDDEN],
              message: sent,
            });
            const arrived = await received(relay, subject);
            const added =
              /^Received: from \S+ \(\[127\.0\.0\.1\]\)\r\n\tby \S+ with ESMTPSA id [0-9a-f]{16};\r\n\t[^\r\n]+\r\nBcc: hidden@example\.org\r\n/;
            const head = added.exec(arrived.toString("latin1"))?.[0];
            assert.ok(head !== undefined, arrived.toString("latin1", 0, 400));
            const expected = Buffer.concat([sent, Buffer.from(client.appends)]);
            assert.ok(arrived.subarray(head.length).equals(expected), "the octets differ");
          },
        );
      }
    }
  });
}

/** What Graph received for the message with this subject. */
async function received({ http }: Relay, subject: string): Promise<Buffer> {
  const base = `http://127.0.0.1:${http}/api/messages`;
  const list = await (await fetch(base)).json() as { id: string; subject: string }[];
  const found = list.filter((message) => message.subject.trim() === subject);
  assert.equal(found.length, 1, `${subject} arrived ${found.length} times`);
  return Buffer.from(await (await fetch(`${base}/${found[0]!.id}/raw`)).arrayBuffer());
}
