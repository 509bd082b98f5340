/**
 * The form of a message that goes on by SMTP (RFC 6409 §8): as it came, but for what a submission server has to
 * do, and for what must not be seen.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import { octetsIn } from "../../src/message/lazy_piece.ts";
import type { SenderOverride } from "../../src/message/originator.ts";
import { type SmtpMessage, smtpMessage } from "../../src/smtp_backend/smtp_message.ts";
import * as fc from "../support/property.ts";

const TRACE = {
  helo: "printer",
  address: "192.0.2.7",
  hostname: "relay.test",
  esmtp: true,
  tls: true,
  smtputf8: false,
  id: "0123456789abcdef",
  at: new Date(Date.UTC(2026, 10, 5, 6, 7, 8)),
};
const ENVELOPE = { from: "ann@x.test", recipients: ["bea@x.test"] };

interface Setup {
  readonly account?: SenderOverride;
  readonly from?: string;
  readonly recipients?: readonly string[];
  readonly keepsNull?: boolean;
  readonly smtputf8?: boolean;
}

function prepare(text: string | Buffer, setup: Setup = {}) {
  const { account = {}, keepsNull = true, smtputf8 = false } = setup;
  const octets = typeof text === "string" ? Buffer.from(text, "latin1") : text;
  const envelope = {
    from: setup.from ?? ENVELOPE.from,
    recipients: setup.recipients ?? ENVELOPE.recipients,
  };
  return smtpMessage([octets], envelope, { trace: { ...TRACE, smtputf8 }, account, keepsNull });
}

function good(text: string | Buffer, setup?: Setup): SmtpMessage & { readonly text: string } {
  const message = prepare(text, setup);
  assert(message.type === "prepared", JSON.stringify(message));
  const octets = Buffer.concat([...octetsIn(message.content)]);
  assert.equal(octets.length, message.size);
  return { ...message, text: octets.toString("latin1") };
}

const RECEIVED = "Received: from printer ([192.0.2.7])\r\n" +
  "\tby relay.test with ESMTPSA id 0123456789abcdef;\r\n" +
  "\tThu, 5 Nov 2026 06:07:08 +0000\r\n";

describe("a message that goes on by SMTP", () => {
  it("is refused after a hundred servers, between which it goes round (RFC 5321 §6.3)", () => {
    const rest = "From: ann@x.test\r\n\r\nhello\r\n";
    good("Received: by a.test\r\n".repeat(100) + rest);
    const refusal = prepare("Received: by a.test\r\n".repeat(101) + rest);
    assert(refusal.type === "rejected" && refusal.code === "MAIL_LOOP");
    assert.deepEqual([refusal.reply.code, refusal.reply.enhanced], [554, "5.4.6"]);
  });

  it("is what came, with Received on top", () => {
    const message = "From: Ann <ann@x.test>\r\nDate: x\r\nMessage-ID: <1@x>\r\nTo: bea@x.test\r\n" +
      "DKIM-Signature: v=1; b=abc\r\nSubject: =?utf-8?Q?a?=\r\nSubject: twice\r\n\r\n" +
      "Quoted=20printable=\r\n.\r\n" + "x".repeat(2000) + "\r\n\xff\r\n";
    assert.equal(good(message).text, RECEIVED + message);
  });

  it("gets a missing Date, Message-ID and From, and no more", () => {
    assert.equal(
      good("Subject: s\r\n\r\nx\r\n").text,
      `${RECEIVED}Date: Thu, 5 Nov 2026 06:07:08 +0000\r\n` +
        "Message-ID: <0123456789abcdef@relay.test>\r\nFrom: <ann@x.test>\r\nSubject: s\r\n\r\nx\r\n",
    );
  });

  it("loses each Bcc and Resent-Bcc, however it is written, and keeps the body's", () => {
    const { text, recipients } = good(
      "BCC: eve@x.test,\r\n\tmax@x.test\r\nFrom: ann@x.test\r\nbcc:\r\nResent-BCC : kim@x.test\r\n" +
        "Bcc-Note: stays\r\n\r\nBcc: in the body\r\n",
      { recipients: ["bea@x.test", "eve@x.test"] },
    );
    assert.doesNotMatch(text, /eve@|max@|kim@|^bcc:$/im);
    assert.match(text, /\r\nBcc-Note: stays\r\n\r\nBcc: in the body\r\n$/);
    assert.deepEqual(recipients, ["bea@x.test", "eve@x.test"]);
  });

  it("has CRLF line ends alone: another server could see the end of the message elsewhere", () => {
    // https://sec-consult.com/blog/detail/smtp-smuggling-spoofing-e-mails-worldwide/
    for (const end of ["\n.\n", "\n.\r\n", "\r.\r", "\r\n.\n", "\r.\n"]) {
      const { text } = good(`From: ann@x.test\r\n\r\nx${end}MAIL FROM:<eve@x.test>\r\n`);
      assert.doesNotMatch(text, /\r(?!\n)|(?<!\r)\n/);
    }
  });

  it("has each recipient once, and the domain that postmaster lacks", () => {
    const { recipients } = good("From: ann@x.test\r\n\r\n", {
      recipients: ["Bea@x.test", "bea@X.test", "postmaster", "cid@x.test", "Bea@x.test"],
    });
    assert.deepEqual(recipients, ["Bea@x.test", "postmaster@x.test", "cid@x.test"]);
  });

  it("is sent as from_email says, in the envelope and in From", () => {
    const account = { fromEmail: "scan@x.test", fromName: "Scanner" };
    const { text, from, sender } = good("From: Me <me@y.test>\r\nSender: me@y.test\r\n\r\n", {
      account,
    });
    assert.deepEqual([from, sender], ["scan@x.test", "scan@x.test"]);
    assert.match(text, /\r\nFrom: Scanner <scan@x\.test>\r\n/);
    assert.doesNotMatch(text, /me@y\.test/);
  });

  it("keeps the null reverse-path, so that reports are not answered, or has the mailbox there", () => {
    const report = "From: box@x.test\r\n\r\n";
    const kept = good(report, { from: "" });
    assert.deepEqual([kept.from, kept.sender], ["", "box@x.test"]);
    assert.equal(good(report, { from: "", keepsNull: false }).from, "box@x.test");
    assert.equal(prepare("Subject: x\r\n\r\n", { from: "" }).type, "rejected");
  });

  it("asks for 8BITMIME and SMTPUTF8 where it needs them alone", () => {
    const needs = (text: string, setup?: Setup) => {
      const { eightBit, smtputf8 } = good(text, setup);
      return [eightBit, smtputf8];
    };
    assert.deepEqual(needs("From: ann@x.test\r\n\r\nx\r\n"), [false, false]);
    assert.deepEqual(needs("From: ann@x.test\r\n\r\n\xfc\r\n", { smtputf8: true }), [true, false]);
    // A device that writes Latin-1 where it must not: no SMTPUTF8, which it has not asked for.
    assert.deepEqual(needs("From: ann@x.test\r\nSubject: \xfc\r\n\r\n"), [true, false]);
    assert.deepEqual(needs("From: ann@x.test\r\nSubject: \xc3\xbc\r\n\r\n", { smtputf8: true }), [
      ...[true, true],
    ]);
    assert.deepEqual(needs("From: ann@x.test\r\n\r\n", { recipients: ["b\u00fc@x.test"] }), [
      ...[false, true],
    ]);
  });

  it("finds an octet over 127 wherever it is in memory", () => {
    for (let offset = 0; offset < 9; offset++) {
      for (let length = 0; length < 12; length++) {
        for (let place = -1; place < length; place++) {
          const body = "x".repeat(length).split("");
          if (place >= 0) body[place] = "\xe9";
          const text = `From: ann@x.test\r\n\r\n${body.join("")}\r\n`;
          const memory = Buffer.from("\xff".repeat(offset) + text + "\xff\xff\xff\xff", "latin1");
          const octets = memory.subarray(offset, offset + text.length);
          assert.equal(good(octets).eightBit, place >= 0, `${offset} ${length} ${place}`);
        }
      }
    }
  });

  it("refuses a recipient that another server could read as another one", () => {
    const refused = prepare("From: ann@x.test\r\n\r\n", { recipients: ['"a@y.test"@x.test'] });
    assert(refused.type === "rejected" && refused.code === "DOUBTFUL_RECIPIENT");
  });

  it("has the same body to the octet, whatever is in it", () => {
    const line = fc.string({ unit: "binary", maxLength: 80 }).map((text) =>
      Buffer.from(text, "utf8").toString("latin1").replace(/[\r\n]/g, " ")
    );
    fc.assert(fc.property(fc.array(line), (lines) => {
      const body = lines.map((text) => `${text}\r\n`).join("");
      const { text } = good(`From: ann@x.test\r\nTo: bea@x.test\r\n\r\n${body}`);
      assert.equal(text.slice(text.indexOf("\r\n\r\n") + 4), body);
    }));
  });
});
