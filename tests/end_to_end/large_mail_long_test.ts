// A message of 150 MB by SMTP to a real server: every octet arrives, and the client holds a small part of
// it at a time.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import process from "node:process";
import { describe, it } from "node:test";
import { SmtpClient } from "../../src/smtp_client/smtp_client.ts";
import { createAuthority } from "../support/authority.ts";
import { MAIL_SERVERS } from "./mail_servers.ts";

const MB = 1_000_000;
const PIECES = 150;
/** MB by which the process may grow: pieces that are not collected yet, and the sockets' buffers. */
const MAX_GROWTH = 60;

const HEAD = Buffer.from(
  "From: <alice@example.com>\r\nDate: Mon, 30 Nov 2026 03:00:00 +0000\r\n" +
    "Message-ID: <large@client.example>\r\n\r\n",
);
/** Lines, some of which begin with dots. */
const LINES = Buffer.from(
  `${"x".repeat(48)}\r\n${`.${"y".repeat(47)}\r\n`.repeat(19)}`.repeat(1000),
);

function* content(): Generator<Uint8Array> {
  yield HEAD;
  for (let i = 0; i < PIECES; i++) yield LINES;
}

describe("150 MB by SMTP", { skip: process.platform !== "linux" }, () => {
  for (
    const { name, absent, start } of MAIL_SERVERS.filter(({ name }) =>
      /^(?:Postfix|Exim)$/.test(name)
    )
  ) {
    for (const leftOut of ["", "CHUNKING"]) {
      it(
        `arrive at ${name}, ${leftOut === "" ? "by BDAT" : "by DATA"}`,
        { skip: absent },
        async () => {
          assert.equal(LINES.length, MB);
          const authority = await createAuthority("the tests' authority");
          const running = await start(await authority.issue({ names: ["localhost"] }));
          const client = new SmtpClient({
            name: "client.example",
            authorities: [authority.certificate],
          });
          const before = process.memoryUsage().rss;
          let peak = before;
          const watch = setInterval(() => peak = Math.max(peak, process.memoryUsage().rss), 20);
          try {
            const result = await client.send(
              {
                hostname: "localhost",
                port: running.ports[leftOut]!,
                tls: "starttls",
                account: "",
                maxConnections: 1,
              },
              { type: "none" },
              {
                from: "alice@example.com",
                recipients: ["bob@example.org"],
                content: { [Symbol.iterator]: content },
                size: HEAD.length + PIECES * MB,
                eightBit: false,
                smtputf8: false,
              },
              { waitTimeout: 1000, timeout: 120_000, partlyRefused: "stop" },
            );
            assert.equal(result.type, "accepted", JSON.stringify(result));
            assert.equal(result.conversation.sent, HEAD.length + PIECES * MB);
          } finally {
            clearInterval(watch);
            await client.close();
          }
          const growth = (peak - before) / MB;
          const file = await running.received("<large@client.example>");
          await running.stop();
          const expected = createHash("sha256");
          for (const piece of content()) expected.update(withoutCr(Buffer.from(piece)));
          const begin = file.indexOf("From: <alice@example.com>");
          assert.equal(
            createHash("sha256").update(file.subarray(begin)).digest("hex"),
            expected.digest("hex"),
          );
          assert.ok(growth < MAX_GROWTH, `it grew by ${growth} MB`);
        },
      );
    }
  }
});

function withoutCr(octets: Buffer): Buffer {
  return Buffer.from(octets.toString("latin1").replaceAll("\r\n", "\n"), "latin1");
}
