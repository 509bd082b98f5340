/** The envelope decides the recipients, whatever To, Cc and Bcc contain. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import * as fc from "../support/property.ts";
import type { Content } from "../../src/smtp/content.ts";
import { anyContent } from "../support/any_content.ts";
import { content, made, textOf } from "../support/content.ts";
import { normalized, recipientFieldsOf, recipientsOf } from "./graph_reading.ts";
import { envelope, OPTIONS, prepared, prepareMessage } from "./preparing.ts";
import { CASES } from "./recipient_fields_cases.ts";

const SENDER = "From: me@me.test\r\nDate: Thu, 5 Nov 2026 06:07:08 +0000\r\nMessage-ID: <i@x>\r\n";
const BODY = "\r\nTo: somebody@else.test\r\n\r\n.\r\n";

describe(`the recipients that Graph computes, ${CASES.length} cases`, () => {
  it("are tested in at least 60 cases with distinct names", () => {
    assert(CASES.length >= 60);
    assert.equal(new Set(CASES.map(({ name }) => name)).size, CASES.length);
  });

  for (const { name, header, envelope: recipients, fields } of CASES) {
    it(name, async () => {
      const octets = Buffer.from(SENDER + header + BODY, "utf8");
      for (const size of [octets.length, 11]) {
        const blocks: Uint8Array[] = [];
        for (let at = 0; at < octets.length; at += size) {
          blocks.push(octets.subarray(at, at + size));
        }
        const message = prepared(blocks, recipients, "me@me.test");
        const text = Buffer.concat([...message]).toString("utf8");
        assert.deepEqual(
          await recipientsOf(message),
          [...new Set(recipients.map(normalized))].sort(),
          text,
        );
        if (fields !== undefined) assert.deepEqual(recipientFieldsOf(message), fields);
        assert(text.endsWith("\r\n" + BODY));
      }
    });
  }
});

const ENVELOPE = ["a@x.test", "Bea@Y.test", "c.c@x.test"];
const WANTED = ENVELOPE.map(normalized).sort();

/** Whatever the fields contain, Graph computes exactly the envelope's recipients. */
async function holds(message: Content): Promise<void> {
  const result = prepareMessage(message, envelope(ENVELOPE), OPTIONS);
  if (result.type === "rejected") return;
  assert.deepEqual(await recipientsOf(made(result.content)), WANTED, textOf(result.content));
}

describe("for any header, Graph computes the envelope's recipients", () => {
  const address = fc.constantFrom(...ENVELOPE, "A@X.TEST", "z@z.test", "y@z.test", '"c.c"@x.test');
  const sign = fc.constantFrom(
    ..."<>()[]\"\\,;:@ \t.\0\x07=?'",
    "\r\n ",
    "\r\n\t",
    "\r\n \r\n ",
    "\xc3\xbc",
    "\xff",
    "\x81",
    "<z@z.test>",
    '"z@z.test"',
    "(z@z.test)",
    "=?utf-8?q?=3Cz=40z.test=3E?=",
    "Ann",
    "T:",
    '\\"',
    "\\)",
  );
  const numRuns = 1000;

  it("of addresses and separators", async () => {
    const body = fc.array(fc.oneof(address, sign), { maxLength: 14 }).map((parts) =>
      parts.join("")
    );
    await fc.assert(
      fc.asyncProperty(
        body,
        body,
        (to, bcc) => holds(content(`From: me@me.test\r\nTo: ${to}\r\nBcc: ${bcc}\r\n\r\nbody`)),
      ),
      { numRuns },
    );
  });

  it("of almost well-formed items", async () => {
    const name = fc.constantFrom(
      "",
      "Ann ",
      '"A, B" ',
      '"z@z.test" ',
      "=?utf-8?q?=2C?= ",
      "(c) ",
      "(c (d)) ",
      "J\xfc. ",
      '"\\"" ',
      "(z@z.test)",
      '"a;b" ',
      "z@z.test ",
      "T: ",
      "(\\)) ",
      '""',
    );
    const trailing = fc.constantFrom(
      "",
      " ",
      " (c)",
      "(c (d))",
      "(z@z.test)",
      ";",
      " x",
      "\r\n ",
      ")",
    );
    const item = fc.tuple(name, address, fc.boolean(), trailing).map((
      [before, spec, angle, after],
    ) => before + (angle ? `<${spec}>` : spec) + after);
    const list = fc.array(item, { maxLength: 5 }).map((items) => items.join(", "));
    const field = fc.tuple(fc.constantFrom("To:", "Cc: ", "Bcc:", "tO : ", "CC:\r\n "), list)
      .map(([key, value]) => `${key}${value}\r\n`);
    await fc.assert(
      fc.asyncProperty(
        fc.array(field, { maxLength: 5 }),
        (fields) => holds(content(`From: me@me.test\r\n${fields.join("")}\r\nbody`)),
      ),
      { numRuns },
    );
  });

  it("of any octets", async () => {
    const piece = fc.oneof(
      fc.constantFrom(
        "To:",
        "\r\nBcc: ",
        "Cc :",
        "\r\n",
        "\n",
        "\r",
        " ",
        "\r\n\r\n",
        "x",
        ",",
        '"',
      ),
      fc.constantFrom(
        "From: z@z.test\r\n",
        "From x\r\n",
        ">From y\r\n",
        "a@x.test",
        "z@z.test",
        ":",
      ),
      fc.string({ unit: "binary-ascii", maxLength: 4 }),
    );
    await fc.assert(fc.asyncProperty(anyContent(piece), holds), { numRuns });
  });
});

describe("well-formed lists", () => {
  const atom = fc.constantFrom(
    "Ann",
    "O'Neil",
    "J.",
    "=?utf-8?q?=2C?=",
    '"A, <z@z.test>"',
    "J\xc3\xbc",
  );
  const mailbox = fc.tuple(
    fc.array(atom, { maxLength: 2 }),
    fc.constantFrom(...ENVELOPE),
    fc.constantFrom("", " (at (home))", "\r\n ", "(c)"),
  ).map(([name, spec, after]) => `${name.join(" ")} <${spec}>${after}`);
  const group = fc.array(mailbox, { maxLength: 3 }).map((members) => `Team:${members.join(",")};`);
  const item = fc.oneof(mailbox, fc.constantFrom(...ENVELOPE), group);
  const list = fc.array(item, { minLength: 1, maxLength: 4 }).map((items) => items.join(",\r\n "));

  it("of the envelope's recipients stay as they are, octet for octet", async () => {
    await fc.assert(fc.asyncProperty(list, list, async (to, cc) => {
      const fields = `To: ${to}\r\nCc: ${cc}\r\n\r\n`.replace(/\r\n +(?=\r\n)/g, "");
      const message = content(`From: me@me.test\r\n${fields}body`);
      await holds(message);
      assert(textOf(prepared(message, ENVELOPE)).endsWith(fields + "body"));
    }));
  });
});

describe("lists made to be slow", () => {
  const PIECES = [
    "(",
    "<",
    '"',
    "<(",
    "@",
    ":",
    "a@",
    "a ",
    "\\",
    "<@",
    '<"',
    "[",
    "a@[",
    "a:",
    ",",
    "(a)",
    ";",
    '<"\\"',
  ];
  for (const piece of PIECES) {
    it(`are read quickly: ${piece.repeat(3)}…`, () => {
      const lines = (piece.repeat(60) + "\r\n ").repeat(
        Math.floor(240_000 / (piece.length * 60 + 3)),
      );
      const begun = performance.now();
      prepareMessage(
        content(`From: a@x.test\r\nTo: ${lines}x\r\n\r\n`),
        envelope(["a@x.test"]),
        OPTIONS,
      );
      assert(performance.now() - begun < 2000);
    });
  }

  it("are read quickly if they are long and valid", async () => {
    const list = Array.from({ length: 5_000 }, (_, i) => `"N, ${i}" <a${i}@x.test>`);
    const begun = performance.now();
    const all = list.map((_, i) => `a${i}@x.test`);
    const message = prepared(content(`From: a@x.test\r\nTo: ${list.join(",\r\n ")}\r\n\r\n`), all);
    assert(performance.now() - begun < 2000);
    assert.equal((await recipientsOf(message)).length, list.length);
  });
});
