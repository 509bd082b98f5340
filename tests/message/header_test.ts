/** The extent of the header section, and its fields (RFC 5322 §2.2, §3.6). */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "../support/property.ts";
import { readHeader } from "../../src/message/header.ts";
import { anyContent } from "../support/any_content.ts";
import { content, inBlocks, textOf } from "../support/content.ts";

/** The fields as `name=body`, and the octets of the section. */
function read(blocks: ReturnType<typeof content>) {
  const { fields, octets } = readHeader(blocks);
  return {
    fields: fields.map(({ name, body }) => `${name}=${body.toString("latin1")}`),
    section: octets.toString("latin1"),
  };
}

interface Case {
  readonly name: string;
  readonly message: string;
  readonly fields: readonly string[];
  /** Octets of the message that belong to the section. */
  readonly section: string;
}

const FOLDED = "To: a@x,\r\n\tb@x,\r\n  c@x\r\nSubject:\r\n s\r\n";

const CASES: readonly Case[] = [
  {
    name: "fields up to the empty line (§2.1)",
    message: "From: a\r\nTO: b\r\n\r\nCc: not me\r\n",
    fields: ["from= a", "to= b"],
    section: "From: a\r\nTO: b\r\n",
  },
  {
    name: "folded fields with their folding (§2.2.3)",
    message: `${FOLDED}\r\nbody`,
    fields: ["to= a@x,\r\n\tb@x,\r\n  c@x", "subject=\r\n s"],
    section: FOLDED,
  },
  {
    name: "a folded line of nothing but white space (§3.2.2 obs-FWS)",
    message: "To: a@x,\r\n \t\r\n b@x\r\n\r\nbody",
    fields: ["to= a@x,\r\n \t\r\n b@x"],
    section: "To: a@x,\r\n \t\r\n b@x\r\n",
  },
  {
    name: "names of any printable characters (§3.6.8)",
    message: "X-!#$%&'*+/=?^_`{|}~(): 1\r\nB[c;c]@: 2\r\n\r\n",
    fields: ["x-!#$%&'*+/=?^_`{|}~()= 1", "b[c;c]@= 2"],
    section: "X-!#$%&'*+/=?^_`{|}~(): 1\r\nB[c;c]@: 2\r\n",
  },
  {
    name: "white space before the colon (§4.5)",
    message: "To : a@x\r\nBcc \t : b@x\r\n\r\n",
    fields: ["to= a@x", "bcc= b@x"],
    section: "To : a@x\r\nBcc \t : b@x\r\n",
  },
  {
    name: "no end where there is no empty line",
    message: "From: a\r\nTo: b\r\n",
    fields: ["from= a", "to= b"],
    section: "From: a\r\nTo: b\r\n",
  },
  {
    name: "a last field without a line end",
    message: "From: a\r\nTo: b",
    fields: ["from= a", "to= b"],
    section: "From: a\r\nTo: b",
  },
  {
    name: "nothing in a message that is all body",
    message: "\r\nTo: b\r\n\r\n",
    fields: [],
    section: "",
  },
  {
    name: "nothing in a message of nothing",
    message: "",
    fields: [],
    section: "",
  },
  {
    name: "an end at the first line that is no field",
    message: "From: a\r\nthis is text\r\nTo: b\r\n\r\n",
    fields: ["from= a"],
    section: "From: a\r\n",
  },
  {
    name: "an end at a line with words before its colon",
    message: "From: a\r\nnot a field: b\r\n\r\n",
    fields: ["from= a"],
    section: "From: a\r\n",
  },
  {
    name: "an end at a line that begins with its colon",
    message: "From: a\r\n: b\r\n\r\n",
    fields: ["from= a"],
    section: "From: a\r\n",
  },
  {
    name: "an end at a name that is not ASCII",
    message: "From: a\r\nT\xf6: b\r\n\r\n",
    fields: ["from= a"],
    section: "From: a\r\n",
  },
  {
    name: "nothing to continue at the beginning",
    message: " To: b\r\nFrom: a\r\n\r\n",
    fields: [],
    section: "",
  },
  {
    name: "nothing in a text that begins with the word From",
    message: "From here on\r\nall is text\r\n",
    fields: [],
    section: "",
  },
  {
    name: "a field From with white space before its colon, which is no mbox line",
    message: "From : a@x\r\nTo: b\r\n\r\n",
    fields: ["from= a@x", "to= b"],
    section: "From : a@x\r\nTo: b\r\n",
  },
  {
    name: "octets that are not ASCII in bodies, as they are (RFC 6532)",
    message: "Subject: \xc3\xbc\xff\0\r\n\r\n",
    fields: ["subject= \xc3\xbc\xff\0"],
    section: "Subject: \xc3\xbc\xff\0\r\n",
  },
];

describe("the header section (RFC 5322 §2.2)", () => {
  for (const { name, message, fields, section } of CASES) {
    it(`has ${name}, wherever the blocks are split`, () => {
      for (const size of [1, 2, 3, 5, 1000]) {
        assert.deepEqual(read(inBlocks(message, size)), { fields, section }, `blocks of ${size}`);
      }
    });
  }

  it("is found before a body of many blocks, of which none is read", () => {
    const body = new Uint8Array(1000);
    const many = Array.from({ length: 1000 }, () => body);
    const { fields, octets } = readHeader([...content("To: a@x\r\n", "\r\n"), ...many]);
    assert.equal(fields.length, 1);
    assert.equal(octets.length, 9);
  });

  it("is bounded: a message that is one endless header is not read to its end", () => {
    const line = `X-Y: ${"z".repeat(991)}\r\n`;
    const { fields, octets, regular } = readHeader(inBlocks(line.repeat(1000), 64 * 1024));
    assert(octets.length <= 512 * 1024);
    assert(fields.length > 500);
    assert(!regular);
  });

  const REGULAR: readonly (readonly [message: string, regular: boolean])[] = [
    ["To: a\r\n\r\nbody", true],
    ["\r\nbody", true],
    [`To: ${"a".repeat(994)}\r\n\r\n`, true],
    [`To: ${"a".repeat(995)}\r\n\r\n`, false],
    ["To: a\r\n\r\nb\0d\ny", true],
    ["To : a\r\n\r\nbody", false],
    ["To: a\r\n \t\r\n b\r\n\r\nbody", false],
    ["To: a\0\r\n\r\nbody", false],
    ["To: a\nCc: b\r\n\r\nbody", false],
    ["To: a\r\r\n\r\nbody", false],
    ["To: a\rb\r\n\r\nbody", false],
    ["To: a\n\nbody", false],
    ["To: a\r\n\nbody", false],
    ["\nbody", false],
    ["To: a\r\n", false],
    ["To: a", false],
    ["", false],
    ["To: a\r\ntext", false],
    ["text\r\n", false],
    [" text\r\n\r\n", false],
  ];
  for (const [message, regular] of REGULAR) {
    it(`is ${regular ? "" : "not "}regular: ${JSON.stringify(message).slice(0, 40)}`, () => {
      for (const size of [1, 9]) assert.equal(readHeader(inBlocks(message, size)).regular, regular);
    });
  }

  it("has fields that follow each other, whatever the message is", () => {
    const piece = fc.constantFrom("To", ":", " ", "\t", "\r\n", "a@x", "(", "\xff", "\0", "Bcc: b");
    fc.assert(fc.property(anyContent(piece), (message) => {
      const { fields, octets } = readHeader(message);
      assert(textOf(message).startsWith(octets.toString("latin1")));
      let position = 0;
      for (const { name, body, start, end } of fields) {
        assert.equal(start, position);
        const raw = octets.toString("latin1", start, end);
        assert.equal(raw.slice(raw.indexOf(":") + 1), body.toString("latin1"));
        assert.equal(raw.slice(0, raw.indexOf(":")).trimEnd().toLowerCase(), name);
        const rest = octets.toString("latin1", end);
        assert(rest === "" || rest.startsWith("\r\n"));
        position = end + Math.min(2, rest.length);
      }
      assert.equal(position, octets.length);
    }));
  });

  it("is not regular beyond a limit, whatever was read of the same content before", () => {
    const text = `A: ${"a".repeat(90)}\r\nB: ${"b".repeat(90)}\r\n\r\n`;
    for (const limits of [[1_000, 50], [50, 1_000], [1_000, 1_000], [50, 50]]) {
      const message = content(text);
      assert.deepEqual(
        limits.map((limit) => readHeader(message, limit).regular),
        limits.map((limit) => limit === 1_000),
      );
    }
  });
});
