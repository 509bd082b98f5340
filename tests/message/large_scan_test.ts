/** Large messages are searched octet by octet, small ones as strings: both find the same. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import * as fc from "../support/property.ts";
import { canonical } from "../../src/graph/canonical.ts";
import { extractAttachments } from "../../src/graph/extract_attachments.ts";
import { type LazyContent, LazyPiece, type Piece } from "../../src/message/lazy_piece.ts";
import { ContentView } from "../../src/message/content_view.ts";
import { decodeBase64, decodedLength, encodeBase64 } from "../../src/message/transfer_encoding.ts";
import type { Content } from "../../src/smtp/content.ts";
import { made, textOf } from "../support/content.ts";

const LARGE = 1_200_000;

/** The octets in pieces of this size. */
function cut(octets: Buffer, size: number): Content {
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < octets.length; at += size) pieces.push(octets.subarray(at, at + size));
  return pieces;
}

/** All octets in one piece. */
function whole(content: LazyContent): Buffer {
  return Buffer.concat(made(content));
}

describe("a search in pieces", () => {
  const needle = "\r\n--bound-ary";
  // Near misses, with hyphens, which the search tries first.
  const filler = "\r\n-\r\n--bound\r\n--bound-aryX-----\r\n-bound-ary".replaceAll("aryX", "arX");

  for (const distance of [0, 1000, 31_999, 70_000, 300_000]) {
    it(`finds what is ${distance} octets away, wherever the pieces end`, () => {
      const before = filler.repeat(Math.ceil(distance / filler.length)).slice(0, distance);
      const octets = Buffer.from(`${before}${needle}${filler}`, "latin1");
      for (const size of [7, 1024, distance + 1, distance + 5, octets.length]) {
        const pieces = new ContentView(cut(octets, size));
        assert.equal(pieces.indexOf(needle, 0, octets.length), distance, `pieces of ${size}`);
        assert.equal(pieces.indexOf(needle, distance + 1, octets.length), -1);
        const end = distance + needle.length;
        assert.equal(pieces.indexOf(needle, 0, end), distance, "wholly before the end");
        assert.equal(pieces.indexOf(needle, 0, end - 1), -1);
      }
    });
  }
});

describe("a large message", () => {
  const head = "From: a@x.test\r\nContent-Type: text/plain\r\n\r\n";
  const lines = `${"x".repeat(70)}\r\n`.repeat(Math.ceil(LARGE / 72));
  const regular = Buffer.from(head + lines);

  it("is returned unchanged if its lines are right, whatever its pieces", () => {
    for (const size of [71, 72, 73, 16_384, regular.length]) {
      const content = cut(regular, size);
      assert.equal(canonical(content, { reencodeQuotedPrintable: true }), content);
    }
  });

  for (const [what, bad] of Object.entries({ "a lone LF": "a\nb\r\n", "a lone CR": "a\rb\r\n" })) {
    it(`gets right lines for ${what}, at the end of a piece too`, () => {
      const octets = Buffer.from(head + lines + bad);
      const at = octets.length - 3;
      for (const size of [at, at - 1, octets.length]) {
        const fit = whole(canonical(cut(octets, size), { reencodeQuotedPrintable: true }));
        const end = fit.toString("latin1", fit.length - 8);
        assert.match(end, bad.includes("\r" + "b") ? /\na b\r\n$/ : /\r\na\r\nb\r\n$/);
      }
    });
  }

  for (const [what, bad] of [["a NUL", "a\0b\r\n"], ["a long line", `${"y".repeat(999)}\r\n`]]) {
    it(`becomes base64 for ${what}`, () => {
      const octets = Buffer.from(head + lines + bad);
      const fit = whole(canonical([octets], { reencodeQuotedPrintable: true }));
      const [header, body] = [fit.indexOf("\r\n\r\n"), fit.indexOf("\r\n\r\n") + 4];
      assert.match(fit.toString("latin1", 0, header), /\r\nContent-Transfer-Encoding: base64$/);
      const text = fit.toString("latin1", body);
      assert.deepEqual(Buffer.from(text, "base64"), Buffer.from(lines + bad));
    });
  }

  it("has its quoted-printable part found, which comes last", () => {
    const octets = Buffer.from(
      "From: a@x.test\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n" + lines +
        "--b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=\r\n=C3=9Fe\r\n--b--\r\n",
    );
    const fit = whole(canonical([octets], { reencodeQuotedPrintable: true }));
    assert.match(
      fit.toString("latin1"),
      /\r\n--b\r\nContent-Transfer-Encoding: base64\r\n\r\nR3LDvMOfZQ==\r\n--b--\r\n$/,
    );
  });
});

describe("content as base64 (RFC 2045 §6.8)", () => {
  /** By the runtime's encoder. */
  const native = (octets: Buffer) => octets.toString("base64").replace(/.{1,76}/g, "$&\r\n");

  it("has lines of 76 characters, however its pieces are cut", () => {
    const octets = fc.uint8Array({ maxLength: 400 });
    fc.assert(
      fc.property(octets, fc.integer({ min: 1, max: 130 }), fc.boolean(), (all, size, end) => {
        const octets = Buffer.from(all);
        const expected = end ? native(octets) : native(octets).slice(0, -2);
        assert.equal(
          textOf(encodeBase64(cut(octets, size), end)),
          expected,
        );
      }),
    );
  });

  it("has blocks of a bounded size, however large or small its pieces are", () => {
    const large = Buffer.alloc(3 * LARGE, "The quick brown fox");
    for (const size of [100, 16_384, large.length]) {
      const blocks = encodeBase64(cut(large, size), true);
      assert.ok(blocks.length < 4 * LARGE / 10_000);
      assert.ok(blocks.every(({ length }) => length < 100_000));
      assert.ok(whole(blocks).equals(Buffer.from(native(large))));
    }
  });
});

describe("the length of base64 content", () => {
  it("is that of the decoded content, whatever the text is", () => {
    const texts = fc.array(
      fc.oneof(
        fc.constantFrom("QUJD", "QUI=", "QQ==", "\r\n", "=", "====", "-", "\0", "Q", "QU", "é"),
        fc.base64String({ maxLength: 40 }),
      ),
      { maxLength: 30 },
    );
    fc.assert(fc.property(texts, fc.integer({ min: 1, max: 50 }), (parts, size) => {
      const body = cut(Buffer.from(parts.join(""), "latin1"), size);
      let length = 0;
      for (const piece of decodeBase64(body)) length += piece.length;
      assert.equal(decodedLength(body), length);
    }));
  });

  it("is the size of an extracted attachment", () => {
    const file = Buffer.alloc(LARGE, "The quick brown fox");
    const base64 = file.toString("base64").replace(/.{76}/g, "$&\r\n");
    const detached = extractAttachments([
      Buffer.from(
        "Content-Type: application/pdf; name=f.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
          base64,
      ),
    ], 1000);
    assert(detached.type === "extracted");
    const [attachment] = detached.attachments;
    assert.equal(attachment!.size, file.length);
    assert.deepEqual(Buffer.concat([...attachment!.octets()]), file);
  });
});

describe("an octet by its position", () => {
  it("is found in either direction, in stored and in generated pieces", () => {
    const text = "ab-cd\nef--gh\n".repeat(50);
    const plain = cut(Buffer.from(text, "latin1"), 7);
    const lazy = plain.map((piece, i) =>
      i % 3 === 0 ? piece : new LazyPiece({ length: piece.length, write: (out) => out.set(piece) })
    );
    for (const content of [plain, lazy]) {
      const view = new ContentView<Piece>(content);
      const backwards = Array.from({ length: text.length }, (_, i) => text.length - 1 - i);
      for (const at of [...backwards, ...backwards.toReversed()]) {
        assert.equal(view.octetAt(at), text.charCodeAt(at));
        assert.equal(view.indexOfOctet(0x2d, at), text.indexOf("-", at));
        const end = at + 9;
        const found = text.slice(0, end).indexOf("\n", at);
        assert.equal(view.indexOfOctet(0x0a, at, end), found);
      }
      assert.deepEqual([view.octetAt(-1), view.octetAt(text.length)], [-1, -1]);
    }
  });
});
