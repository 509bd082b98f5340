// What the client says to servers, and what it makes of their replies.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import { Secret } from "../../src/secret.ts";
import type { Login, TlsMode } from "../../src/smtp_client/mail_client.ts";
import { saslClient } from "../../src/smtp_client/sasl_client.ts";
import { opened, SessionPlayer } from "./dialogue.ts";

const base64 = (text: string) => Buffer.from(text, "utf8").toString("base64");
const server = (tls: TlsMode) => ({ hostname: "mail.example", port: 587, tls });
const PASSWORD: Login = { type: "password", username: "user", password: new Secret("pencil") };
const TOKEN: Login = { type: "token", username: "a@b.example", token: new Secret("short.token") };

describe("the beginning of a session (RFC 5321 §3.2)", () => {
  it("tells what the server offers", () => {
    const { result } = opened(["SIZE 1000", "8bitmime", "AUTH PLAIN LOGIN", "AUTH=CRAM-MD5", "=?"]);
    assert.deepEqual(result.type === "ready" && [...result.extensions], [
      ["SIZE", "1000"],
      ["8BITMIME", ""],
      ["AUTH", "PLAIN LOGIN CRAM-MD5"],
    ]);
  });

  it("falls back to HELO where EHLO is not known", () => {
    const player = new SessionPlayer().play(`
      S: 220 mail.example
      C: EHLO client.example
      S: 502 Command not implemented
      C: HELO client.example
      S: 250 mail.example
    `);
    player.send({ eightBit: true });
    player.play(`
      C: MAIL FROM:<alice@example.com>
      S: 250 OK
      C: RCPT TO:<bob@example.org>
      S: 250 OK
      C: DATA
      S: 354 go on
      <CONTENT>
      S: 250 OK
      <IDLE>
    `);
    assert.equal(player.result.type, "accepted");
  });

  it("does not fall back where TLS or a login is needed, which HELO does not have", () => {
    for (const options of [{ server: server("starttls") }, { login: PASSWORD }]) {
      const player = new SessionPlayer(options).play(`
        S: 220 mail.example
        C: EHLO client.example
        S: 502 5.5.1 Command not implemented
        C: QUIT
        S: 221 Bye
        <CLOSE>
      `);
      const { result } = player;
      assert.equal(result.type === "refused" && result.stage, "EHLO");
    }
  });

  it("ends with a server that is not ready, politely unless it hangs up itself", () => {
    const refusing = new SessionPlayer().play(`
      S: 554 5.7.1 No service for you
      C: QUIT
      S: 221 Bye
      <CLOSE>
    `);
    assert.deepEqual(refusing.result, {
      type: "refused",
      stage: "greeting",
      reply: { code: 554, enhanced: "5.7.1", text: "No service for you" },
      recipients: [],
    });
    const closing = new SessionPlayer().play(`
      S: 421-4.3.2 Too busy
      S: 421 4.3.2 Come back later
      <CLOSE>
    `);
    const { result } = closing;
    assert.deepEqual(result.type === "refused" && result.reply, {
      code: 421,
      enhanced: "4.3.2",
      text: "Too busy Come back later",
    });
  });
});

describe("STARTTLS of the client (RFC 3207)", () => {
  it("is demanded, and EHLO is sent again in TLS: what was offered before counts no more", () => {
    const player = new SessionPlayer({ server: server("starttls"), login: PASSWORD }).play(`
      S: 220 mail.example
      C: EHLO client.example
      S: 250-mail.example
      S: 250-AUTH LOGIN
      S: 250-CHUNKING
      S: 250 STARTTLS
      C: STARTTLS
      S: 220 Ready
      <TLS>
      C: EHLO client.example
      S: 250-mail.example
      S: 250 AUTH PLAIN
      C: AUTH PLAIN ${base64("\0user\0pencil")}
      S: 235 2.7.0 OK
    `);
    const { result } = player;
    assert.equal(player.session.secure, true);
    assert.deepEqual(result.type === "ready" && [result.mechanism, [...result.extensions]], [
      "PLAIN",
      [["AUTH", "PLAIN"]],
    ]);
  });

  for (const [what, reply] of [["is not offered", ""], ["is refused", "454 4.7.0 Not now"]]) {
    it(`ends the session before anything else is sent where it ${what}`, () => {
      const player = new SessionPlayer({ server: server("starttls"), login: PASSWORD });
      player.play(`
        S: 220 mail.example
        C: EHLO client.example
        S: 250-mail.example
        S: 250-AUTH PLAIN
        S: 250 ${reply === "" ? "SIZE" : "STARTTLS"}
        ${reply === "" ? "" : `C: STARTTLS\nS: ${reply}\n`}C: QUIT
        S: 221 Bye
        <CLOSE>
      `);
      const { result } = player;
      assert.deepEqual(
        result.type === "refused" && [result.stage, result.reply.code, result.own],
        ["STARTTLS", 454, reply === "" ? "STARTTLS" : undefined],
      );
    });
  }

  it("fails if anything follows its reply in plain text (CVE-2021-38371)", () => {
    for (const more of ["250 mail.example\r\n", "2", "\r\n"]) {
      const player = new SessionPlayer({ server: server("starttls") }).play(`
        S: 220 mail.example
        C: EHLO client.example
        S: 250-mail.example
        S: 250 STARTTLS
        C: STARTTLS
      `);
      player.say(`220 Ready\r\n${more}`);
      player.play("<CLOSE>");
      const { result } = player;
      assert.deepEqual(result.type === "failed" && [result.code, result.stage, result.ambiguous], [
        "INJECTION",
        "STARTTLS",
        false,
      ]);
    }
  });

  it("is left out on the loopback, unless the login needs it", () => {
    opened(["STARTTLS"]);
    const without = new SessionPlayer({ login: PASSWORD }).play(`
      S: 220 mail.example
      C: EHLO client.example
      S: 250-mail.example
      S: 250-AUTH PLAIN
      S: 250 STARTTLS
      C: AUTH PLAIN ${base64("\0user\0pencil")}
      S: 235 OK
    `);
    assert.equal(without.result.type, "ready");
    new SessionPlayer({ login: PASSWORD }).play(`
      S: 220 mail.example
      C: EHLO client.example
      S: 250-mail.example
      S: 250 STARTTLS
      C: STARTTLS
      S: 220 Ready
      <TLS>
      C: EHLO client.example
    `);
  });
});

describe("AUTH of the client (RFC 4954)", () => {
  /** A session that has read what the server offers. */
  const login = (login: Login, offered: string) => {
    const player = new SessionPlayer({ login }).play(`
      S: 220 mail.example
      C: EHLO client.example
    `);
    player.say(`250-mail.example\r\n250 ${offered}\r\n`);
    return player;
  };

  it("uses LOGIN where there is no PLAIN, whatever its challenges say", () => {
    const player = login(PASSWORD, "auth login cram-md5").play(`
      C: AUTH LOGIN
      S: 334 VXNlcm5hbWU6
      C: ${base64("user")}
      S: 334
      C: ${base64("pencil")}
      S: 235 OK
    `);
    assert.deepEqual(player.result.type === "ready" && player.result.mechanism, "LOGIN");
  });

  it("encodes names and passwords in UTF-8 (RFC 4616 §2)", () => {
    const unicode: Login = { type: "password", username: "ü", password: new Secret("€") };
    login(unicode, "AUTH PLAIN").play(`
      C: AUTH PLAIN ${base64("\0ü\0€")}
      S: 235 OK
    `);
  });

  it("sends a token by XOAUTH2, and by OAUTHBEARER where there is no other (RFC 7628)", () => {
    login(TOKEN, "AUTH OAUTHBEARER XOAUTH2").play(`
      C: AUTH XOAUTH2 ${base64("user=a@b.example\x01auth=Bearer short.token\x01\x01")}
      S: 235 OK
    `);
    const odd: Login = { ...TOKEN, username: "a=,b" };
    const response =
      "n,a=a=3D=2Cb,\x01host=mail.example\x01port=587\x01auth=Bearer short.token\x01\x01";
    login(odd, "AUTH OAUTHBEARER").play(`
      C: AUTH OAUTHBEARER ${base64(response)}
      S: 235 OK
    `);
  });

  it("waits for the challenge where command and token have more than 512 octets (§4)", () => {
    const long: Login = { type: "token", username: "a@b", token: new Secret("t".repeat(400)) };
    login(long, "AUTH XOAUTH2").play(`
      C: AUTH XOAUTH2
      S: 334
      C: ${base64(`user=a@b\x01auth=Bearer ${"t".repeat(400)}\x01\x01`)}
      S: 235 OK
    `);
  });

  it("answers the challenge about a refused token, and keeps what it says", () => {
    const error = base64('{"status":"401","schemes":"bearer"}');
    for (const [mechanism, answer] of [["XOAUTH2", ""], ["OAUTHBEARER", "AQ=="]] as const) {
      const { responses } = saslClient(TOKEN, [mechanism], server("starttls"))!;
      const player: SessionPlayer = login(TOKEN, `AUTH ${mechanism}`);
      player.play(`
        C: AUTH ${mechanism} ${responses[0]}
        S: 334 ${error}
        C: ${answer}
        S: 535 5.7.8 Authentication failed
        C: QUIT
        S: 221 Bye
        <CLOSE>
      `);
      const { result } = player;
      assert.deepEqual(
        result.type === "refused" && [result.stage, result.reply, result.challenge],
        [
          "AUTH",
          { code: 535, enhanced: "5.7.8", text: "Authentication failed" },
          '{"status":"401","schemes":"bearer"}',
        ],
      );
    }
  });

  it("is refused by the client where the server offers no mechanism for the login", () => {
    const player = login(TOKEN, "AUTH PLAIN LOGIN").play(`
      C: QUIT
      S: 221 Bye
      <CLOSE>
    `);
    const { result } = player;
    assert.deepEqual(result.type === "refused" && [result.own, result.reply.text], [
      "AUTH",
      "The server does not offer AUTH XOAUTH2 or OAUTHBEARER",
    ]);
  });

  it("shows no credentials that the server echoes", () => {
    const player = login(PASSWORD, "AUTH PLAIN").play(`
      C: AUTH PLAIN ${base64("\0user\0pencil")}
      S: 500 Unknown command "AUTH PLAIN ${base64("\0user\0pencil")}" (pencil)
      C: QUIT
    `);
    const { result } = player;
    const text = result.type === "refused" ? result.reply.text : "";
    assert.doesNotMatch(text, /pencil|AHVzZXIA/);
    assert.match(text, /Unknown command/);
  });
});

describe("a transaction (RFC 5321 §3.3)", () => {
  it("waits for each reply where there is no PIPELINING", () => {
    const player = opened(["ENHANCEDSTATUSCODES"]);
    player.send({ recipients: ["bob@example.org", "carol@example.net"] });
    player.play(`
      C: MAIL FROM:<alice@example.com>
      S: 250 2.1.0 OK
      C: RCPT TO:<bob@example.org>
      S: 250-2.1.5 Fine
      S: 250 2.1.5 really
      C: RCPT TO:<carol@example.net>
      S: 251 User not local; will forward
      C: DATA
      S: 354 go on
      <CONTENT>
      S: 250 2.0.0 queued as 1
      <IDLE>
    `);
    assert.deepEqual(player.result, {
      type: "accepted",
      reply: { code: 250, enhanced: "2.0.0", text: "queued as 1" },
      recipients: [
        {
          recipient: "bob@example.org",
          reply: { code: 250, enhanced: "2.1.5", text: "Fine really" },
        },
        {
          recipient: "carol@example.net",
          reply: { code: 251, text: "User not local; will forward" },
        },
      ],
    });
  });

  it("sends MAIL, RCPT and DATA together with PIPELINING (RFC 2920)", () => {
    const player = opened(["PIPELINING", "SIZE", "8BITMIME", "SMTPUTF8"]);
    player.send({ from: "", eightBit: true });
    player.play(`
      C: MAIL FROM:<> SIZE=1000 BODY=8BITMIME
      C: RCPT TO:<bob@example.org>
      C: DATA
      S: 250 OK
      S: 250 OK
      S: 354 go on
      <CONTENT>
      S: 250 OK
      <IDLE>
    `);
  });

  it("sends the content by BDAT with CHUNKING (RFC 3030)", () => {
    const player = opened(["PIPELINING", "CHUNKING"]);
    player.send();
    player.play(`
      C: MAIL FROM:<alice@example.com>
      C: RCPT TO:<bob@example.org>
      S: 250 OK
      S: 250 OK
      C: BDAT 1000 LAST
      <CONTENT>
      S: 452 4.3.1 No room
      C: RSET
      S: 250 OK
      <IDLE>
    `);
    assert.deepEqual(player.result.type === "refused" && player.result.stage, "content");
  });

  it("names its size, and is not begun over the server's limit (RFC 1870 §6.1)", () => {
    const player = opened(["SIZE 999", "PIPELINING"]);
    player.send();
    player.play("<IDLE>");
    const { result } = player;
    assert.deepEqual(
      result.type === "refused" && [result.own, result.reply.code, result.reply.enhanced],
      ["SIZE", 552, "5.3.4"],
    );
    player.send({ size: 999 });
    player.play(`
      C: MAIL FROM:<alice@example.com> SIZE=999
      C: RCPT TO:<bob@example.org>
      C: DATA
    `);
    for (const unlimited of ["SIZE 0", "SIZE", "SIZE x"]) {
      const other = opened([unlimited]);
      other.send({ size: 1e9 });
      other.play("C: MAIL FROM:<alice@example.com> SIZE=1000000000");
    }
  });

  it("uses SMTPUTF8 only where it is needed, and not without it (RFC 6531 §3.1)", () => {
    const player = opened(["SMTPUTF8"]);
    player.send({ smtputf8: true });
    player.play("C: MAIL FROM:<alice@example.com> SMTPUTF8");
    const address = opened(["SMTPUTF8", "PIPELINING"]);
    address.send({ recipients: ["jürgen@example.org"] });
    address.play(`
      C: MAIL FROM:<alice@example.com> SMTPUTF8
      C: RCPT TO:<jürgen@example.org>
      C: DATA
    `);
    const without = opened(["8BITMIME"]);
    without.send({ recipients: ["jürgen@example.org"] });
    without.play("<IDLE>");
    without.send({ smtputf8: true });
    without.play("<IDLE>");
    assert.deepEqual(
      without.results.slice(1).map((result) =>
        result.type === "refused" && [result.own, result.reply.code, result.reply.enhanced]
      ),
      [["SMTPUTF8", 553, "5.6.7"], ["SMTPUTF8", 550, "5.6.9"]],
    );
  });

  it("is over with a refused MAIL, and reads the replies that are still to come", () => {
    const player = opened(["PIPELINING"]);
    player.send();
    player.play(`
      C: MAIL FROM:<alice@example.com>
      C: RCPT TO:<bob@example.org>
      C: DATA
    `);
    player.say("550 5.7.60 Not this sender\r\n");
    assert.deepEqual(player.result.type === "refused" && player.result.stage, "MAIL");
    player.play(`
      S: 503 MAIL first
      S: 503 MAIL first
      C: RSET
      S: 250 OK
      <IDLE>
    `);
    assert.equal(player.results.length, 2);
  });

  it("ends a DATA without recipients with a lone dot (RFC 2920 §3.1)", () => {
    const player = opened(["PIPELINING"]);
    player.send({ recipients: ["bob@example.org", "carol@example.org"] });
    player.play(`
      C: MAIL FROM:<alice@example.com>
      C: RCPT TO:<bob@example.org>
      C: RCPT TO:<carol@example.org>
      C: DATA
      S: 250 OK
      S: 550 5.1.1 No such user
      S: 450 4.2.0 Greylisted
      S: 354 go on
      C: .
      S: 554 No recipients
      <IDLE>
    `);
    const { result } = player;
    // The refusal that passes: a queue tries again.
    assert.deepEqual(result.type === "refused" && [result.stage, result.reply.code], ["RCPT", 450]);
    assert.deepEqual(
      result.type === "refused" && result.recipients.map(({ reply }) => reply.code),
      [550, 450],
    );
  });

  it("closes where DATA is accepted with recipients after MAIL was refused", () => {
    const player = opened(["PIPELINING"]);
    player.send();
    player.play(`
      C: MAIL FROM:<alice@example.com>
      C: RCPT TO:<bob@example.org>
      C: DATA
      S: 550 Not this sender
      S: 250 OK
      S: 354 go on
      <CLOSE>
    `);
    assert.deepEqual(player.result.type === "refused" && player.result.reply.code, 550);
  });

  it("sends to the others where some are refused, if it may", () => {
    const player = opened(["PIPELINING"]);
    player.send({ recipients: ["bob@example.org", "carol@example.org"] });
    player.play(`
      C: MAIL FROM:<alice@example.com>
      C: RCPT TO:<bob@example.org>
      C: RCPT TO:<carol@example.org>
      C: DATA
      S: 250 OK
      S: 550 5.1.1 No such user
      S: 250 OK
      S: 354 go on
      <CONTENT>
      S: 250 OK
      <IDLE>
    `);
    const { result } = player;
    assert.deepEqual(
      result.type === "accepted" && result.recipients.map(({ reply }) => reply.code),
      [550, 250],
    );
  });

  it("sends to nobody where some are refused, if nobody else is to get it", () => {
    const player = opened(["PIPELINING"]);
    player.send({ recipients: ["bob@example.org", "carol@example.org"], partlyRefused: "stop" });
    player.play(`
      C: MAIL FROM:<alice@example.com>
      C: RCPT TO:<bob@example.org>
      C: RCPT TO:<carol@example.org>
      S: 250 OK
      S: 250 OK
      S: 550 5.1.1 No such user
      C: RSET
      S: 250 OK
      <IDLE>
    `);
    const { result } = player;
    assert.deepEqual(result.type === "refused" && [result.stage, result.reply.code], ["RCPT", 550]);
  });

  it("reports a refused DATA, and a refused content", () => {
    const player = opened([]);
    player.send();
    player.play(`
      C: MAIL FROM:<alice@example.com>
      S: 250 OK
      C: RCPT TO:<bob@example.org>
      S: 250 OK
      C: DATA
      S: 451 4.3.0 Not now
      C: RSET
      S: 250 OK
      <IDLE>
    `);
    assert.deepEqual(player.result.type === "refused" && player.result.stage, "DATA");
    player.send();
    player.play(`
      C: MAIL FROM:<alice@example.com>
      S: 250 OK
      C: RCPT TO:<bob@example.org>
      S: 250 OK
      C: DATA
      S: 354 go on
      <CONTENT>
      S: 554 5.6.0 Not this content
      <IDLE>
    `);
    assert.deepEqual(player.result.type === "refused" && player.result.stage, "content");
  });

  it("stops where the server refuses in the middle of the content", () => {
    const player = opened(["PIPELINING"]);
    player.send();
    player.play(`
      C: MAIL FROM:<alice@example.com>
      C: RCPT TO:<bob@example.org>
      C: DATA
      S: 250 OK
      S: 250 OK
    `);
    player.say("354 go on\r\n");
    assert.equal(player.session.takesContent, true);
    player.say("552 5.3.4 Too much\r\n");
    assert.equal(player.session.takesContent, false);
    assert.deepEqual(
      player.result.type === "refused" && [player.result.stage, player.result.reply.code],
      ["content", 552],
    );
  });

  it("believes no success before all of the content has left", () => {
    const player = opened(["PIPELINING"]);
    player.send();
    player.say("250 OK\r\n250 OK\r\n354 go on\r\n250 queued\r\n");
    const { result } = player;
    assert.deepEqual(result.type === "failed" && [result.code, result.ambiguous], [
      "UNEXPECTED",
      false,
    ]);
  });

  it("ends the session where the server does, at any command, with its reply", () => {
    for (let at = 0; at < 4; at++) {
      const player = opened([]);
      player.send();
      for (const reply of ["250 OK", "250 OK", "354 go on"].slice(0, at)) {
        player.say(`${reply}\r\n`);
        if (reply.startsWith("354")) player.session.contentLeaves();
      }
      player.say("421 4.4.2 Bye\r\n");
      const { result } = player;
      assert.deepEqual(result.type === "refused" && [result.stage, result.reply.code], [
        ["MAIL", "RCPT", "DATA", "content"][at],
        421,
      ]);
      player.say("250 OK\r\n");
      assert.equal(player.results.length, 2);
    }
  });

  it("is ambiguous from when the end of the content may have left until its reply", () => {
    const lost = (script: readonly string[], left: boolean) => {
      const player = opened(["PIPELINING"]);
      player.send();
      for (const line of script) player.say(`${line}\r\n`);
      if (left) {
        player.session.contentLeaves();
        player.say("25");
      }
      player.carryOut(player.session.lost("ECONNRESET", "gone"));
      const { result } = player;
      return result.type === "failed" ? [result.stage, result.ambiguous] : result.type;
    };
    assert.deepEqual(lost([], false), ["MAIL", false]);
    assert.deepEqual(lost(["250 OK"], false), ["RCPT", false]);
    assert.deepEqual(lost(["250 OK", "250 OK"], false), ["DATA", false]);
    assert.deepEqual(lost(["250 OK", "250 OK", "354 x"], false), ["content", false]);
    assert.deepEqual(lost(["250 OK", "250 OK", "354 x"], true), ["content", true]);
  });
});

describe("replies that no command has asked for", () => {
  it("end a session that is idle, without a result", () => {
    for (const reply of ["421 4.4.2 Timeout\r\n", "250 OK\r\n", "nonsense\r\n", "2"]) {
      const player = opened([]);
      player.say(reply);
      player.play("<CLOSE>");
      assert.equal(player.results.length, 1);
    }
  });

  it("fail where they are no replies", () => {
    for (const reply of ["", "25", "abc", "150 x", "600 x", "250x", "2500 x", "\xff"]) {
      const player = opened([]);
      player.send();
      player.say(`${reply}\r\n`);
      const { result } = player;
      assert.deepEqual(result.type === "failed" && [result.code, result.stage], [
        "MALFORMED",
        "MAIL",
      ], JSON.stringify(reply));
    }
  });

  it("fail where they belong to another kind of command", () => {
    const player = opened([]);
    player.send();
    player.say("354 go on\r\n");
    assert.deepEqual(player.result.type === "failed" && player.result.code, "UNEXPECTED");
  });
});

describe("QUIT (RFC 5321 §4.1.1.10)", () => {
  it("ends an idle session", () => {
    const player = opened([]);
    player.carryOut(player.session.quit());
    player.play(`
      C: QUIT
      S: 221 2.0.0 Bye
      <CLOSE>
    `);
    player.carryOut(player.session.quit());
    player.play("S: 250 too late");
  });
});
