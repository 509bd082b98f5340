/** The request's body: base64 of the message (RFC 4648 §4), encoded in pieces that join. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import * as fc from "../support/property.ts";
import { base64Body, base64Parts } from "../../src/graph/base64_body.ts";
import type { Content } from "../../src/smtp/content.ts";
import { content, textOf } from "../support/content.ts";

/** Parts are valid until the next one. */
function joined(parts: Iterable<string | Uint8Array>): string {
  let text = "";
  for (const part of parts) text += typeof part === "string" ? part : textOf([part]);
  return text;
}

function encoded(message: Content): string {
  const { length, parts } = base64Body(message);
  const text = joined(parts());
  assert.equal(length, text.length);
  // A small message is encoded in one step, an attachment of any size in pieces.
  assert.equal(joined(base64Parts(message)) === text, true);
  return text;
}

const PIECE = 45 * 1024;

describe("the base64 of a message (RFC 4648 §4)", () => {
  it("is the whole message's, wherever its blocks are split", () => {
    const text = "From: ann@x.test\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n";
    const expected = Buffer.from(text, "latin1").toString("base64");
    for (let a = 0; a <= text.length; a++) {
      for (let b = a; b <= text.length; b++) {
        assert.equal(encoded(content(text.slice(0, a), text.slice(a, b), text.slice(b))), expected);
      }
    }
  });

  it("has the RFC's padding, and no line breaks (RFC 4648 §10)", () => {
    for (
      const [text, base64] of [["", ""], ["f", "Zg=="], ["fo", "Zm8="], ["foo", "Zm9v"], [
        "foob",
        "Zm9vYg==",
      ]] as const
    ) {
      assert.equal(encoded(content(text)), base64);
    }
    assert.match(encoded(content("x".repeat(10_000))), /^[A-Za-z0-9+/]+=*$/);
  });

  it("joins at sizes around that of a piece", () => {
    for (const size of [PIECE - 1, PIECE, PIECE + 1, 2 * PIECE - 1, 2 * PIECE, 3 * PIECE + 2]) {
      const octets = new Uint8Array(size).map((_, index) => index * 7 % 251);
      const expected = Buffer.from(octets).toString("base64");
      for (const block of [1000, PIECE - 1, PIECE, PIECE + 1, size]) {
        const blocks: Uint8Array[] = [];
        for (let at = 0; at < size; at += block) blocks.push(octets.subarray(at, at + block));
        assert.equal(encoded(blocks) === expected, true, `${size} octets in blocks of ${block}`);
      }
    }
  });

  it("is encoded in pieces, so that a large message is not held a second time", () => {
    // Of an attachment whose pieces are large and small.
    const blocks = [new Uint8Array(10 * PIECE), new Uint8Array(7), new Uint8Array(PIECE - 7)];
    const parts = [...base64Body(blocks).parts()];
    assert.deepEqual(parts.map(({ length }) => length), new Array(11).fill(PIECE / 3 * 4));
  });

  it("can be encoded again with the same result", () => {
    const body = base64Body(content("some", "text"));
    assert.equal(joined(body.parts()), joined(body.parts()));
  });

  it("decodes to the message, for any octets in any blocks", () => {
    const block = fc.uint8Array({ minLength: 1, maxLength: 50 });
    fc.assert(fc.property(fc.array(block, { maxLength: 20 }), (blocks) => {
      const decoded = Buffer.from(encoded(blocks), "base64");
      assert(decoded.equals(Buffer.concat(blocks)));
    }));
  });
});
