/** The originator: the mailbox for Graph, From and Sender (RFC 5322 §3.6.2). */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import * as fc from "../support/property.ts";
import PostalMime, { addressParser, decodeWords } from "postal-mime";
import type { SenderOverride } from "../../src/message/originator.ts";
import { made } from "../support/content.ts";
import {
  DATE,
  envelope,
  MESSAGE_ID,
  OPTIONS,
  prepareMessage,
  RECEIVED,
} from "../graph/preparing.ts";

const TOP = `${DATE}${MESSAGE_ID}To: c@x.test\r\n`;

/** The sender, and the fields except those that every message has; UTF-8 in and out. */
function prepare(header: string, from: string, account: SenderOverride = {}) {
  const message = [Buffer.from(`${TOP}${header}\r\nFrom: body@x.test\r\n`, "utf8")];
  const result = prepareMessage(message, envelope(["c@x.test"], from), { ...OPTIONS, account });
  if (result.type === "rejected") {
    const { code, enhanced, text } = result.reply;
    return { refused: `${code} ${enhanced} ${text}`, code: result.code };
  }
  const text = Buffer.concat(made(result.content)).toString("utf8");
  assert(text.endsWith("\r\n\r\nFrom: body@x.test\r\n"));
  const fields = text.slice(RECEIVED.length, text.indexOf("\r\n\r\n") + 2).replace(TOP, "");
  return { sender: result.sender, fields };
}

const A = "ann@x.test";

describe("the sender", () => {
  interface SenderCase {
    readonly name: string;
    readonly header: string;
    readonly from: string;
    readonly sender: string;
    /** Those of the message by default. */
    readonly fields?: string;
  }
  const CASES: readonly SenderCase[] = [
    { name: "is MAIL FROM, whatever From says", header: "From: b@y.test\r\n", from: A, sender: A },
    {
      name: "is From's address for the null reverse-path",
      header: "From: Ann <ann@x.test>\r\n",
      from: "",
      sender: A,
    },
    {
      name: "is the first of several in From",
      header: "FROM:\r\n ann@x.test (Ann), bea@x.test\r\nSender: z@z.test\r\n",
      from: "",
      sender: A,
    },
    {
      name: "is a quoted local part in From",
      header: 'From: "ann b"@x.test\r\n',
      from: "",
      sender: '"ann b"@x.test',
    },
    {
      name: "is what looks like an address where From has nothing better",
      header: "From: Scanner ann@x.test\r\n",
      from: "",
      sender: A,
      fields: "From: Scanner <ann@x.test>\r\n",
    },
    {
      name: "is From's address where MAIL FROM has no domain",
      header: "From: ann@x.test\r\n",
      from: "postmaster",
      sender: A,
    },
    {
      name: "may be without a dot in its domain",
      header: "From: Scanner <scan@printer>\r\n",
      from: "scanner@localhost",
      sender: "scanner@localhost",
    },
    {
      name: "is written into a header without From",
      header: "Subject: s\r\n",
      from: A,
      sender: A,
      fields: "From: <ann@x.test>\r\nSubject: s\r\n",
    },
    {
      name: "takes the place of an empty From (§3.6.2)",
      header: "From: \r\n\t\r\nSubject: s\r\n",
      from: A,
      sender: A,
      fields: "From: <ann@x.test>\r\nSubject: s\r\n",
    },
    {
      name: "is not an empty From beside another",
      header: "From:\r\nFrom: b@y.test\r\n",
      from: A,
      sender: A,
      fields: "From: b@y.test\r\n",
    },
    {
      name: "gets the words of a From that has no address, as cron writes it",
      header: "From: root (Cron Daemon)\r\n",
      from: A,
      sender: A,
      fields: 'From: "root (Cron Daemon)" <ann@x.test>\r\n',
    },
    {
      name: "gets a From of one word, or of encoded words, as its display name",
      header: "From: root =?utf-8?q?=C3=BC?=\r\n",
      from: A,
      sender: A,
      fields: "From: root =?utf-8?q?=C3=BC?= <ann@x.test>\r\n",
    },
    {
      name: "gets quoted words between encoded ones",
      header: 'From: "A \\"B\\"" 3. OG\r\n =?utf-8?q?=C3=BC?= Ü, C\r\n',
      from: A,
      sender: A,
      fields: 'From: "A \\"B\\" 3. OG" =?utf-8?q?=C3=BC?= "Ü, C" <ann@x.test>\r\n',
    },
    {
      name: "is written into a header without From, in UTF-8",
      header: "",
      from: "jürgen@bücher.test",
      sender: "jürgen@bücher.test",
      fields: "From: <jürgen@bücher.test>\r\n",
    },
    {
      name: "answers for several authors (§3.6.2)",
      header: "From: ann@x.test, Bea <b@x.test>\r\n",
      from: "z@z.test",
      sender: "z@z.test",
      fields: "Sender: <z@z.test>\r\nFrom: ann@x.test, Bea <b@x.test>\r\n",
    },
    {
      name: "does not take the place of a Sender that is there",
      header: "From: ann@x.test, b@x.test\r\nSender: b@x.test\r\n",
      from: A,
      sender: A,
    },
    {
      name: "leaves the first of several Sender fields (§3.6)",
      header: "Sender: b@x.test\r\nFrom: ann@x.test\r\nsender: z@z.test\r\nSender:\r\n",
      from: A,
      sender: A,
      fields: "Sender: b@x.test\r\nFrom: ann@x.test\r\n",
    },
    {
      name: "leaves Reply-To and Resent-From alone",
      header: "Reply-To: z@z.test\r\nResent-From: y@y.test\r\nFrom: ann@x.test\r\n",
      from: A,
      sender: A,
    },
  ];
  for (const { name, header, from, sender, fields = header } of CASES) {
    it(name, () => assert.deepEqual(prepare(header, from), { sender, fields }));
  }
});

describe("the table's from_email", () => {
  const EMAIL = "relay@corp.test";
  const CASES: readonly (readonly [
    name: string,
    header: string,
    account: SenderOverride,
    fields: string,
  ])[] = [
    [
      "takes From's place, and keeps the display name",
      "From: Ann Ex <ann@x.test>\r\n",
      {},
      "From: Ann Ex <relay@corp.test>\r\n",
    ],
    [
      "keeps a display name's octets",
      'From: "Ex, \\"A\\"" (c)\r\n =?utf-8?q?=C3=BC?= Ü <ann@x.test>\r\n',
      {},
      'From: "Ex, \\"A\\"" (c)\r\n =?utf-8?q?=C3=BC?= Ü <relay@corp.test>\r\n',
    ],
    [
      "stands alone where there was no display name",
      "FROM: ann@x.test\r\n",
      {},
      "From: <relay@corp.test>\r\n",
    ],
    [
      "keeps a name in a comment",
      "From: old@local (Scan Room)\r\n",
      {},
      "From: Scan Room <relay@corp.test>\r\n",
    ],
    [
      "keeps words without an address",
      "From: Scanner 3. OG\r\n",
      {},
      'From: "Scanner 3. OG" <relay@corp.test>\r\n',
    ],
    [
      "keeps a name that should be in quotes, for its brackets",
      "From: Scan [3. OG] <h@local>\r\n",
      {},
      'From: "Scan [3. OG]" <relay@corp.test>\r\n',
    ],
    [
      "keeps a name that should be in quotes, for its comma",
      "From: Muster, Hans <h@local>\r\n",
      {},
      'From: "Muster, Hans" <relay@corp.test>\r\n',
    ],
    [
      "does not keep another's address as its name",
      "From: z@z.test <h@local>\r\n",
      {},
      "From: <relay@corp.test>\r\n",
    ],
    [
      "has the table's display name where the address is the same",
      "From: Ann <relay@corp.test>\r\n",
      { fromName: "Relay" },
      "From: Relay <relay@corp.test>\r\n",
    ],
    [
      "does not keep an address as its name",
      "From: ann@x.test <ann@x.test>\r\n",
      {},
      "From: <relay@corp.test>\r\n",
    ],
    [
      "leaves a From that has it already",
      "From:  Ann\r\n <RELAY@corp.test>\r\n",
      {},
      "From:  Ann\r\n <RELAY@corp.test>\r\n",
    ],
    [
      "is added to a header without From",
      "Subject: s\r\n",
      {},
      "From: <relay@corp.test>\r\nSubject: s\r\n",
    ],
    [
      "is added with the table's name",
      "",
      { fromName: "Relay" },
      "From: Relay <relay@corp.test>\r\n",
    ],
    ["takes the place of an invalid From", "From: a@@x\r\n", {}, "From: <relay@corp.test>\r\n"],
    ["takes the place of an empty From", "From:\r\n", {}, "From: <relay@corp.test>\r\n"],
    [
      "takes the place of several authors",
      "From: Ann <a@x.test>, b@x.test\r\n",
      {},
      "From: Ann <relay@corp.test>\r\n",
    ],
    [
      "takes the place of several From fields",
      "From: Ann <a@x.test>\r\nX: y\r\nFrom: b@x.test\r\n",
      {},
      "From: Ann <relay@corp.test>\r\nX: y\r\n",
    ],
    [
      "removes Sender, for From is the sender (§3.6.2)",
      "Sender: z@z.test\r\nFrom: a@x.test\r\nSENDER: b@x.test\r\n",
      {},
      "From: <relay@corp.test>\r\n",
    ],
    [
      "leaves Reply-To, and invents none",
      "Reply-To: z@z.test\r\nFrom: a@x.test\r\n",
      {},
      "Reply-To: z@z.test\r\nFrom: <relay@corp.test>\r\n",
    ],
    ["has the table's display name before the message's", "From: Ann <a@x.test>\r\n", {
      fromName: "Scan Station 3",
    }, "From: Scan Station 3 <relay@corp.test>\r\n"],
    ["has the table's display name quoted where it must be", "From: a@x.test\r\n", {
      fromName: 'A. "B" \\ C, D',
    }, 'From: "A. \\"B\\" \\\\ C, D" <relay@corp.test>\r\n'],
    ["has the table's display name encoded where it must be (RFC 2047)", "From: a@x.test\r\n", {
      fromName: "Größe",
    }, "From: =?utf-8?B?R3LDtsOfZQ==?= <relay@corp.test>\r\n"],
    ["has a name that looks encoded encoded once more", "From: a@x.test\r\n", {
      fromName: "=?x?q?y?=",
    }, "From: =?utf-8?B?PT94P3E/eT89?= <relay@corp.test>\r\n"],
    [
      "has no line ends from the table",
      "From: a@x.test\r\n",
      { fromName: "A\r\nBcc: z@z.test" },
      'From: "A Bcc: z@z.test" <relay@corp.test>\r\n',
    ],
    ["keeps the message's name where the table's is blank", "From: Ann <a@x.test>\r\n", {
      fromName: " \t",
    }, "From: Ann <relay@corp.test>\r\n"],
  ];
  for (const [name, header, account, fields] of CASES) {
    it(name, () => {
      for (const from of ["ann@x.test", ""]) {
        const result = prepare(header, from, { fromEmail: EMAIL, ...account });
        assert.deepEqual(result, { sender: EMAIL, fields });
      }
    });
  }

  it("has any display name decoded unchanged, on lines of 78 characters if it is encoded", async () => {
    const text = fc.oneof(
      fc.string({ unit: "grapheme", maxLength: 120 }),
      fc.string({
        unit: fc.constantFrom("ü", "😀", "a", " ", "=", "?", '"', "\\", "="),
        minLength: 40,
        maxLength: 90,
      }),
    );
    await fc.assert(fc.asyncProperty(text, async (fromName) => {
      const { fields } = prepare("From: a@x.test\r\n", A, { fromEmail: EMAIL, fromName });
      assert(fields !== undefined);
      const expected = fromName.replace(/[\p{Cc}\u2028\u2029\s]+/gu, " ").trim();
      const { headers } = await PostalMime.parse(`${fields}\r\n`);
      assert.equal(headers.length, 1);
      const [address] = addressParser(headers[0]!.value);
      assert.equal(address?.address, EMAIL);
      assert.equal(decodeWords(address?.name ?? ""), expected);
      if (fields.includes("=?utf-8?B?")) {
        const words = fields.match(/=\?utf-8\?B\?\S*\?=/g)!;
        assert(words.every((word) => word.length <= 75));
      }
    }));
  });

  it("that is no address is refused, and not replaced by another sender", () => {
    for (const fromEmail of ["nobody", "", "a@x.test\r\nBcc: z@z.test", "Ann <a@x.test>"]) {
      const { refused, code } = prepare("From: a@x.test\r\n", A, { fromEmail });
      assert.match(
        refused!,
        /^550 5\.1\.7 No sender: from_email of this account is no mail address/,
      );
      assert.equal(code, "BAD_FROM_EMAIL");
    }
  });
});

describe("a message is refused", () => {
  const NO_SENDER = "550 5.1.7 No sender: MAIL FROM is empty and the From field has no address";
  for (
    const header of ["", "From: nobody\r\n", "From: undisclosed:;\r\n", "Sender: a@x.test\r\n"]
  ) {
    it(`that names no sender at all: ${JSON.stringify(header)}`, () => {
      assert.deepEqual(prepare(header, ""), { refused: NO_SENDER, code: "NO_SENDER" });
    });
  }

  it("that has several From fields (§3.6)", () => {
    assert.deepEqual(
      prepare("From: a@x.test\r\nSubject: s\r\nFrom: b@x.test\r\nFrom: c\r\nFrom:\r\n", A),
      {
        refused: "554 5.6.0 The message has 3 From fields; RFC 5322 allows one",
        code: "SEVERAL_FROM",
      },
    );
  });
});

describe("an address from the header", () => {
  it("is put into no field if it is no address: nothing can be injected", () => {
    const sign = fc.constantFrom(
      ...'@<>()"\\,;: []\0',
      "\r\n ",
      "a",
      "x.y",
      "a@x.test",
      "\xff",
      "=?x?q?=0d=0a?=",
    );
    const body = fc.array(sign, { maxLength: 12 }).map((parts) => parts.join(""));
    fc.assert(
      fc.property(body, (from) => {
        const { sender, fields } = prepare(`From: ${from}\r\n`, "");
        if (sender === undefined) return;
        assert.match(sender, /^[^\r\n\0<>]+@[^\r\n\0<>@\s]+$/);
        assert.match(fields!, /^(?:Sender: <[^\r\n]*>\r\n)?From:/);
      }),
      // A sender that mail systems read differently is refused.
      { numRuns: 2000, examples: [['"<"@x.y']] },
    );
  });
});
