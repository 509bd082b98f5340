/** Every line ends in CRLF (RFC 5322 §2.1): Exchange misreads bare LF, or returns the mail. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "../support/property.ts";
import { withCrlf } from "../../src/message/line_endings.ts";
import { anyContent } from "../support/any_content.ts";
import { content, inBlocks, textOf } from "../support/content.ts";

const CASES: readonly (readonly [name: string, from: string, to: string])[] = [
  ["LF becomes CRLF", "a\nb\n", "a\r\nb\r\n"],
  ["LF at the very beginning becomes CRLF", "\na", "\r\na"],
  ["several LF become as many CRLF", "a\n\n\nb", "a\r\n\r\n\r\nb"],
  ["LF amid CRLF becomes CRLF", "a\r\nb\nc\r\n", "a\r\nb\r\nc\r\n"],
  ["LF behind CRLF becomes CRLF", "a\r\n\nb", "a\r\n\r\nb"],
  ["CR inside a line becomes a space", "a\rb\r\n", "a b\r\n"],
  ["CR at the very end becomes a space", "a\r\nb\r", "a\r\nb "],
  ["several CR inside a line become as many spaces", "a\r\r\rb\r\n", "a   b\r\n"],
  ["CR at the very beginning becomes a space", "\ra\r\n", " a\r\n"],
  // As Postfix does: a device in text mode turns the LF of CRLF into CRLF.
  ["CR CR LF is one line end", "a: b\r\r\n\r\r\nc\r\r\n", "a: b\r\n\r\nc\r\n"],
  ["many CR before LF are one line end", "a\r\r\r\r\nb", "a\r\nb"],
  ["CR LF CR is a line end and a space", "a\r\n\rb", "a\r\n b"],
];

describe("line ends (RFC 5322 §2.1)", () => {
  for (const [name, from, to] of CASES) {
    it(`${name}, wherever the blocks are split`, () => {
      assert.equal(textOf(withCrlf(content(from))), to);
      assert.equal(textOf(withCrlf(inBlocks(from, 1))), to);
      for (let at = 0; at <= from.length; at++) {
        assert.equal(textOf(withCrlf(content(from.slice(0, at), from.slice(at)))), to, `at ${at}`);
      }
    });
  }

  it("are kept if they are right: the same object is returned", () => {
    for (const text of ["", "a", "a\r\n", "\r\n", "a: b\r\n\r\nÿ\0\x80 \r\n\r\n"]) {
      for (const size of [1, 2, 3, 100]) {
        const message = inBlocks(text, size);
        assert.equal(withCrlf(message), message, JSON.stringify(text));
      }
    }
  });

  it("are CRLF afterwards in any content, and all other octets stay", () => {
    const piece = fc.oneof(
      fc.constantFrom("\r", "\r", "\n", "\r\n", "\r\r\n", "a", "ÿ"),
      fc.string({ unit: "binary-ascii", maxLength: 8 }),
    );
    fc.assert(
      fc.property(anyContent(piece), (message) => {
        const text = textOf(message);
        const repaired = textOf(withCrlf(message));
        assert(!/\r(?!\n)/.test(repaired) && !/(?<!\r)\n/.test(repaired));
        // The oracle is the rule itself, on text.
        assert.equal(repaired, text.replace(/\r*\n|\r/g, (end) => end === "\r" ? " " : "\r\n"));
        assert(withCrlf(message).every((block) => block.length > 0));
      }),
      { numRuns: 500 },
    );
  });

  it("are repaired without changing the input", () => {
    const message = content("a\nb\rc");
    withCrlf(message);
    assert.equal(textOf(message), "a\nb\rc");
  });
});
