// Messages of 150 MB by SMTP to real servers: every octet arrives, and the client holds a small part of
// them at a time.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import { SmtpClient } from "../../src/smtp_client/smtp_client.ts";
import { createAuthority } from "../support/authority.ts";
import { MAIL_SERVERS, type RunningMailServer } from "./mail_servers.ts";

const MB = 1_000_000;
const PIECES = 150;
/** MB by which the process may grow: pieces that are not collected yet, and the sockets' buffers. */
const MAX_GROWTH = 100;

/** Lines, some of which begin with dots. */
const LINES = Buffer.from(
  `${"x".repeat(48)}\r\n${`.${"y".repeat(47)}\r\n`.repeat(19)}`.repeat(1000),
);
/** As a server on Unix keeps them. */
const KEPT_LINES = Buffer.from(LINES.toString().replaceAll("\r\n", "\n"));

function headOf(id: string): Buffer {
  return Buffer.from(
    "From: <alice@example.com>\r\nDate: Mon, 30 Nov 2026 03:00:00 +0000\r\n" +
      `Message-ID: ${id}\r\n\r\n`,
  );
}

const programs = MAIL_SERVERS.filter(({ name }) => name === "Postfix" || name === "Exim");
const ways = programs.flatMap(({ name }) => [
  { name, leftOut: "", command: "BDAT" },
  { name, leftOut: "CHUNKING", command: "DATA" },
]).map((way, i) => ({ ...way, id: `<${i}@client.example>` }));
const absent = programs.map(({ absent }) => absent).find((reason) => reason !== false) ?? false;

describe("150 MB by SMTP", { skip: absent }, () => {
  const servers = new Map<string, RunningMailServer>();
  let client: SmtpClient;
  before(async () => {
    const authority = await createAuthority("the tests' authority");
    const certificate = await authority.issue({ names: ["localhost"] });
    for (const { name, start } of programs) servers.set(name, await start(certificate));
    client = new SmtpClient({ name: "client.example", authorities: [authority.certificate] });
  });
  after(async () => {
    await client.close();
    for (const server of servers.values()) await server.stop();
  });

  for (const { name, leftOut, command, id } of ways) {
    it(`are taken by ${name}, by ${command}, in bounded memory`, async () => {
      const head = headOf(id);
      function* content(): Generator<Uint8Array> {
        yield head;
        for (let i = 0; i < PIECES; i++) yield LINES;
      }
      const before = process.memoryUsage().rss;
      let peak = before;
      const watch = setInterval(() => peak = Math.max(peak, process.memoryUsage().rss), 20);
      const size = head.length + PIECES * LINES.length;
      const result = await client.send(
        {
          hostname: "localhost",
          port: servers.get(name)!.ports[leftOut]!,
          tls: "starttls",
          account: "",
          limit: { connections: 1 },
        },
        { type: "none" },
        {
          from: "alice@example.com",
          recipients: ["bob@example.org"],
          content: content(),
          size,
          eightBit: false,
          smtputf8: false,
        },
        { waitTimeout: 1000, timeout: 120_000, partlyRefused: "stop" },
      ).finally(() => clearInterval(watch));
      assert.equal(result.type, "accepted", JSON.stringify(result));
      assert.equal(result.conversation.sent, size);
      const growth = (peak - before) / MB;
      assert.ok(growth < MAX_GROWTH, `it grew by ${growth} MB`);
    });
  }

  // Later, for these tests need the memory themselves.
  for (const { name, command, id } of ways) {
    it(`are kept by ${name} as they were sent by ${command}`, async () => {
      const file = await servers.get(name)!.received(id);
      const head = headOf(id).toString().replaceAll("\r\n", "\n");
      let at = file.indexOf(head) + head.length;
      assert.equal(file.length - at, PIECES * KEPT_LINES.length);
      for (; at < file.length; at += KEPT_LINES.length) {
        assert.ok(file.subarray(at, at + KEPT_LINES.length).equals(KEPT_LINES), `octets at ${at}`);
      }
    });
  }
});
