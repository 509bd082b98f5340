/**
 * From and Sender as written by people and programs, and the form in which every reader finds the same
 * author (RFC 5322 §3.2.5, §3.4, §3.6.2). Inputs and results are octets, one character each.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import { octetsIn } from "../../src/message/lazy_piece.ts";
import type { SenderOverride } from "../../src/message/originator.ts";
import { generated } from "./readers/differential.ts";
import {
  DATE,
  envelope,
  MESSAGE_ID,
  OPTIONS,
  prepareMessage,
  RECEIVED,
} from "../graph/preparing.ts";

const SCAN = "scan@example.com";
const ANN = "ann@sender.example";
const TOP = `${DATE}${MESSAGE_ID}To: c@x.test\r\n`;

interface Result {
  /** The fields except those that every message has. */
  readonly fields: string;
  readonly sender: string;
  /** The addresses that the relay checks; `?` before ambiguous ones. */
  readonly named: readonly string[];
}

function prepare(
  header: string,
  account: SenderOverride = {},
  from = SCAN,
): Result | { readonly refused: string } {
  const message = [Buffer.from(`${TOP}${header}\r\nFrom: body@x.test\r\n`, "latin1")];
  const result = prepareMessage(message, envelope(["c@x.test"], from), { ...OPTIONS, account });
  if (result.type === "rejected") {
    const { code, enhanced } = result.reply;
    return { refused: `${code} ${enhanced} ${result.code}` };
  }
  const text = Buffer.concat([...octetsIn(result.content)]).toString("latin1");
  return {
    fields: text.slice(RECEIVED.length, text.indexOf("\r\n\r\n") + 2).replace(TOP, ""),
    sender: result.sender,
    named: result.named().map(({ text, unambiguous }) => `${unambiguous ? "" : "?"}${text}`),
  };
}

type Row = readonly [from: string, expected: string];

/** By fault. The expected address may be the sender's. */
const MENDED: Readonly<Record<string, readonly Row[]>> = {
  "an address as a bare display name": [
    ["printer@example.com <printer@example.com>", "<printer@example.com>"],
    ["Printer@Example.com <printer@example.com>", "<printer@example.com>"],
    ["Scanner printer@example.com <printer@example.com>", "Scanner <printer@example.com>"],
    ["other@example.org\r\n\t<printer@example.com>", "<printer@example.com>"],
    ["Scanner @ 2nd floor <scan@example.com>", "<scan@example.com>"],
  ],
  "an address without brackets": [
    ["Scanner scan@example.com", "Scanner <scan@example.com>"],
    ["scan@example.com Scanner", "Scanner <scan@example.com>"],
    ["Scan Room\r\n\tscan@example.com", "Scan Room <scan@example.com>"],
    ['"Scan, Room" scan@example.com', '"Scan, Room" <scan@example.com>'],
    ["=?utf-8?q?B=C3=BCro?= scan@example.com", "=?utf-8?q?B=C3=BCro?= <scan@example.com>"],
  ],
  "brackets that are not as they should be": [
    ["<scan@example.com> Scanner", "Scanner <scan@example.com>"],
    ["Scanner <scan@example.com", "Scanner <scan@example.com>"],
    ["<<scan@example.com>>", "<scan@example.com>"],
    ["Scanner < scan @ example . com >", "Scanner <scan@example.com>"],
    ["Scanner <@a.test,@b.test:scan@example.com>", "Scanner <scan@example.com>"],
    ["Scanner <mailto:scan@example.com>", "Scanner <scan@example.com>"],
  ],
  "other signs around the address": [
    ["mailto:scan@example.com", "<scan@example.com>"],
    ["[SMTP:scan@example.com]", "<scan@example.com>"],
    ["'scan@example.com'", "<scan@example.com>"],
    ["scan@example.com.", "<scan@example.com>"],
    ["scan@example.com,", "<scan@example.com>"],
    ["scan@example.com;", "<scan@example.com>"],
    ["scan@example.com\\", "<scan@example.com>"],
  ],
  "specials in the display name": [
    ["EXAMPLE\\scanner <scan@example.com>", '"EXAMPLE\\\\scanner" <scan@example.com>'],
    ["Scan: 2nd floor <scan@example.com>", '"Scan: 2nd floor" <scan@example.com>'],
    ["Scanner; 2nd floor <scan@example.com>", '"Scanner; 2nd floor" <scan@example.com>'],
    ["Scanner :) <scan@example.com>", '"Scanner :)" <scan@example.com>'],
    ["Scanner (2nd floor <scan@example.com>", '"Scanner (2nd floor" <scan@example.com>'],
    ["[Scanner] 2 <scan@example.com>", '"[Scanner] 2" <scan@example.com>'],
    ["Scan\x01ner\x7f\x0b2 <scan@example.com>", "Scan ner 2 <scan@example.com>"],
    ["Scan\0ner <scan@example.com>", "Scan ner <scan@example.com>"],
  ],
  "a quote that does not end": [
    ['Brian "Guzman <scan@example.com>', '"Brian \\"Guzman" <scan@example.com>'],
    ['"Brian Guzman <scan@example.com>', '"\\"Brian Guzman" <scan@example.com>'],
    ['19" Monitor <scan@example.com>', '"19\\" Monitor" <scan@example.com>'],
  ],
  "a comma in the display name": [
    ["Doe, John <scan@example.com>", '"Doe, John" <scan@example.com>'],
    ["Doe, John, Dr. <scan@example.com>", '"Doe, John, Dr." <scan@example.com>'],
    ["Doe <scan@example.com>, Jr.", '"Doe, Jr." <scan@example.com>'],
    [
      "D\xc3\xb6e,\r\n J\xc3\xb6rg <scan@example.com>",
      '"D\xc3\xb6e, J\xc3\xb6rg" <scan@example.com>',
    ],
  ],
  "no address": [
    ["admin <>", "admin <scan@example.com>"],
    ["Scanner <scanner>", "Scanner <scan@example.com>"],
    ["Scanner 2 <scanner@>", "Scanner 2 <scan@example.com>"],
    ["MAILER DAEMON <>", "MAILER DAEMON <scan@example.com>"],
    ["=?utf-8?Q?B=C3=BCro?= <>", "=?utf-8?Q?B=C3=BCro?= <scan@example.com>"],
    ["<>", "<scan@example.com>"],
    ["<scanner>", "scanner <scan@example.com>"],
    ["Scanner scanner@", "Scanner <scan@example.com>"],
    ["Scanner <@example.com>", "Scanner <scan@example.com>"],
    ["Scanner: 2 <>", '"Scanner: 2" <scan@example.com>'],
    ["undisclosed:;", "undisclosed <scan@example.com>"],
    ["a..b@x.test", "<scan@example.com>"],
  ],
  "an address in an encoded word": [
    [
      "=?utf-8?q?Pr=C3=BCf_Stand_<sender@example.com>?=",
      "=?utf-8?B?UHLDvGYgU3RhbmQ=?= <sender@example.com>",
    ],
    ["=?utf-8?b?U2NhbiA8c2VuZGVyQGV4YW1wbGUuY29tPg==?=", "Scan <sender@example.com>"],
    ["=?utf-8?q?sender=40example.com?=", "<sender@example.com>"],
    [
      "=?iso-8859-1?q?Pr=FCf?= =?iso-8859-1?q?_=3Csender=40example=2Ecom=3E?=",
      "=?utf-8?B?UHLDvGY=?= <sender@example.com>",
    ],
  ],
  "specials in an encoded word (RFC 2047 §5)": [
    [
      "=?utf-8?q?M=C3=BCller, J?= <scan@example.com>",
      "=?utf-8?B?TcO8bGxlciwgSg==?= <scan@example.com>",
    ],
    ["=?utf-8?Q?B=C3=BCro_(2)?= <scan@example.com>", "=?utf-8?B?QsO8cm8gKDIp?= <scan@example.com>"],
    ["=?utf-8?Q?Scan:_2?= <scan@example.com>", '"Scan: 2" <scan@example.com>'],
  ],
  "octets of an unknown charset": [
    ["M\xfcller, J <scan@example.com>", '"M\xfcller, J" <scan@example.com>'],
    // Shift JIS, whose second octets are `\`, `[` and `@`.
    ["\x83\x5c\x83\x6a\x81\x5b <scan@example.com>", "<scan@example.com>"],
    ["\x83\x40\x83\x6a <scan@example.com>", "<scan@example.com>"],
    // ISO-2022-JP declares itself.
    ["\x1b$B%9%-%c%J\x1b(B <scan@example.com>", "=?utf-8?B?44K544Kt44Oj44OK?= <scan@example.com>"],
  ],
};

/** Fields that no reader misreads. */
const SOUND: readonly string[] = [
  "scan@example.com",
  "<scan@example.com>",
  "Scanner <scan@example.com>",
  "Scan Room 2 <scan@example.com>",
  "Dr. J. Doe <scan@example.com>",
  '"Doe, John" <scan@example.com>',
  '"EXAMPLE\\\\scanner" <scan@example.com>',
  '"Brian \\"B\\" Guzman" <scan@example.com>',
  '"printer@example.com" <printer@example.com>',
  "\r\n Scanner\r\n\t<scan@example.com>",
  "scan@example.com (Scanner)",
  "(Scanner) scan@example.com",
  "=?utf-8?q?B=C3=BCro?= =?utf-8?b?MjAy?= <scan@example.com>",
  "J\xc3\xbcrgen <scan@example.com>",
  "M\xfcller <scan@example.com>",
  "<scan@[192.0.2.1]>",
  "j\xc3\xb6rg@b\xc3\xbccher.example",
  "o'neil+x=y@example.com",
];

/** Legal names that are, or contain, another address. */
const NAMED_LIKE_ANOTHER: readonly string[] = [
  '"boss@corp.example" <ann@sender.example>',
  "\"'boss@corp.example' via Forms\" <ann@sender.example>",
  '"<boss@corp.example>" <ann@sender.example>',
  "=?utf-8?q?boss=40corp=2Eexample?= <ann@sender.example>",
  "=?utf-8?b?PGJvc3NAY29ycC5leGFtcGxlPiw=?= <ann@sender.example>",
  "=?utf-8?q?boss?= =?utf-8?q?=40corp=2Eexample?= <ann@sender.example>",
  "=?utf-16be?b?AGIAbwBzAHMAQABjAA==?= <ann@sender.example>",
  "(boss@corp.example) <ann@sender.example>",
  '"boss\xef\xbc\xa0corp.example" <ann@sender.example>',
  // Some readers know more charsets than others, and some decode unterminated words.
  "=?utf-7?q?boss+AEA-corp?= <ann@sender.example>",
  '"=?utf-8?q?boss=40corp" <ann@sender.example>',
];

/** At least two readers take another address than the last for the author. */
const ESCAPES: readonly string[] = [
  "boss@corp.example <ann@sender.example>",
  "boss@corp.example\t<ann@sender.example>",
  "boss@corp.example\r\n <ann@sender.example>",
  "boss@corp.example<ann@sender.example>",
  '"boss"@corp.example <ann@sender.example>',
  "boss@corp.example(x) <ann@sender.example>",
  "boss(x)@corp.example <ann@sender.example>",
  "[boss@corp.example] <ann@sender.example>",
  "boss@corp.example: <ann@sender.example>",
  "ann@sender.example\\",
  "=?utf-8?q?boss=40corp.example?=@x <ann@sender.example>",
];

/** The author is ambiguous. */
const DOUBTFUL: readonly string[] = [
  "boss@corp.example ann@sender.example",
  "<boss@corp.example> <ann@sender.example>",
  "<boss@corp.example,ann@sender.example>",
  "<boss@corp.example>\x0b<ann@sender.example>",
  '"boss"@corp.example ann@sender.example',
  '"boss@corp.example" ann@sender.example',
  "=?utf-8?q?boss=40corp.example=2C?=ann@sender.example",
  "=?utf-8?q?boss=40corp.example?=, ann@sender.example",
  "=?utf-8?q?x <boss@corp.example>, ?= <ann@sender.example>",
  '"boss@corp.example, <ann@sender.example>',
  // U+3002 is a dot to some (UTS #46).
  "boss@corp\xe3\x80\x82example",
];

describe("a From field", () => {
  for (const [what, rows] of Object.entries(MENDED)) {
    for (const [from, expected] of rows) {
      it(`is repaired that has ${what}: ${JSON.stringify(from)}`, () => {
        const [, address = ""] = /<([^<>]*)>$/.exec(expected) ?? [];
        for (const restricted of [false, true]) {
          assert.deepEqual(prepare(`From: ${from}\r\n`, { restricted }), {
            fields: `From: ${expected}\r\n`,
            sender: SCAN,
            named: [address],
          });
        }
      });
    }
  }

  for (const from of SOUND) {
    it(`stays octet for octet: ${JSON.stringify(from)}`, () => {
      for (const restricted of [false, true]) {
        const result = prepare(`From: ${from}\r\nSender:${from}\r\n`, { restricted });
        assert("fields" in result);
        assert.equal(result.fields, `From: ${from}\r\nSender:${from}\r\n`);
        assert(result.named.every((text) => !text.startsWith("?")));
      }
    });
  }

  for (const from of NAMED_LIKE_ANOTHER) {
    it(`loses a name like another address if senders are restricted: ${JSON.stringify(from)}`, () => {
      const free = prepare(`From: ${from}\r\n`, {}, ANN);
      assert("fields" in free);
      assert.equal(free.fields, `From: ${from}\r\n`, "nothing is restricted: the name is legal");
      assert.deepEqual(prepare(`From: ${from}\r\n`, { restricted: true }, ANN), {
        fields: `From: <${ANN}>\r\n`,
        sender: ANN,
        named: [ANN],
      });
    });
  }

  for (const from of ESCAPES) {
    it(`has no second author: ${JSON.stringify(from)}`, () => {
      for (const restricted of [false, true]) {
        assert.deepEqual(prepare(`From: ${from}\r\nSender: ${from}\r\n`, { restricted }, ANN), {
          fields: `From: <${ANN}>\r\nSender: <${ANN}>\r\n`,
          sender: ANN,
          named: [ANN, ANN],
        });
      }
    });
  }

  for (const from of DOUBTFUL) {
    it(`that is ambiguous is checked against restricted senders: ${JSON.stringify(from)}`, () => {
      const result = prepare(`From: ${from}\r\n`, { restricted: true }, ANN);
      assert("named" in result);
      const [named, ...others] = result.named;
      assert(named?.startsWith("?"));
      assert.deepEqual(others, []);
    });
  }

  it("stays if it is ambiguous but has an address, and nothing is restricted", () => {
    for (const from of ["boss@corp.example ann@sender.example", '"odd,name"@x.test']) {
      const result = prepare(`From: ${from}\r\n`, {}, ANN);
      assert("fields" in result);
      assert.equal(result.fields, `From: ${from}\r\n`);
    }
  });

  it("is read in another charset, however Content-Type names it (RFC 2045 §5.1, RFC 2231)", () => {
    const types = [
      "text/plain; charset = iso-8859-1",
      "text/plain; (western) charset=iso-8859-1",
      "text/plain; charset*=us-ascii'en'iso-8859-1",
      'text/plain; charset*0="iso-"; charset*1="8859-1"',
      'text/plain; name="a; charset=utf-16.txt"; charset=iso-8859-1',
    ];
    for (const type of types) {
      const result = prepare(`Content-Type: ${type}\r\nFrom: B\xfcro: Nord <${SCAN}>\r\n`);
      assert.ok("fields" in result);
      const [, word = ""] = /From: =\?utf-8\?B\?([^?]*)\?= <scan@/.exec(result.fields) ?? [];
      assert.equal(Buffer.from(word, "base64").toString("utf8"), "Büro: Nord", type);
    }
  });

  it("in another charset gets its name in UTF-8, if Content-Type names the charset", () => {
    const names: readonly (readonly [charset: string, name: string, word: string])[] = [
      ["shift_jis", "\x83\x5c\x83\x6a\x81\x5b", "44K944OL44O8"],
      ["cp932", "\x83\x40\x83\x6a", "44Kh44OL"],
      ["iso-8859-1", "M\xfcller \\ S\xf6hne", "TcO8bGxlciBcIFPDtmhuZQ=="],
    ];
    for (const [charset, name, word] of names) {
      const type = `Content-Type: text/plain; charset="${charset}"\r\n`;
      const result = prepare(`${type}From: ${name} <scan@example.com>\r\n`);
      assert("fields" in result);
      assert.equal(result.fields, `${type}From: =?utf-8?B?${word}?= <scan@example.com>\r\n`);
    }
  });

  it("loses a name that is longer than a line", () => {
    for (const filler of ["x", "x ", "\xfc", "(", '"', "=?", "=?utf-8?q?x?= ", "\\", "x@"]) {
      const name = filler.repeat(Math.ceil(100_000 / filler.length));
      const lines = name.replace(/.{900}/g, "$&\r\n ");
      const result = prepare(`From: Doe, ${lines} <scan@example.com>\r\n`);
      assert("fields" in result);
      assert.equal(result.fields, "From: <scan@example.com>\r\n");
    }
  });
});

describe("several authors (RFC 5322 §3.6.2)", () => {
  it("stay, each with a legal name, and Sender is the responsible one", () => {
    const lists: readonly Row[] = [
      ["ann@x.test, Bea <bea@x.test>", "ann@x.test, Bea <bea@x.test>"],
      ["ann@x.test; Bea <bea@x.test>", "<ann@x.test>,\r\n\tBea <bea@x.test>"],
      [
        "Doe, Ann <ann@x.test>, Roe, Bea <bea@x.test>",
        '"Doe, Ann" <ann@x.test>,\r\n\t"Roe, Bea" <bea@x.test>',
      ],
      ["z@z.test <ann@x.test>, bea@x.test", "<ann@x.test>,\r\n\t<bea@x.test>"],
    ];
    for (const [from, expected] of lists) {
      assert.deepEqual(prepare(`From: ${from}\r\n`), {
        fields: `Sender: <${SCAN}>\r\nFrom: ${expected}\r\n`,
        sender: SCAN,
        named: ["ann@x.test", "bea@x.test"],
      });
    }
  });

  it("of a group stay (RFC 6854), as a list if readers must not disagree", () => {
    const from = "Team: ann@x.test, Bea <bea@x.test>;";
    const named = ["ann@x.test", "bea@x.test"];
    assert.deepEqual(prepare(`From: ${from}\r\n`), {
      fields: `Sender: <${SCAN}>\r\nFrom: ${from}\r\n`,
      sender: SCAN,
      named,
    });
    assert.deepEqual(prepare(`From: ${from}\r\n`, { restricted: true }), {
      fields: `Sender: <${SCAN}>\r\nFrom: Team <ann@x.test>,\r\n\tBea <bea@x.test>\r\n`,
      sender: SCAN,
      named,
    });
  });

  it("of several From fields are merged if they are the same", () => {
    const same: readonly (readonly [header: string, expected: string])[] = [
      ["From: Ann <a@x.test>\r\nFrom: Ann <a@x.test>\r\n", "From: Ann <a@x.test>\r\n"],
      ["From: A <a@x.test>\r\nX: y\r\nfrom: A@X.test\r\n", "From: A <a@x.test>\r\nX: y\r\n"],
      ["From: b@x <a@x.test>\r\nFrom: a@x.test\r\nFrom:\r\n", "From: <a@x.test>\r\n"],
      [
        "From: a@x.test, b@x.test\r\nSender: a@x.test\r\nFrom: a@x.test, b@x.test\r\n",
        "From: a@x.test, b@x.test\r\nSender: a@x.test\r\n",
      ],
    ];
    for (const [header, expected] of same) {
      const result = prepare(header);
      assert("fields" in result);
      assert.equal(result.fields, expected);
    }
    for (
      const header of [
        "From: a@x.test\r\nFrom: b@x.test\r\n",
        "From: a@x.test\r\nFrom: Scanner\r\n",
        "From: a@x.test\r\nFrom: b@x.test a@x.test\r\n",
      ]
    ) assert.deepEqual(prepare(header), { refused: "554 5.6.0 SEVERAL_FROM" });
  });
});

describe("a Sender field", () => {
  for (const [what, rows] of Object.entries(MENDED)) {
    it(`is repaired like From that has ${what}`, () => {
      for (const [sender, expected] of rows) {
        const result = prepare(`Sender: ${sender}\r\nFrom: a@x.test\r\n`);
        assert("fields" in result);
        assert.equal(result.fields, `Sender: ${expected}\r\nFrom: a@x.test\r\n`);
      }
    });
  }

  it("is removed if it is empty, and added if several authors need one", () => {
    const result = prepare("Sender: \r\n\t\r\nFrom: a@x.test\r\nSender:\r\n");
    assert("fields" in result);
    assert.equal(result.fields, "From: a@x.test\r\n");
    const several = prepare("Sender:\r\nFrom: a@x.test, b@x.test\r\n");
    assert("fields" in several);
    assert.equal(several.fields, `Sender: <${SCAN}>\r\nFrom: a@x.test, b@x.test\r\n`);
  });

  it("that is ambiguous is checked against restricted senders", () => {
    for (const sender of DOUBTFUL) {
      const result = prepare(`From: ${ANN}\r\nSender: ${sender}\r\n`, { restricted: true }, ANN);
      assert("named" in result);
      assert.equal(result.named[0], ANN);
      assert(result.named[1]?.startsWith("?"));
    }
  });
});

describe("Resent-From and Resent-Sender, which some readers show as the sender (RFC 5322 §3.6.6)", () => {
  const resent = "Resent-From: boss@corp.example\r\nResent-Sender: boss@corp.example\r\n";
  it("stay if senders are not restricted", () => {
    const result = prepare(`${resent}From: ${ANN}\r\n`, {}, ANN);
    assert("fields" in result);
    assert.equal(result.fields, `${resent}From: ${ANN}\r\n`);
  });
  for (const account of [{ restricted: true }, { fromEmail: ANN }]) {
    it(`are removed if senders are restricted: ${JSON.stringify(account)}`, () => {
      const result = prepare(`${resent}From: ${ANN}\r\nResent-To: c@x.test\r\n`, account, ANN);
      assert("fields" in result);
      assert.equal(result.fields, `From: ${ANN}\r\nResent-To: c@x.test\r\n`);
    });
  }
});

describe("from_email", () => {
  for (const from of [...ESCAPES, ...NAMED_LIKE_ANOTHER, ...DOUBTFUL]) {
    it(`leaves no other author: ${JSON.stringify(from)}`, () => {
      for (const fromEmail of [ANN, "own@sender.example"]) {
        const result = prepare(`From: ${from}\r\nSender: ${from}\r\n`, { fromEmail }, "");
        assert("fields" in result);
        // All but the words next to an address.
        assert.equal(result.fields.replace(/[A-Z]\w+ /, ""), `From: <${fromEmail}>\r\n`);
        assert.deepEqual(result.named, [fromEmail]);
      }
    });
  }
});

describe("a sender that other mail systems read differently", () => {
  for (const address of ['"<"@x.y', '"a,b"@x.test', '"=?utf-8?q?a=40b?="@x.test']) {
    it(`is refused, like such a recipient: ${address}`, () => {
      const refused = "550 5.1.7 DOUBTFUL_SENDER";
      assert.deepEqual(prepare(`From: ${address}\r\n`, {}, ""), { refused });
      assert.deepEqual(prepare(`From: a@x.test\r\n`, {}, address), { refused });
      assert.deepEqual(prepare("", {}, address), { refused });
      const entry = prepare("From: a@x.test\r\n", { fromEmail: address });
      assert.deepEqual(entry, { refused: "550 5.1.7 BAD_FROM_EMAIL" });
    });
  }
});

describe("what is sent", () => {
  it("stays unchanged when it is sent again, whatever it was made from", () => {
    for (const account of [{}, { restricted: true }, { fromEmail: ANN }]) {
      for (const [from, sender] of generated(20261130, 2000)) {
        const header = `From:${from}\r\n${sender === undefined ? "" : `Sender:${sender}\r\n`}`;
        const first = prepare(header, account);
        if ("refused" in first || first.named.some((text) => text.startsWith("?"))) continue;
        const again = prepare(first.fields, account);
        assert("fields" in again);
        assert.equal(again.fields, first.fields, JSON.stringify(header));
      }
    }
  });
});

describe("of fields that may occur once (RFC 5322 §3.6, RFC 2045 §4)", () => {
  const FIELDS = ["Subject: s", "MIME-Version: 1.0", "Reply-To: r@x.test"];
  for (const field of [...FIELDS, "Date: Thu, 5 Nov 2026 06:07:09 +0000", "Message-ID: <1@x>"]) {
    it(`the first stays: ${field}`, () => {
      const name = field.slice(0, field.indexOf(":"));
      const others = `${field}\r\n${name.toUpperCase()}: another\r\n`;
      const text = `From: a@x.test\r\n${field}\r\nX: y\r\n${others}\r\n`;
      const message = [Buffer.from(`To: c@x.test\r\n${text}`)];
      const result = prepareMessage(message, envelope(["c@x.test"]), OPTIONS);
      assert(result.type === "prepared");
      const sent = Buffer.concat([...octetsIn(result.content)]).toString("latin1");
      assert(sent.endsWith(`To: c@x.test\r\nFrom: a@x.test\r\n${field}\r\nX: y\r\n\r\n`), sent);
      assert.equal(sent.toLowerCase().split(`\n${name.toLowerCase()}:`).length, 2);
    });
  }
});
