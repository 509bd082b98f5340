// Replies out of octets, in any pieces (RFC 5321 §4.2).

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import { type RawReply, ReplyReader } from "../../src/smtp_client/reply_reader.ts";
import { serverReply } from "../../src/smtp_client/server_reply.ts";
import * as fc from "../support/property.ts";

/** All replies in the text, and the fault that ends them, if any. */
function read(text: string, cuts: readonly number[] = []): (RawReply | string)[] {
  const octets = Buffer.from(text, "latin1");
  const reader = new ReplyReader();
  const found: (RawReply | string)[] = [];
  let start = 0;
  for (
    const cut of [...cuts.map((cut) => cut % (octets.length + 1)), octets.length].sort(byValue)
  ) {
    reader.add(octets.subarray(start, cut));
    start = cut;
    for (let reply = reader.next(); reply !== undefined; reply = reader.next()) {
      found.push(reply);
      if (typeof reply === "string") return found;
    }
  }
  return found;
}

const byValue = (a: number, b: number) => a - b;

describe("a reply", () => {
  const CASES: readonly (readonly [text: string, replies: readonly unknown[]])[] = [
    ["250 OK\r\n", [{ code: 250, lines: ["OK"] }]],
    ["250 OK\n", [{ code: 250, lines: ["OK"] }]],
    ["250\r\n", [{ code: 250, lines: [""] }]],
    ["250 \r\n", [{ code: 250, lines: [""] }]],
    ["250-a\r\n250-\r\n250 b c\r\n", [{ code: 250, lines: ["a", "", "b c"] }]],
    // The last line decides (RFC 5321 §4.2.1).
    ["250-a\r\n550 no\r\n", [{ code: 550, lines: ["a", "no"] }]],
    ["250 a\r\n354 b\r\n", [{ code: 250, lines: ["a"] }, { code: 354, lines: ["b"] }]],
    ["250 caf\xe9\r\n", [{ code: 250, lines: ["caf\xe9"] }]],
    ["250 a\r\n\r\n", [{ code: 250, lines: ["a"] }, "MALFORMED"]],
    ["HTTP/1.1 400 Bad Request\r\n", ["MALFORMED"]],
    ["199 x\r\n", ["MALFORMED"]],
    ["250_x\r\n", ["MALFORMED"]],
    [" 250 x\r\n", ["MALFORMED"]],
    ["250-a\r\nb\r\n", ["MALFORMED"]],
  ];
  for (const [text, replies] of CASES) {
    it(`is read from ${JSON.stringify(text)}`, () => assert.deepEqual(read(text), replies));
  }

  it("is the same however it is cut", () => {
    const line = fc.constantFrom(
      ..."250 OK|250-more|354|421 4.3.2 x|550-5.1.1 a|xx|2|250-".split("|"),
    );
    const text = fc.array(line, { maxLength: 8 }).map((lines) =>
      lines.map((line) => `${line}\r\n`).join("")
    );
    fc.assert(
      fc.property(text, fc.array(fc.nat(), { maxLength: 20 }), (text, cuts) => {
        assert.deepEqual(read(text, cuts), read(text));
      }),
    );
  });

  it("keeps 2 KiB of a line: Exchange puts whole exceptions into one", () => {
    const [reply] = read(`554-${"x".repeat(10_000)}\r\n554 end\r\n`, [1000, 5000, 9000]);
    assert.ok(typeof reply === "object");
    assert.deepEqual([reply.code, reply.lines.map(({ length }) => length)], [554, [2044, 3]]);
  });

  for (
    const [what, line] of [
      ["one line without an end", "x".repeat(1000)],
      ["lines without an end", "250-x\r\n".repeat(100)],
      ["nothing but a code and an endless text", "250 ".repeat(200)],
    ] as const
  ) {
    it(`has 64 KiB at most: ${what}`, () => {
      const reader = new ReplyReader();
      let octets = 0;
      reader.add(Buffer.from("250-"));
      while (reader.next() === undefined) {
        assert.ok((octets += line.length) < 70_000, "it reads for ever");
        reader.add(Buffer.from(line));
      }
      assert.equal(reader.next(), "TOOLONG");
    });
  }

  it("may be one of many in a segment of any size", () => {
    assert.equal(read("250 OK\r\n".repeat(20_000)).length, 20_000);
  });
});

describe("a reply as it is shown", () => {
  const CASES: readonly (readonly [RawReply, unknown])[] = [
    [{ code: 250, lines: ["2.1.0 OK"] }, { enhanced: "2.1.0", text: "OK" }],
    [{ code: 250, lines: ["2.1.0"] }, { enhanced: "2.1.0", text: "" }],
    [{ code: 550, lines: ["5.7.1 a", "5.7.1 b", "c"] }, { enhanced: "5.7.1", text: "a b c" }],
    // RFC 3463 §2: the class is the first digit of the code.
    [{ code: 550, lines: ["4.7.1 a"] }, { text: "4.7.1 a" }],
    [{ code: 250, lines: ["2.1.0.1 x"] }, { text: "2.1.0.1 x" }],
    [{ code: 250, lines: ["2.1.1234 x"] }, { text: "2.1.1234 x" }],
    [{ code: 354, lines: ["3.0.0 x"] }, { text: "3.0.0 x" }],
    [{ code: 550, lines: ["a\x1b[2J\x00\x07 b\tc"] }, { text: "a?[2J?? b c" }],
    [{ code: 550, lines: ["caf\xe9"] }, { text: "caf?" }],
  ];
  for (const [raw, shown] of CASES) {
    it(`is words: ${JSON.stringify(raw)}`, () => {
      assert.deepEqual(serverReply(raw, []), { code: raw.code, ...(shown as object) });
    });
  }

  it("has 500 characters at most, in one line of ASCII", () => {
    const { text } = serverReply({ code: 550, lines: Array(100).fill("word ".repeat(50)) }, []);
    assert.ok(text.length <= 503);
    assert.match(text, /^[\x20-\x7e]*\.\.\.$/);
  });
});
