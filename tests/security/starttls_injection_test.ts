/**
 * Plain text must not cross into TLS (RFC 3207 §4.2): CVE-2011-0411 of Postfix and its like in other
 * servers, and the set of NO STARTTLS (USENIX Security 2021, https://nostarttls.secvuln.info).
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { connect } from "node:net";
import { after, before, describe, it } from "node:test";
import { USERNAME } from "../support/logins.ts";
import { type Door, openDoor, SECRET } from "./door.ts";

const LOGIN = `AUTH PLAIN ${Buffer.from(`\0${USERNAME}\0${SECRET}`).toString("base64")}`;

interface Injection {
  readonly source: string;
  readonly what: string;
  /** Octets in plain text after EHLO, with the STARTTLS among them. */
  readonly plain: string;
  /** The number of replies in plain text, the 220 to STARTTLS last. */
  readonly answers: number;
}

const INJECTIONS: readonly Injection[] = [
  {
    source: "CVE-2011-0411",
    what: "a command after STARTTLS in the same segment",
    plain: "STARTTLS\r\nNOOP\r\n",
    answers: 1,
  },
  {
    source: "CVE-2011-0411",
    what: "a line end of LF alone, and a command after it",
    plain: "STARTTLS\nNOOP\r\n",
    answers: 1,
  },
  {
    source: "CVE-2011-1430, CVE-2011-1431, CVE-2011-2165",
    what: "EHLO, login and a whole message after STARTTLS",
    plain: `STARTTLS\r\nEHLO evil.example\r\n${LOGIN}\r\nMAIL FROM:<evil@example.com>\r\n` +
      "RCPT TO:<victim@example.net>\r\nDATA\r\nSubject: forged\r\n\r\nText\r\n.\r\n",
    answers: 1,
  },
  {
    source: "NO STARTTLS 2021, command injection that is completed by the victim",
    what: "half a command, which the octets over TLS would complete",
    plain: "STARTTLS\r\nMAIL FROM:<evil@example.com> SIZE=",
    answers: 1,
  },
  {
    source: "NO STARTTLS 2021, the victim's login is taken into an attacker's message",
    what: "an attacker's transaction up to DATA",
    plain: "STARTTLS\r\nEHLO evil.example\r\nMAIL FROM:<evil@example.com>\r\n" +
      "RCPT TO:<evil@example.org>\r\nDATA\r\n",
    answers: 1,
  },
  {
    source: "NO STARTTLS 2021, BDAT",
    what: "a chunk that would swallow the octets over TLS",
    plain: "STARTTLS\r\nBDAT 100000\r\n",
    answers: 1,
  },
  {
    source: "NO STARTTLS 2021",
    what: "half a login, whose answer the victim's next line would be",
    plain: "STARTTLS\r\nAUTH LOGIN\r\n",
    answers: 1,
  },
  {
    source: "RFC 3207 §4.2",
    what: "an EHLO and a login before STARTTLS",
    plain: `${LOGIN}\r\nSTARTTLS\r\n`,
    answers: 2,
  },
  {
    source: "RFC 3207 §4.2",
    what: "a login and half a transaction before STARTTLS, and more after it",
    plain: `${LOGIN}\r\nMAIL FROM:<evil@example.com>\r\nRCPT TO:<victim@example.net>\r\n` +
      "STARTTLS\r\nDATA\r\n",
    answers: 4,
  },
  {
    source: "RFC 2920 §3.1",
    what: "a group of commands that ends in STARTTLS",
    plain: "RSET\r\nNOOP\r\nSTARTTLS\r\n",
    answers: 3,
  },
  {
    source: "NO STARTTLS 2021, many octets",
    what: "more commands after STARTTLS than one read returns",
    plain: "STARTTLS\r\n" + "NOOP\r\n".repeat(30_000),
    answers: 1,
  },
];

describe("STARTTLS", () => {
  let door: Door;
  before(async () => {
    door = await openDoor();
  });
  after(() => door.close());

  for (const { source, what, plain, answers } of INJECTIONS) {
    it(`forgets ${what} (${source})`, async () => {
      const before = door.messages().length;
      const logins = door.requests.filter((request) => request.includes("/token")).length;
      const talk = await door.connect();
      await talk.say("EHLO client.example");
      // No handshake can follow thousands of commands: their octets are not TLS.
      const flood = plain.length > 10_000;
      await (flood ? talk.write(plain) : talk.send(plain));
      const replies = await talk.replies(answers);
      assert.match(replies.at(-1)!, /^220 2\.0\.0 Ready to start TLS$/);
      if (flood) {
        await talk.closed();
        // At most a TLS alert (RFC 8446 §6) follows, in its own octets.
        const end = talk.heard.lastIndexOf("Ready to start TLS\r\n") +
          "Ready to start TLS\r\n".length;
        const rest = talk.heard.slice(end);
        assert.ok(rest === "" || rest.startsWith("\x15\x03"), JSON.stringify(rest));
        talk.heard = talk.heard.slice(0, end);
        return;
      }
      await talk.handshake();
      // Nothing from before is answered or counts: neither EHLO, nor AUTH, nor MAIL.
      await talk.assertSilent();
      assert.match(await talk.say("MAIL FROM:<alice@example.com>"), /^530 5\.7\.0 /);
      assert.match(await talk.say("AUTH PLAIN"), /^503 5\.5\.1 Send EHLO first/);
      const ehlo = await talk.say("EHLO client.example");
      assert.ok(!ehlo.includes("STARTTLS"));
      assert.match(ehlo, /AUTH LOGIN PLAIN/);
      assert.match(await talk.say("RCPT TO:<bob@example.net>"), /^530 /);
      assert.match(await talk.auth(USERNAME, SECRET), /^235 /);
      assert.match(await talk.say("RCPT TO:<bob@example.net>"), /^503 5\.5\.1 Send MAIL first/);
      assert.match(await talk.message("Subject: true\r\n\r\nText"), /^250 /);
      const sent = door.messages().slice(before);
      assert.equal(sent.length, 1);
      assert.ok(!/evil|victim|forged/.test(sent[0]!));
      assert.match(
        sent[0]!,
        /^Received: from client\.example .*\r\n\tby relay\.example with ESMTPSA /,
      );
      const asked = door.requests.filter((request) => request.includes("/token")).length;
      assert.ok(asked - logins <= 1, "no other login");
    });
  }

  it("accepts commands in one segment with the end of the handshake, once, over TLS", async () => {
    const talk = await door.connect();
    await talk.say("EHLO client.example");
    assert.match(await talk.say("STARTTLS"), /^220 /);
    await talk.handshake("EHLO client.example\r\nNOOP\r\n");
    const [ehlo, noop] = await talk.replies(2);
    assert.match(ehlo!, /AUTH LOGIN PLAIN/);
    assert.equal(noop, "250 2.0.0 OK");
    await talk.assertSilent();
  });

  it("never offers or accepts a second STARTTLS (RFC 3207 §4.2)", async () => {
    const talk = await door.connect();
    await talk.say("EHLO client.example");
    assert.match(await talk.say("STARTTLS"), /^220 /);
    await talk.handshake();
    assert.ok(!(await talk.say("EHLO client.example")).includes("STARTTLS"));
    assert.match(await talk.say("STARTTLS"), /^503 5\.5\.1 TLS is already active/);
  });

  it("with an argument is refused, and plain text continues (RFC 3207 §4)", async () => {
    const talk = await door.connect();
    await talk.say("EHLO client.example");
    talk.write("STARTTLS now\r\nNOOP\r\n");
    const [refused, noop] = await talk.replies(2);
    assert.match(refused!, /^501 5\.5\.4 /);
    assert.equal(noop, "250 2.0.0 OK");
  });

  it("is not skipped when REQUIRE_TLS is set, whatever is pipelined (STARTTLS stripping)", async () => {
    const strict = await openDoor({ environment: { REQUIRE_TLS: "true" } });
    try {
      const talk = await strict.connect();
      const ehlo = await talk.say("EHLO client.example");
      assert.ok(!ehlo.includes("AUTH"), "no password is asked for in plain text");
      talk.write(
        `${LOGIN}\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\nNOOP\r\n`,
      );
      const replies = await talk.replies(5);
      for (const reply of replies.slice(0, 4)) assert.match(reply, /^530 5\.7\.0 Must issue/);
      assert.equal(replies[4], "250 2.0.0 OK");
      assert.deepEqual(strict.requests, [], "the password went nowhere");
    } finally {
      await strict.close();
    }
  });

  it("is not available with implicit TLS: plain text gets no greeting (RFC 8314 §3.3)", async () => {
    const socket = connect({ host: "127.0.0.1", port: door.tlsPort });
    let said = "";
    socket.on("data", (octets: Uint8Array) => said += Buffer.from(octets).toString("latin1"));
    socket.on("error", () => {});
    const closed = new Promise<void>((resolve) => socket.on("close", () => resolve()));
    socket.write("EHLO client.example\r\nNOOP\r\n");
    await closed;
    assert.ok(!/220|250/.test(said), JSON.stringify(said));
  });
});
