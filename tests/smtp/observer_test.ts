// What an observer of a session receives: the dialogue, without secrets.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import { Session } from "../../src/smtp/session.ts";
import { REPLIES } from "../../src/smtp/reply.ts";

const OPTIONS = {
  hostname: "relay.example",
  greeting: "ESMTP",
  maxMessageSize: 1_000_000,
  maxRecipients: 10,
  offerTls: true,
};
const USERNAME = Buffer.from("tenant@client").toString("base64");
const PASSWORD = Buffer.from("Winter-2026!").toString("base64");
const PLAIN = Buffer.from("\0tenant@client\0Winter-2026!").toString("base64");

/** A session, and the dialogue that its observer gets. */
function open(options = {}) {
  const lines: string[] = [];
  const session = new Session({ ...OPTIONS, requireTls: false, ...options });
  session.observe({
    command: (shown) => lines.push(`C: ${shown}`),
    reply: (text) => lines.push(...text.trimEnd().split("\r\n").map((line) => `S: ${line}`)),
  });
  session.open();
  return {
    lines,
    session,
    say: (...said: string[]) =>
      session.receive(Buffer.from(said.map((line) => `${line}\r\n`).join(""), "utf8")),
  };
}

function assertSecret(lines: readonly string[]): void {
  const all = lines.join("\n");
  for (const secret of [USERNAME, PASSWORD, PLAIN, PASSWORD.slice(0, 8), "Winter"]) {
    assert.ok(!all.includes(secret), all);
  }
}

describe("an observer of a session", () => {
  it("gets commands and replies in order, and only the size of a message", () => {
    const { lines, say, session } = open();
    say("ehlo device.example");
    say("AUTH PLAIN " + PLAIN);
    session.authenticated(REPLIES.authenticated);
    // All in one segment (RFC 2920): each reply after its command all the same.
    say("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.com>", "DATA");
    say("Subject: secret plans", "", "Winter-2026!", ".");
    session.submitted(REPLIES.ok);
    say("QUIT");
    assert.deepEqual(lines.filter((line) => !line.startsWith("S: 250-")).slice(1), [
      "C: ehlo device.example",
      lines.find((line) => line.startsWith("S: 250 ")),
      "C: AUTH PLAIN (left out)",
      "S: 235 2.7.0 Authentication successful",
      "C: MAIL FROM:<a@example.com>",
      "S: 250 2.1.0 Sender OK",
      "C: RCPT TO:<b@example.com>",
      "S: 250 2.1.5 Recipient OK",
      "C: DATA",
      "S: 354 End data with <CR><LF>.<CR><LF>",
      "C: (the message: 39 octets)",
      "S: 250 2.0.0 OK",
      "C: QUIT",
      "S: 221 2.0.0 Bye",
    ]);
    assertSecret(lines);
  });

  // RFC 4954 §4: credentials are sent after AUTH or in lines of their own.
  const ways: Record<string, readonly string[]> = {
    "PLAIN with an initial response": ["EHLO x", `AUTH PLAIN ${PLAIN}`],
    "PLAIN in lower case, with a tab": ["EHLO x", `auth\tplain ${PLAIN}`],
    "PLAIN, asked for": ["EHLO x", "AUTH PLAIN", PLAIN],
    "LOGIN": ["EHLO x", "AUTH LOGIN", USERNAME, PASSWORD],
    "LOGIN with an initial response": ["EHLO x", `AUTH LOGIN ${USERNAME}`, PASSWORD],
    "an unknown mechanism, or the secret in its place": ["EHLO x", `AUTH ${PASSWORD} ${PLAIN}`],
    "a refused mechanism, whose lines become commands": ["EHLO x", "AUTH NTLM", USERNAME, PASSWORD],
    "AUTH without EHLO, whose lines become commands": ["AUTH LOGIN", USERNAME, PASSWORD],
    "AUTH without its space": ["EHLO x", `AUTHPLAIN ${PLAIN}`, `AUTH=PLAIN ${PLAIN}`],
    "an unknown command": ["PASS Winter-2026!", "USER tenant", `XAUTH ${PASSWORD}`],
    "more than the mechanism takes": ["EHLO x", `AUTH PLAIN ${PLAIN} ${PASSWORD}`],
    "control characters": ["EHLO x", `MAIL\x01 ${PASSWORD}`, `AUTH PLAIN\x00${PLAIN}`],
    "a line that is too long": ["EHLO x", `NOOP ${PASSWORD.repeat(100)}`],
  };
  for (const [way, lines] of Object.entries(ways)) {
    for (const pieces of ["line by line", "all in one"]) {
      it(`gets no credentials: ${way}, ${pieces}`, () => {
        const opened = open();
        if (pieces === "all in one") opened.say(...lines);
        else for (const line of lines) opened.say(line);
        assertSecret(opened.lines);
        assert.ok(opened.lines.length > 2);
      });
    }
  }

  it("gets none when AUTH requires TLS and the client ignores that", () => {
    const { lines, say } = open({ requireTls: true });
    say("EHLO x", "AUTH LOGIN", USERNAME, PASSWORD);
    assertSecret(lines);
    assert.ok(lines.includes("S: 530 5.7.0 Must issue a STARTTLS command first"));
    assert.ok(lines.includes("C: (16 octets that are no command)"));
  });

  it("gets the octets of no chunk (RFC 3030)", () => {
    const { lines, say, session } = open();
    say("EHLO x", "AUTH PLAIN " + PLAIN);
    session.authenticated(REPLIES.authenticated);
    say("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.com>", "BDAT 14 LAST", "Winter-2026!");
    assertSecret(lines);
    assert.deepEqual(lines.slice(-2), ["C: BDAT 14 LAST", "C: (the octets of the chunk)"]);
  });

  it("gets decoded addresses beyond ASCII (RFC 6531)", () => {
    const { lines, say, session } = open();
    say("EHLO x", "AUTH PLAIN " + PLAIN);
    session.authenticated(REPLIES.authenticated);
    say("MAIL FROM:<büro@example.com> SMTPUTF8");
    assert.ok(lines.includes("C: MAIL FROM:<büro@example.com> SMTPUTF8"), lines.join("\n"));
  });
});
