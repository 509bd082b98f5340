/** MAX_HEADER_SIZE, MAX_MIME_DEPTH and MAX_MIME_PARTS: at, below and above each. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "../support/property.ts";
import { MESSAGE_LIMITS, type MessageLimits } from "../../src/message/prepare.ts";
import { structureExcess } from "../../src/message/structure.ts";
import { content, inBlocks, textOf } from "../support/content.ts";
import { envelope, OPTIONS, prepareMessage } from "../graph/preparing.ts";

const HEADER = "From: me@x.test\r\nTo: a@x.test\r\nDate: x\r\nMessage-ID: <x@x>\r\n";
const TEXT = "Content-Type: text/plain\r\n\r\nHello\r\n";

/** A header's end and a body: so many parts in one multipart. */
function flat(parts: number, part = TEXT): string {
  return "Content-Type: multipart/mixed; boundary=b\r\n\r\n" +
    `--b\r\n${part}`.repeat(parts) + "--b--\r\n";
}

/** Nested multiparts, each with one part. */
function nested(depth: number): string {
  let text = TEXT;
  for (let level = 0; level < depth; level++) {
    text = `Content-Type: multipart/mixed; boundary="b ${level}"\r\n\r\n--b ${level}\r\n${text}` +
      `--b ${level}--\r\n`;
  }
  return text;
}

/** A message forwarded repeatedly as an attachment, as Outlook writes it. */
function forwarded(times: number): string {
  let text = "Subject: original\r\nContent-Type: multipart/alternative; boundary=alt\r\n\r\n" +
    `--alt\r\n${TEXT}--alt\r\nContent-Type: text/html\r\n\r\n<p>Hello\r\n--alt--\r\n`;
  for (let i = 0; i < times; i++) {
    text = `Subject: Fw\r\nContent-Type: multipart/mixed; boundary="_004_${i}_"\r\n\r\n` +
      `--_004_${i}_\r\n${TEXT}--_004_${i}_\r\nContent-Type: message/rfc822\r\n\r\n${text}` +
      `\r\n--_004_${i}_--\r\n`;
  }
  return text;
}

/** The result for a message, the same however its octets are cut: `prepared`, or code and reply. */
function verdict(text: string, limits: Partial<MessageLimits> = {}): string {
  const found = [100_000, 1, 7].map((size) => {
    const blocks = inBlocks(text, size === 1 && text.length > 20_000 ? 61 : size);
    const options = { ...OPTIONS, limits: { ...MESSAGE_LIMITS, ...limits } };
    const result = prepareMessage(blocks, envelope(["a@x.test"]), options);
    if (result.type === "prepared") return "prepared";
    const { code, enhanced } = result.reply;
    return `${result.limit}: ${code} ${enhanced}`;
  });
  assert.equal(new Set(found).size, 1, found.join());
  return found[0]!;
}

const TOO_DEEP = "MAX_MIME_DEPTH: 554 5.6.0";
const TOO_MANY = "MAX_MIME_PARTS: 554 5.6.0";
const TOO_LARGE = "MAX_HEADER_SIZE: 552 5.3.4";

describe("MAX_MIME_PARTS", () => {
  it("allows as many parts, and no more", () => {
    assert.equal(verdict(HEADER + flat(6), { parts: 7 }), "prepared");
    assert.equal(verdict(HEADER + flat(7), { parts: 7 }), "prepared");
    assert.equal(verdict(HEADER + flat(8), { parts: 7 }), TOO_MANY);
  });

  it("is 1000 by default", () => {
    assert.equal(verdict(HEADER + flat(1000)), "prepared");
    assert.equal(verdict(HEADER + flat(1001)), TOO_MANY);
  });

  it("counts the parts of nested multiparts, and of attached messages", () => {
    const inner = HEADER + flat(3);
    const attached = `Content-Type: message/rfc822\r\n\r\n${
      inner.replaceAll("=b", "=c").replaceAll("--b", "--c")
    }`;
    // One attached message with three parts.
    assert.equal(verdict(HEADER + flat(1, attached), { parts: 4 }), "prepared");
    assert.equal(verdict(HEADER + flat(1, attached), { parts: 3 }), TOO_MANY);
    assert.equal(verdict(HEADER + nested(5), { parts: 5 }), "prepared");
    assert.equal(verdict(HEADER + nested(5), { parts: 4 }), TOO_MANY);
  });

  const HIDDEN: Readonly<Record<string, string>> = {
    "behind the end of the multipart": flat(1) + "--b\r\n\r\nx\r\n".repeat(9),
    "with lines that end in LF alone": flat(10).replaceAll("\r\n", "\n"),
    "with white space behind the boundary": flat(10).replaceAll("--b\r\n", "--b \t\r\n"),
    "with a boundary in quotes and a folded type": flat(10)
      .replace("; boundary=b", ';\r\n\tcharset=x;\r\n BOUNDARY="b"'),
    "with a boundary in pieces (RFC 2231 §3)": flat(10)
      .replace("boundary=b", "boundary*0=; boundary*1=b"),
    "without a header of their own": flat(10, "\r\n"),
    "without even an empty line": flat(10, ""),
    "in a type that is given twice": flat(10)
      .replace("Content-Type: m", "Content-Type: text/plain\r\nContent-Type: m"),
    "in a signed message, which is not looked into otherwise": flat(10)
      .replace("multipart/mixed", "multipart/signed"),
    "whose multipart names an encoding it cannot have": flat(10)
      .replace("\r\n\r\n", "\r\nContent-Transfer-Encoding: base64\r\n\r\n"),
    "in a type with capitals": flat(10).replace("multipart/mixed", "MultiPart/Mixed"),
  };
  for (const [how, text] of Object.entries(HIDDEN)) {
    it(`counts parts ${how}`, () => {
      assert.equal(verdict(HEADER + text, { parts: 10 }), "prepared");
      assert.equal(verdict(HEADER + text, { parts: 9 }), TOO_MANY);
    });
  }

  it("does not count a line that only looks like a delimiter", () => {
    const body = "--b1\r\n-- b\r\n --b\r\n--\r\n---b\r\n--bb\r\n--B\r\nx --b\r\n-b\r\n".repeat(50);
    assert.equal(verdict(HEADER + flat(1, TEXT + body), { parts: 1 }), "prepared");
    assert.equal(verdict(`${HEADER}\r\n${"--b\r\n".repeat(50)}`, { parts: 1 }), "prepared");
  });
});

describe("MAX_MIME_DEPTH", () => {
  it("allows multiparts so deep, and no deeper", () => {
    for (const [depth, expected] of [[6, "prepared"], [7, "prepared"], [8, TOO_DEEP]] as const) {
      assert.equal(verdict(HEADER + nested(depth), { depth: 7 }), expected);
    }
  });

  it("is 100 by default", () => {
    assert.equal(verdict(HEADER + nested(100)), "prepared");
    assert.equal(verdict(HEADER + nested(101)), TOO_DEEP);
  });

  it("accepts a message forwarded as an attachment 30 times, Exchange's own limit", () => {
    assert.equal(verdict(HEADER + forwarded(30)), "prepared");
    // Each forward is an attached message in a multipart; the original has alternatives.
    assert.equal(verdict(HEADER + forwarded(30), { depth: 61 }), "prepared");
    assert.equal(verdict(HEADER + forwarded(30), { depth: 60 }), TOO_DEEP);
  });

  it("counts messages in messages without any multipart, and those of a digest (RFC 2046 §5.1.5)", () => {
    const chain = (length: number) => "Content-Type: message/rfc822\r\n\r\n".repeat(length) + TEXT;
    assert.equal(verdict(HEADER + chain(9), { depth: 9 }), "prepared");
    assert.equal(verdict(HEADER + chain(10), { depth: 9 }), TOO_DEEP);
    const digest = flat(1, `\r\n${nested(1).replaceAll("b 0", "x")}`)
      .replace("multipart/mixed", "multipart/digest");
    assert.equal(verdict(HEADER + digest, { depth: 3 }), "prepared");
    assert.equal(verdict(HEADER + digest, { depth: 2 }), TOO_DEEP);
  });

  it("limits the depth at one point: sibling multiparts do not add to it", () => {
    const side = flat(50, nested(2).replaceAll("b 0", "x").replaceAll("b 1", "y"));
    assert.equal(verdict(HEADER + side, { depth: 3 }), "prepared");
    assert.equal(verdict(HEADER + side, { depth: 2 }), TOO_DEEP);
  });

  it("is not evaded by one boundary for all: its lines count as parts", () => {
    const same = (depth: number) =>
      "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n".repeat(depth) + TEXT;
    assert.equal(verdict(HEADER + same(20), { parts: 20 }), "prepared");
    assert.equal(verdict(HEADER + same(21), { parts: 20 }), TOO_MANY);
  });
});

describe("MAX_HEADER_SIZE", () => {
  /** Octets of the header as it is sent, without its empty line. */
  const sizeOf = (text: string) => {
    const result = prepareMessage(content(text), envelope(["a@x.test"]), OPTIONS);
    assert(result.type === "prepared");
    return textOf(result.content).indexOf("\r\n\r\n") + 2;
  };
  const padded = (octets: number) => {
    const line = `X-Pad: ${"x".repeat(900)}\r\n`;
    let header = HEADER;
    while (sizeOf(`${header}\r\n`) + line.length < octets - 10) header += line;
    return `${header}X: ${"x".repeat(octets - sizeOf(`${header}\r\n`) - 5)}\r\n\r\nText\r\n`;
  };

  for (const header of [8192, MESSAGE_LIMITS.header]) {
    it(`allows ${header} octets of header including the relay's fields, and no more`, () => {
      const at = padded(header);
      assert.equal(sizeOf(at), header);
      assert.equal(verdict(at, { header }), "prepared");
      assert.equal(verdict(at.replace("Text", "X: y\r\n".repeat(20_000)), { header }), "prepared");
      assert.equal(verdict(at.replace("X: x", "X: xx"), { header }), TOO_LARGE);
      assert.equal(verdict(at.replace("X: x", "X: "), { header }), "prepared");
    });
  }

  it("limits the header that is sent: a Bcc for many recipients counts", () => {
    const many = Array.from({ length: 300 }, (_, i) => `someone.${i}@subsidiary.example.com`);
    const prepare = (header: number) =>
      prepareMessage(content(`${HEADER}\r\nText\r\n`), envelope(many), {
        ...OPTIONS,
        limits: { ...MESSAGE_LIMITS, header },
      });
    assert.equal(prepare(16_384).type, "prepared");
    const refused = prepare(8192);
    assert(refused.type === "rejected" && refused.limit === "MAX_HEADER_SIZE");
  });

  it("does not depend on the message's size: an endless header is refused after the first 0.5 MB", () => {
    assert.equal(verdict(`X: ${"x".repeat(3_000_000)}`), TOO_LARGE);
    assert.equal(verdict("X: y\r\n".repeat(500_000)), TOO_LARGE);
  });
});

describe("the count of parts and levels", () => {
  it("is the same however the octets are cut, and finite for any octets", () => {
    const piece = fc.constantFrom(
      "--b\r\n",
      "--b--\r\n",
      "--c\n",
      "--",
      "-",
      "\r\n",
      "\n",
      " ",
      "Content-Type: multipart/mixed; boundary=b\r\n",
      "content-type: multipart/digest;\r\n boundary=c\n",
      "Content-Type: message/rfc822\r\n\r\n",
      "Content-Type:",
      "x",
    );
    const limits = { depth: 3, parts: 5 };
    fc.assert(fc.property(fc.array(piece, { maxLength: 40 }), fc.integer({ min: 1, max: 9 }), (
      pieces,
      size,
    ) => {
      const text = pieces.join("");
      const whole = structureExcess(content(text), limits);
      assert.equal(structureExcess(inBlocks(text, size), limits), whole);
      assert.equal(structureExcess(content(...pieces), limits), whole);
    }));
  });
});
