// The SMTP client with real servers, with and without PIPELINING, CHUNKING and SMTPUTF8: what arrives is
// what was sent, to the octet.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { after, before, describe, it } from "node:test";
import { Secret } from "../../src/secret.ts";
import type { Login, MailServer, OutgoingMessage } from "../../src/smtp_client/mail_client.ts";
import { SmtpClient } from "../../src/smtp_client/smtp_client.ts";
import { createAuthority } from "../support/authority.ts";
import { MAIL_SERVERS, type RunningMailServer } from "./mail_servers.ts";

const authority = await createAuthority("the tests' authority");
const certificate = await authority.issue({ names: ["localhost"] });

const OPTIONS = { waitTimeout: 30_000, timeout: 60_000, partlyRefused: "send" } as const;
let count = 0;

/** What a server puts before a message. */
const ADDED =
  /^(?:(?:Received|Return-Path|Delivered-To|X-Original-To|Envelope-To|Delivery-date|X-Peer|X-MailFrom|X-RcptTo): [^\n]*\n(?:[ \t][^\n]*\n)*)*$/i;

/** Messages that are hard to carry, by name. Each ends in CRLF. */
const BODIES: Readonly<Record<string, string>> = {
  "with dots at the beginning of lines (RFC 5321 §4.5.2)":
    ".\r\n..\r\n.a\r\n\r\n.\r\na.\r\n.. b\r\n.\r\n",
  "in UTF-8 (RFC 6152)": "Grüße aus Köln, 漢字\r\n".repeat(50),
  "with long lines and none": `${"x".repeat(998)}\r\n\r\n\r\n${"y ".repeat(499)}\r\n`,
  "of 2 MB": `${".".repeat(30)} some text that goes on to the end of its line, 78 octets\r\n`
    .repeat(25_000),
};

for (const { name, absent, start } of MAIL_SERVERS) {
  describe(`mail by ${name}`, { skip: absent }, () => {
    const client = new SmtpClient({
      name: "client.example",
      authorities: [authority.certificate],
    });
    let running: RunningMailServer;
    before(async () => {
      running = await start(certificate);
    });
    after(async () => {
      await client.close();
      await running.stop();
    });

    async function send(
      port: number,
      body: string,
      { login = { type: "none" }, ...changes }: Partial<OutgoingMessage & MailServer> & {
        login?: Login;
      } = {},
    ) {
      const id = `<${++count}@client.example>`;
      const text = `From: <alice@example.com>\r\nDate: Mon, 30 Nov 2026 03:00:00 +0000\r\n` +
        `Message-ID: ${id}\r\nSubject: test\r\n\r\n${body}`;
      const content = Buffer.from(text, "utf8");
      const server: MailServer = {
        hostname: "localhost",
        port,
        tls: "starttls",
        account: login.type,
        limit: { connections: 2 },
        ...changes,
      };
      const result = await client.send(server, login, {
        from: "alice@example.com",
        recipients: ["bob@example.org"],
        content: [content],
        size: content.length,
        eightBit: content.length !== text.length,
        smtputf8: false,
        ...changes,
      }, OPTIONS);
      return { result, id, content };
    }

    /** The message, without what the server has put before it. */
    async function arrived(id: string, content: Buffer): Promise<void> {
      const file = (await running.received(id)).toString("latin1").replaceAll("\r\n", "\n");
      const sent = content.toString("latin1").replaceAll("\r\n", "\n");
      assert.ok(file.endsWith(sent), `not as it was sent: ${file.slice(0, 500)}`);
      assert.match(file.slice(0, -sent.length), ADDED);
    }

    it("arrives as it was sent, whatever EHLO leaves out", async () => {
      for (const [leftOut, port] of Object.entries(running.ports)) {
        for (const [what, body] of Object.entries(BODIES)) {
          const { result, id, content } = await send(port, body);
          assert.equal(result.type, "accepted", `${what}, without ${leftOut}: ${show(result)}`);
          await arrived(id, content);
        }
      }
    });

    it("goes by one connection with its extensions, which are as the test wants them", async () => {
      for (const [leftOut, port] of Object.entries(running.ports)) {
        const probed = await client.probe(
          {
            hostname: "localhost",
            port,
            tls: "starttls",
            account: "",
            limit: { connections: 1 },
          },
          { type: "none" },
          { timeout: 30_000 },
        );
        assert.ok(probed.type === "ready", show(probed));
        for (const extension of leftOut.split(" ")) {
          assert.ok(!probed.extensions.has(extension), `it offers ${extension}`);
        }
      }
    });

    it("needs SMTPUTF8 for addresses in UTF-8 (RFC 6531), and is refused unsent without", async () => {
      for (const [leftOut, port] of Object.entries(running.ports)) {
        const { result, id, content } = await send(port, "text\r\n", {
          recipients: ["jürgen@example.org"],
        });
        if (leftOut.includes("SMTPUTF8")) {
          assert.deepEqual(result.type === "refused" && result.own, "SMTPUTF8");
        } else {
          assert.equal(result.type, "accepted", show(result));
          await arrived(id, content);
        }
      }
    });

    it("goes with each login, many on one connection, and with none that is wrong", async () => {
      const [port = 0] = Object.values(running.ports);
      for (const login of running.logins) {
        const all = await Promise.all(
          Array.from({ length: 10 }, () => send(port, "text\r\n", { login })),
        );
        for (const { result, id, content } of all) {
          assert.equal(result.type, "accepted", show(result));
          await arrived(id, content);
        }
        assert.ok(all.some(({ result }) => result.conversation.reused));
        assert.ok(all.every(({ result }) => result.conversation.tls));
        if (login.type !== "password") continue;
        const wrong: Login = { ...login, password: new Secret("another-secret") };
        const { result } = await send(port, "text\r\n", { login: wrong, account: "wrong" });
        assert.deepEqual(result.type === "refused" && [result.stage, result.reply.code], [
          "AUTH",
          535,
        ]);
      }
    });

    it("is not sent to a server whose certificate is for another name", async () => {
      const [port = 0] = Object.values(running.ports);
      const { result } = await send(port, "text\r\n", { hostname: "127.0.0.1" });
      assert.deepEqual(result.type === "failed" && [result.stage, result.code], [
        "STARTTLS",
        "ERR_TLS_CERT_ALTNAME_INVALID",
      ]);
    });
  });
}

function show(result: unknown): string {
  return JSON.stringify(result);
}
