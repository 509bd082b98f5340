/** What the relay changes in the octets of a message, and that it changes nothing else. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import * as fc from "../support/property.ts";
import PostalMime from "postal-mime";
import { MESSAGE_LIMITS } from "../../src/message/prepare.ts";
import { anyContent } from "../support/any_content.ts";
import { content, inBlocks, octets, textOf } from "../support/content.ts";
import {
  DATE,
  envelope,
  MESSAGE_ID,
  OPTIONS,
  prepared,
  prepareMessage,
  RECEIVED,
  TRACE,
} from "./preparing.ts";

/** A header that lacks nothing. */
const HEADER = `From: me@x.test\r\n${DATE}${MESSAGE_ID}To: a@x.test\r\n`;

/** What follows the Received field; UTF-8 in and out, so that it can be read. */
function rest(message: string, recipients: readonly string[] = ["a@x.test"]): string {
  const blocks = inBlocks(Buffer.from(message, "utf8").toString("latin1"), 7);
  const text = Buffer.concat([...prepared(blocks, recipients)]).toString("utf8");
  assert(text.startsWith(RECEIVED), text);
  return text.slice(RECEIVED.length);
}

/** Why a message cannot be sent. */
function refusal(message: string | ReturnType<typeof content>) {
  const blocks = typeof message === "string" ? inBlocks(message, 1000) : message;
  const result = prepareMessage(blocks, envelope(["a@x.test"]), OPTIONS);
  assert(result.type === "rejected");
  const { code, enhanced, text } = result.reply;
  return { status: `${code} ${enhanced}`, text: String(text), code: result.code };
}

describe("a prepared message", () => {
  it("has the Received field first, and is otherwise the same, octet for octet", () => {
    // NUL is different: see below, and canonical_test.ts.
    const every = String.fromCharCode(...Array.from({ length: 255 }, (_, i) => i + 1))
      .replace("\r", "").replace("\n", "");
    const body = `${every}\r\n..\r\n`;
    const message = `${HEADER}X: ${every}\r\nSubject: \xfc \xc3\xbc\r\n\r\n${body}`;
    for (const size of [1, 10, 1000]) {
      assert.equal(textOf(prepared(inBlocks(message, size), ["a@x.test"])), RECEIVED + message);
    }
  });

  it("has CRLF line ends, whatever it had before (RFC 5322 §2.1)", () => {
    const lines = HEADER.replaceAll("\r\n", "\n");
    assert.equal(
      rest(`${lines}Bcc: b@x.test\n\nbody\n`, ["a@x.test", "b@x.test"]),
      `${HEADER}Bcc: b@x.test\r\n\r\nbody\r\n`,
    );
  });

  it("shares its large blocks with the input: they are not copied", () => {
    const large = octets(`${"x".repeat(70)}\r\n`.repeat(2000));
    const message = [...content("Bcc: z@x.test\r\nTo: z@x.test, a@x.test\r\n\r\n"), large];
    assert(prepared(message, ["b@x.test", "a@x.test"]).includes(large));
  });

  it("leaves nested messages and parts alone", () => {
    const body = "\r\n--b\r\nContent-Type: message/rfc822\r\nTo : z@z.test\r\n\r\n" +
      "From: x\r\nFrom: y\r\nBcc: z@z.test\r\n \r\n\r\nTo: z@z.test\r\n--b--\r\n";
    const message = `${HEADER}Content-Type: multipart/mixed; boundary=b\r\n${body}`;
    assert.equal(rest(message), message);
  });

  it("does not change the input", () => {
    const message = content("From : a@x.test\r\nTo: z@z.test\r\n\r\nbody");
    const before = textOf(message);
    prepared(message, ["a@x.test"]);
    assert.equal(textOf(message), before);
  });
});

const NEW_FIELDS = `${DATE}${MESSAGE_ID}From: <me@x.test>\r\nBcc: a@x.test\r\n`;

describe("a header", () => {
  it("gets the Date and Message-ID that it lacks (RFC 6409 §8)", () => {
    assert.equal(
      rest("From: me@x.test\r\nTo: a@x.test\r\n\r\n"),
      `${DATE}${MESSAGE_ID}From: me@x.test\r\nTo: a@x.test\r\n\r\n`,
    );
    const id = "From: me@x.test\r\nTo: a@x.test\r\nMESSAGE-ID: <1@x>\r\n\r\n";
    assert.equal(rest(id), DATE + id);
    const date =
      "From: me@x.test\r\nTo: a@x.test\r\ndate:\r\n Thu, 1 Jan 1970 00:00:00 +0000\r\n\r\n";
    assert.equal(rest(date), MESSAGE_ID + date);
  });

  it("gets them instead of empty ones", () => {
    assert.equal(
      rest("Date: \r\nFrom: me@x.test\r\nMessage-ID:\r\n\t\r\nTo: a@x.test\r\n\r\n"),
      `${DATE}${MESSAGE_ID}From: me@x.test\r\nTo: a@x.test\r\n\r\n`,
    );
  });

  it("keeps its own Date and Message-ID, whatever they contain", () => {
    const message =
      "From: me@x.test\r\nDate: yesterday\r\nMessage-ID: none\r\nTo: a@x.test\r\n\r\n";
    assert.equal(rest(message), message);
  });

  it("keeps Return-Path, and other fields that others are to remove", () => {
    const message = `Return-Path: <z@z.test>\r\nX-Mailer: m\r\nReply-To: z@z.test\r\n${HEADER}\r\n`;
    assert.equal(rest(message), message);
  });

  it("loses an mbox line at its top, and only there (RFC 4155)", () => {
    const date = "Thu Nov  5 06:07:08 2026";
    assert.equal(
      rest(`From me@x.test ${date}\r\n${HEADER}\r\nFrom here on\r\n`),
      `${HEADER}\r\nFrom here on\r\n`,
    );
    assert.equal(rest(`>From me@x.test ${date}\r\n${HEADER}\r\n`), `${HEADER}\r\n`);
    assert.equal(rest(`From me\r\n>From you\r\n${HEADER}\r\n`), `${HEADER}\r\n`);
    assert.equal(rest(`From me@x.test ${date}\r\n\r\nbody`), `${NEW_FIELDS}\r\nbody`);
  });

  const HEADERLESS: readonly (readonly [name: string, message: string, body: string])[] = [
    ["of nothing", "", ""],
    ["of an empty line", "\r\n", ""],
    ["that is all body", "\r\nbody", "body"],
    ["of text alone", "Alarm in rack 7\r\nsecond line\r\n", "Alarm in rack 7\r\nsecond line\r\n"],
    ["of one word", "hello", "hello"],
    ["of text with a colon", "at 10:30 it broke\r\n", "at 10:30 it broke\r\n"],
    ["of text that begins with a space", " hello\r\n\r\nmore", " hello\r\n\r\nmore"],
    [
      "of text with lines like fields",
      "Alarm in\r\nRack: 7\r\nDate: now\r\n",
      "Alarm in\r\nRack: 7\r\nDate: now\r\n",
    ],
    [
      "of text before lines like a header",
      "Voicemail received\r\nFrom: 123@pbx.test\r\nTo: b@x.test\r\n\r\n",
      "Voicemail received\r\nFrom: 123@pbx.test\r\nTo: b@x.test\r\n\r\n",
    ],
    [
      "of text that begins with a space, before lines like a header",
      " folded\r\nX: y\r\nBcc: z@z.test\r\n\r\nbody",
      " folded\r\nX: y\r\nBcc: z@z.test\r\n\r\nbody",
    ],
    ["of text that begins with From", "From here on\r\ntext\r\n", "From here on\r\ntext\r\n"],
    ["of text that is no ASCII", "\xc3\x9cber: x\r\n", "\xc3\x9cber: x\r\n"],
  ];
  for (const [name, message, body] of HEADERLESS) {
    it(`and an empty line are put before a message ${name}`, () => {
      const text = textOf(prepared(inBlocks(message, 5), ["a@x.test"]));
      assert.equal(text, `${RECEIVED}${NEW_FIELDS}\r\n${body}`);
    });
  }

  it("added before a text with NULs declares the text's encoding", () => {
    const text = textOf(prepared(content("Alarm\0\r\n"), ["a@x.test"]));
    assert(text.includes("\r\nContent-Transfer-Encoding: base64\r\n"), text);
    assert(text.endsWith(`\r\n\r\n${Buffer.from("Alarm\0\r\n").toString("base64")}\r\n`), text);
  });

  it("without an empty line gets one", () => {
    assert.equal(rest(HEADER), `${HEADER}\r\n`);
    assert.equal(rest(HEADER.slice(0, -2)), `${HEADER}\r\n`);
    assert.equal(
      rest(`${HEADER}Hello,\r\nhow are you?\r\n`),
      `${HEADER}\r\nHello,\r\nhow are you?\r\n`,
    );
  });

  const TELLING = [
    "Bcc: z@z.test",
    "Bcc: Secret Person\r\n <z@z.test>",
    "TO : somebody",
    "Cc:",
    "From: z",
    "Sender: z",
    "Resent-Cc: z",
    "MIME-Version: 1.0",
    "Content-Type: x/y",
  ];

  it("is refused if a line splits it: what follows may be a Bcc", () => {
    for (const field of TELLING) {
      for (const line of ["Hello there", ": x", "\xff"]) {
        const { status, text, code } = refusal(`${HEADER}${line}\r\nX: y\r\n${field}\r\n\r\nbody`);
        assert.equal(status, "554 5.6.0");
        assert.equal(code, "BROKEN_HEADER");
        assert(text.includes("is no field"), text);
        assert.match(text, /^[\x20-\x7e]+$/);
      }
    }
  });

  it("loses a malformed field line if the header continues after it", () => {
    const more = "MIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nbody";
    for (
      const line of ["X Mailer: foo", "T\xf6: x", "B\0cc: z@z.test", "X Y: z\r\n folded\r\n\t"]
    ) {
      assert.equal(rest(`${HEADER}${line}\r\n${more}`), HEADER + more);
    }
  });

  it("loses it before a Bcc, folded or not, which no recipient sees", () => {
    for (const bcc of ["Bcc: z@z.test", "Bcc: Secret Person\r\n <z@z.test>", "BCC:\r\n z@z.test"]) {
      assert.equal(
        rest(`${HEADER}X Mailer: foo\r\n${bcc}\r\nSubject: s\r\n\r\nbody`),
        `${HEADER}Subject: s\r\n\r\nbody`,
      );
    }
  });

  it("loses it before a body in base64, of which it would become a part", () => {
    const base64 = `${HEADER}MIME-Version: 1.0\r\nContent-Transfer-Encoding:\r\n base64\r\n`;
    for (const line of ["X Mailer: foo", "no field"]) {
      assert.equal(rest(`${base64}${line}\r\n\r\nYWJj\r\n`), `${base64}\r\nYWJj\r\n`);
    }
    // Here it is the empty line that is missing.
    assert.equal(rest(`${base64}YWJj\r\n\r\n`), `${base64}\r\nYWJj\r\n\r\n`);
    assert.equal(rest(`${base64}Hello there\r\n`), `${base64}\r\nHello there\r\n`);
  });

  it("has NULs and stray CRs replaced by spaces, and a byte order mark removed", () => {
    assert.equal(rest(`${HEADER}Subject: a\0b\rc\0\r\n\r\nd`), `${HEADER}Subject: a b c \r\n\r\nd`);
    assert.equal(rest(`\ufeff${HEADER}\r\nbody`), `${HEADER}\r\nbody`);
    assert(rest("\ufeffno header").endsWith("\r\n\r\n\ufeffno header"));
  });

  it("ends at the same point with any line ends", () => {
    for (const end of ["\n\n", "\r\n\n", "\n\r\n", "\r\r\n\r\r\n", "\r\n\r\r\n"]) {
      const message = `${HEADER.slice(0, -2)}${end}body\n\nX: y\r\n\r\n`;
      assert.equal(rest(message), `${HEADER}\r\nbody\r\n\r\nX: y\r\n\r\n`);
    }
  });

  it("is refused if its lines end in CR alone (RFC 5321 §2.3.8)", () => {
    const lines = "From: me@x.test\rTo: a@x.test\rSubject: hi\r\rImportant text";
    for (const end of ["", "\r", "\r\n", "\n", "\r\n\r\n"]) {
      for (const size of [1, 7, 1000]) {
        const { status, text, code } = refusal(inBlocks(lines + end, size));
        assert.equal(status, "554 5.6.0");
        assert.equal(code, "CR_ONLY");
        assert.match(text, /CRLF/);
      }
    }
    assert.equal(rest(`${HEADER}Subject: a\rb\r\n\r\n`), `${HEADER}Subject: a b\r\n\r\n`);
    assert(rest("Alarm\r\n").endsWith("\r\n\r\nAlarm\r\n"));
  });

  it("keeps the position of its fields when the encoding changes", () => {
    const encoding = (name: string) =>
      `MIME-Version: 1.0\r\nContent-Transfer-Encoding: ${name}\r\n`;
    const text = rest(`${encoding("quoted-printable")}${HEADER}Bcc: z@z.test\r\n\r\n=41`);
    assert.equal(text, `${encoding("base64")}${HEADER}\r\nQQ==\r\n`);
  });

  it("is repaired before anything is done to a binary part, whose octets are data", () => {
    const part = "--b\r\nContent-Type: application/octet-stream\r\n" +
      "Content-Transfer-Encoding: 8bit\r\n\r\nA\nB\0C\r\n--b--\r\n";
    const type = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n";
    const encoded = Buffer.from("A\nB\0C").toString("base64");
    for (
      const [before, after] of [
        ["From me\r\n>From you\r\n", "X Mailer: foo\r\n"],
        ["From me\n>From you\n", ""],
        ["", "X Mailer: foo\r\n"],
        ["", ""],
      ]
    ) {
      const text = rest(`${before}${HEADER}${type}${after}\r\n${part}`);
      assert(text.includes(`\r\n\r\n${encoded}\r\n--b--`), text);
    }
  });

  it("is not refused for text after an empty line", () => {
    assert.equal(
      rest(`${HEADER}Hello\r\n\r\nBcc: z@z.test\r\n`),
      `${HEADER}\r\nHello\r\n\r\nBcc: z@z.test\r\n`,
    );
  });

  it("has lines over 998 octets folded at white space (RFC 5322 §2.1.1)", () => {
    const words = Array.from({ length: 400 }, (_, i) => `word${i}`).join(" ");
    const text = rest(`${HEADER}Subject: ${words}\r\nX-Long: ${"x".repeat(1500)}\r\n\r\nbody`);
    const subject = /Subject: (.*?)\r\nX-Long/s.exec(text)![1]!;
    assert.equal(subject.replaceAll("\r\n", ""), words);
    assert(subject.split("\r\n").every((line) => line.length <= 998 && line.trim() !== ""));
    assert.equal(subject.split("\r\n").length, 4);
    assert(text.includes(`X-Long:\r\n ${"x".repeat(1500)}\r\n\r\nbody`));
  });

  it("has no line made blank by folding", () => {
    const spaces = " ".repeat(1200);
    const text = rest(`${HEADER}X: a${spaces}b${spaces}\r\n\r\n`);
    assert.equal(
      text.replaceAll("\r\n", ""),
      `${HEADER}X: a${spaces}b${spaces}`.replaceAll("\r\n", ""),
    );
    assert(text.slice(0, -4).split("\r\n").every((line) => line.trim() !== ""));
  });

  it("over 256 KB is refused, because Exchange does not accept it", () => {
    const line = `X: ${"y".repeat(900)}\r\n`;
    for (const times of [300, 700]) {
      const { status, text, code } = refusal(`${HEADER}${line.repeat(times)}\r\nbody`);
      assert.equal(status, "552 5.3.4");
      assert.equal(code, "HEADER_TOO_LARGE");
      assert.match(text, /262144/);
    }
    assert.equal(refusal(`X: ${"y".repeat(600_000)}`).code, "HEADER_TOO_LARGE");
    prepared(inBlocks(`${HEADER}${line.repeat(280)}\r\n${line.repeat(1000)}`, 5000), ["a@x.test"]);
  });

  it("is refused for its size before anything else in it is examined", () => {
    const several = "From: a@x.test\r\nFrom: b@x.test\r\n";
    const line = `X: ${"y".repeat(900)}\r\n`;
    const limits = { ...MESSAGE_LIMITS, header: 4096 };
    for (
      const text of [
        `${several}${line.repeat(5)}\r\nText`,
        // Irregular, and broken after the limit.
        `${several}${line.repeat(5)}!\r\n${several}\r\nText`,
        // It would be parts without number.
        `${several}${line.repeat(5)}Content-Type: multipart/mixed; boundary=b\r\n\r\n` +
        "--b\r\n\r\n".repeat(2000),
      ]
    ) {
      const options = { ...OPTIONS, limits };
      const result = prepareMessage(inBlocks(text, 1000), envelope(["a@x.test"]), options);
      assert(result.type === "rejected");
      assert.equal(result.code, "HEADER_TOO_LARGE");
    }
  });

  it("is counted after its repair", () => {
    // Each line end loses an octet, and each line of white space goes.
    const text = `From: me@x.test\r\r\n${"X: y\r\r\n \r\r\n".repeat(500)}\r\r\nText`;
    assert.ok(text.length > 5000);
    const limits = { ...MESSAGE_LIMITS, header: 4096 };
    prepared(inBlocks(text, 1000), ["a@x.test"], undefined, { limits });
  });

  it("is counted with the added fields", () => {
    const filler = `X: ${"y".repeat(900)}\r\n`.repeat(289);
    const rest = `X: ${"y".repeat(256 * 1024 - HEADER.length - filler.length - 10)}`;
    assert.equal(refusal(`${HEADER}${filler}${rest}\r\n\r\n`).code, "HEADER_TOO_LARGE");
  });
});

describe("a recipient", () => {
  const DOUBTFUL: readonly (readonly [name: string, address: string])[] = [
    ["an encoded word, which a mail system may decode", "=?utf-8?q?z=40z.test=3e=00?=@x.test"],
    ["a list in quotes, which one may divide", '"evil@y.test, c"@x.test'],
    ["escapes in quotes", '"a\\"b"@x.test'],
    ["octets that are no UTF-8", "\ufffd@x.test"],
  ];
  for (const [name, address] of DOUBTFUL) {
    it(`is refused for ${name}`, () => {
      const result = prepareMessage(content(`${HEADER}\r\n`), envelope([address]), OPTIONS);
      assert(result.type === "rejected");
      assert.equal(result.reply.code, 550);
      assert.equal(result.reply.enhanced, "5.1.3");
      assert.equal(result.code, "DOUBTFUL_RECIPIENT");
    });
  }

  it("without a domain, postmaster, is the sender's (RFC 5321 §4.5.1)", () => {
    assert.equal(
      rest(`${HEADER}\r\n`, ["a@x.test", "PostMaster"]),
      `Bcc: PostMaster@x.test\r\n${HEADER}\r\n`,
    );
  });
});

describe("any octets at all", () => {
  const piece = fc.oneof(
    fc.constantFrom(
      "To: ",
      "Cc: ",
      "From: ",
      "From ",
      "a@x.test",
      "z@z.test",
      ",",
      "\r\n",
      " ",
      "\t",
    ),
    fc.constantFrom(
      "\xff",
      "(",
      "x: y",
      "\r\n\r\n",
      "\n",
      "\r",
      "\0",
      "X : ",
      "Date:",
      "Bcc:",
      "\r\n \r\n",
    ),
    fc.string({ unit: "binary-ascii", maxLength: 5 }),
  );

  it("are prepared or refused, and never turn header into text or text into header", async () => {
    await fc.assert(
      fc.asyncProperty(anyContent(piece), async (message) => {
        const result = prepareMessage(message, envelope(["a@x.test", "b@x.test"]), OPTIONS);
        if (result.type === "rejected") {
          assert.equal(Math.floor(result.reply.code / 100), 5);
          assert.equal(result.reply.enhanced?.[0], "5");
          return;
        }
        assert(result.content.every((block) => block.length > 0));
        const text = textOf(result.content);
        assert(text.startsWith(RECEIVED));
        const header = text.slice(0, text.indexOf("\r\n\r\n") + 2);
        // Whole fields, each on lines that no reader takes for the end.
        assert.match(header, /^(?:[!-9;-~]+:.*\r\n(?:[ \t]+[^ \t\r\n].*\r\n)*)+$/);
        const { headers } = await PostalMime.parse(Buffer.from(text, "latin1"));
        for (const name of ["from", "date", "message-id"]) {
          assert(headers.some(({ key }) => key === name), `${name}: ${text}`);
        }
        for (const name of ["from", "to", "cc", "bcc", "sender"]) {
          assert(headers.filter(({ key }) => key === name).length <= 1, `${name}: ${text}`);
        }
      }),
      { numRuns: 800 },
    );
  });

  it("after the header stay as they are", () => {
    fc.assert(
      fc.property(anyContent(piece), (body) => {
        const text = textOf(body).replace(/[\r\n\0]/g, "");
        const message = content(`From: z@z.test\r\nTo: z@z.test\r\nCc: a@x.test\r\n\r\n${text}`);
        assert(textOf(prepared(message, ["a@x.test"])).endsWith(`\r\n\r\n${text}`));
      }),
    );
  });

  it("get a valid Message-ID from a relay without a proper name as well (RFC 5322 §3.6.4)", () => {
    const id = (hostname: string) =>
      /Message-ID: (.*)\r\n/.exec(textOf(prepared([], ["a@x.test"], undefined, {
        trace: { ...TRACE, hostname },
      })))![1];
    assert.equal(id("relay"), "<0123456789abcdef@relay>");
    assert.equal(id("[192.0.2.1]"), "<0123456789abcdef@relay.invalid>");
    assert.equal(id("a b"), "<0123456789abcdef@relay.invalid>");
  });
});
