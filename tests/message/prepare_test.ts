/** What the relay changes in a message, and that it changes nothing else. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import fc from "fast-check";
import { addressesIn, addressKey } from "../../src/message/addresses.ts";
import { readHeader } from "../../src/message/header.ts";
import { prepareMessage } from "../../src/message/prepare.ts";
import type { Trace } from "../../src/message/received.ts";
import { anyContent, content, inBlocks, octets, textOf } from "../support/content.ts";

const TRACE: Trace = {
  helo: "printer.example.com",
  address: "192.0.2.7",
  hostname: "relay.example.com",
  esmtp: true,
  tls: true,
  smtputf8: false,
  id: "0123456789abcdef",
  at: new Date("2026-11-05T06:07:08Z"),
};
const RECEIVED = "Received: from printer.example.com ([192.0.2.7])\r\n" +
  "\tby relay.example.com with ESMTPSA id 0123456789abcdef;\r\n" +
  "\tThu, 5 Nov 2026 06:07:08 +0000\r\n";

/** UTF-8 in, UTF-8 out: the fields of these tests are to be read. */
function prepare(message: string, recipients: readonly string[], from = "me@x.test") {
  const latin1 = Buffer.from(message, "utf8").toString("latin1");
  const { content: prepared, sender } = prepareMessage(
    inBlocks(latin1, 7),
    from,
    recipients,
    TRACE,
  );
  const text = Buffer.concat([...prepared]).toString("utf8");
  assert(text.startsWith(RECEIVED), text);
  return { rest: text.slice(RECEIVED.length), sender };
}

interface BccCase {
  readonly name: string;
  readonly header: string;
  readonly recipients: readonly string[];
  /** The header afterwards, behind the Received field. */
  readonly expected: string;
}

const BCC: readonly BccCase[] = [
  {
    name: "is not added where To and Cc name everybody",
    header: "To: a@x.test\r\nCc: B <b@x.test>\r\n",
    recipients: ["a@x.test", "b@x.test"],
    expected: "To: a@x.test\r\nCc: B <b@x.test>\r\n",
  },
  {
    name: "is added with those who are missing, each with the envelope's spelling",
    header: "To: a@x.test\r\n",
    recipients: ["a@x.test", "Bea.B@X.Test", '"c c"@x.test'],
    expected: 'Bcc: Bea.B@X.Test,\r\n\t"c c"@x.test\r\nTo: a@x.test\r\n',
  },
  {
    name: "is added where there is no recipient field at all",
    header: "Subject: s\r\n",
    recipients: ["a@x.test"],
    expected: "Bcc: a@x.test\r\nSubject: s\r\n",
  },
  {
    name: "is added where To names an empty group only",
    header: "To: undisclosed-recipients:;\r\n",
    recipients: ["a@x.test"],
    expected: "Bcc: a@x.test\r\nTo: undisclosed-recipients:;\r\n",
  },
  {
    name: "names nobody twice who is in the envelope twice, whatever the case",
    header: "Subject: s\r\n",
    recipients: ["Ann@x.test", "ann@X.TEST", "b@x.test", "Ann@x.test"],
    expected: "Bcc: Ann@x.test,\r\n\tb@x.test\r\nSubject: s\r\n",
  },
  {
    name: "is not added for other spellings of an address that is there",
    header: 'To: ANN@x.test, "bea"@x.test, c@xn--bcher-kva.test, "d d"@x.test\r\n',
    recipients: ["ann@X.test", "Bea@x.test", "c@bücher.test", '"D d"@x.test'],
    expected: 'To: ANN@x.test, "bea"@x.test, c@xn--bcher-kva.test, "d d"@x.test\r\n',
  },
  {
    name: "is added for one who is only in a comment, a display name, From or Reply-To",
    header: 'From: a@x.test\r\nReply-To: a@x.test\r\nTo: "a@x.test" (a@x.test) <b@x.test>\r\n',
    recipients: ["a@x.test", "b@x.test"],
    expected: "Bcc: a@x.test\r\n" +
      'From: a@x.test\r\nReply-To: a@x.test\r\nTo: "a@x.test" (a@x.test) <b@x.test>\r\n',
  },
  {
    name: "counts several To fields, and folded ones",
    header: "To: a@x.test\r\nTO:\r\n b@x.test,\r\n\tc@x.test\r\n",
    recipients: ["a@x.test", "b@x.test", "c@x.test"],
    expected: "To: a@x.test\r\nTO:\r\n b@x.test,\r\n\tc@x.test\r\n",
  },
  {
    name: "does not count Resent-To, which speaks of an earlier sending (RFC 5322 §3.6.6)",
    header: "Resent-To: a@x.test\r\n",
    recipients: ["a@x.test"],
    expected: "Bcc: a@x.test\r\nResent-To: a@x.test\r\n",
  },
  {
    name: "grows where there is one already, for a message has one at most (RFC 5322 §3.6)",
    header: "To: a@x.test\r\nBcc: b@x.test\r\nSubject: s\r\n",
    recipients: ["b@x.test", "c@x.test", "d@x.test"],
    expected: "To: a@x.test\r\nBcc: c@x.test,\r\n\td@x.test, b@x.test\r\nSubject: s\r\n",
  },
  {
    name: "grows where it is folded, has no space, or white space before its colon",
    header: "bcc \t:b@x.test,\r\n\tc@x.test\r\nSubject: s\r\n",
    recipients: ["d@x.test"],
    expected: "bcc \t: d@x.test,b@x.test,\r\n\tc@x.test\r\nSubject: s\r\n",
  },
  {
    name: "is filled where it is empty (RFC 5322 §3.6.3)",
    header: "To: a@x.test\r\nBcc:\r\nSubject: s\r\n",
    recipients: ["b@x.test"],
    expected: "To: a@x.test\r\nBcc: b@x.test\r\nSubject: s\r\n",
  },
  {
    name: "is filled where it is empty but for white space",
    header: "Bcc:  \r\nSubject: s\r\n",
    recipients: ["b@x.test", "c@x.test"],
    expected: "Bcc: b@x.test,\r\n\tc@x.test  \r\nSubject: s\r\n",
  },
  {
    name: "gives a bare postmaster the sender's domain (RFC 5321 §4.5.1)",
    header: "To: a@x.test\r\n",
    recipients: ["Postmaster", "postmaster@x.test"],
    expected: "Bcc: Postmaster@x.test\r\nTo: a@x.test\r\n",
  },
];

describe("the Bcc field", () => {
  for (const { name, header, recipients, expected } of BCC) {
    it(name, () => {
      const body = "\r\nTo: somebody@else.test\r\n.\r\n";
      assert.equal(prepare(header + body, recipients).rest, expected + body);
    });
  }

  it("makes every recipient understood, whatever stands in it and in To", () => {
    const bodies = [
      "",
      "x:;",
      "b@x.test;",
      "b@x.test,",
      "(c",
      '"q',
      "<b@x.test",
      "=?x?q?y?=",
      "\\",
    ];
    for (const bcc of bodies) {
      for (const to of bodies) {
        const { rest } = prepare(`To: ${to}\r\nBcc: ${bcc}\r\n\r\n`, ["a@x.test", "B@y.test"]);
        const { fields } = readHeader([Buffer.from(rest, "utf8")]);
        const found = fields.flatMap(({ body }) => addressesIn(body.toString("utf8")));
        assert(found.includes("a@x.test") && found.includes("B@y.test"), rest);
        assert.equal(fields.length, 2, rest);
      }
    }
  });
});

describe("a prepared message", () => {
  it("has the Received field first, and is else the same, octet for octet", () => {
    const every = String.fromCharCode(...Array.from({ length: 256 }, (_, octet) => octet))
      .replace("\r", "").replace("\n", "");
    const message = `To: a@x.test\r\nX: ${every}\r\n\r\n${every}\r\n..\r\n`;
    for (const size of [1, 10, 1000]) {
      const { content: prepared } = prepareMessage(
        inBlocks(message, size),
        "me@x.test",
        ["a@x.test"],
        TRACE,
      );
      assert.equal(textOf(prepared), RECEIVED + message);
    }
  });

  it("has its header on top where it has none of its own (RFC 5322 §2.1)", () => {
    assert.equal(prepare("\r\nbody", ["a@x.test"]).rest, "Bcc: a@x.test\r\n\r\nbody");
    assert.equal(prepare("", ["a@x.test"]).rest, "Bcc: a@x.test\r\n");
    assert.equal(prepare("Subject: s", ["a@x.test"]).rest, "Bcc: a@x.test\r\nSubject: s");
  });

  it("has CRLF line ends, whatever it came with (RFC 5322 §2.1)", () => {
    const { rest } = prepare("To: a@x.test\nBcc: b@x.test\n\nbody\n", ["c@x.test"]);
    assert.equal(rest, "To: a@x.test\r\nBcc: c@x.test, b@x.test\r\n\r\nbody\r\n");
  });

  it("is Received [+ Bcc] + what came in, for any message and any recipients", () => {
    const piece = fc.constantFrom(
      "To: ",
      "Cc: ",
      "a@x.test",
      "b@x.test",
      ",",
      "\r\n",
      " ",
      "\xff",
      "(",
      "x: y",
    );
    const recipients = fc.subarray(["a@x.test", "A@x.test", "b@x.test", "c@x.test"], {
      minLength: 1,
    });
    fc.assert(
      fc.property(anyContent(piece), recipients, (message, envelope) => {
        const before = textOf(message);
        const named = new Set(
          readHeader(message).fields.filter(({ name }) => name === "to" || name === "cc")
            .flatMap(({ body }) => addressesIn(body.toString("utf8"))).map(addressKey),
        );
        const missing = envelope.filter((address, index) =>
          !named.has(addressKey(address)) &&
          envelope.findIndex((other) => addressKey(other) === addressKey(address)) === index
        );
        const bcc = missing.length === 0 ? "" : `Bcc: ${missing.join(",\r\n\t")}\r\n`;
        const { content: prepared, sender } = prepareMessage(message, "me@x.test", envelope, TRACE);
        assert.equal(textOf(prepared), RECEIVED + bcc + before);
        assert.equal(sender, "me@x.test");
        assert.equal(textOf(message), before);
        assert(prepared.every((block) => block.length > 0));
      }),
      { numRuns: 300 },
    );
  });

  it("shares its large blocks with what came in: they are not copied", () => {
    const large = octets("x".repeat(100_000));
    const { content: prepared } = prepareMessage(
      [...content("Bcc: a@x.test\r\n\r\n"), large],
      "me@x.test",
      ["b@x.test"],
      TRACE,
    );
    assert(prepared.includes(large));
  });
});

describe("the sender", () => {
  it("is MAIL FROM, whatever From says", () => {
    assert.equal(prepare("From: b@x.test\r\n\r\n", ["c@x.test"], "a@x.test").sender, "a@x.test");
  });

  const FROM: readonly (readonly [from: string, sender: string | undefined])[] = [
    ["From: Ann <ann@x.test>\r\n", "ann@x.test"],
    ["Subject: s\r\nFROM:\r\n ann@x.test (Ann), bea@x.test\r\n", "ann@x.test"],
    ['From: "ann b"@x.test\r\n', '"ann b"@x.test'],
    ["From: nobody\r\n", undefined],
    ["From: undisclosed:;\r\n", undefined],
    ["Sender: ann@x.test\r\n", undefined],
    ["", undefined],
  ];
  for (const [header, sender] of FROM) {
    it(`is ${sender} for the null reverse-path with ${JSON.stringify(header)}`, () => {
      assert.equal(prepare(`${header}\r\n`, ["c@x.test"], "").sender, sender);
    });
  }

  it("of a null reverse-path gives its domain to a bare postmaster", () => {
    const { rest } = prepare("From: ann@y.test\r\n\r\n", ["postmaster"], "");
    assert.equal(rest, "Bcc: postmaster@y.test\r\nFrom: ann@y.test\r\n\r\n");
  });
});
