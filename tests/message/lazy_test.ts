/** A message changed everywhere is not held a second time (MAX_MEMORY counts it once). */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import { canonical } from "../../src/graph/canonical.ts";
import { extractAttachments } from "../../src/graph/extract_attachments.ts";
import { type LazyContent, LazyPiece, octetsIn } from "../../src/message/lazy_piece.ts";
import type { Content } from "../../src/smtp/content.ts";
import { made } from "../support/content.ts";
import { envelope, OPTIONS, prepareMessage } from "../graph/preparing.ts";

const SIZE = 1_000_000;

function fill(text: string): Buffer {
  return Buffer.alloc(SIZE, text, "latin1");
}

/** Attachments by form: what is changed in each, and what they decode to. */
const SHAPES: readonly {
  readonly name: string;
  readonly fields: string;
  readonly body: Buffer;
  readonly decoded: Buffer | undefined;
}[] = [
  {
    name: "binary",
    fields: "Content-Type: application/pdf\r\nContent-Transfer-Encoding: binary\r\n",
    body: fill("a\0b\nc\rd\xff"),
    decoded: fill("a\0b\nc\rd\xff"),
  },
  {
    name: "quoted-printable",
    fields: "Content-Type: application/pdf\r\nContent-Transfer-Encoding: quoted-printable\r\n",
    body: fill(`=C3=9Fe ${"x".repeat(50)}=\r\n`),
    decoded: Buffer.from(
      fill(`=C3=9Fe ${"x".repeat(50)}=\r\n`).toString("latin1")
        .replaceAll("=\r\n", "").replaceAll("=C3=9F", "\xc3\x9f"),
      "latin1",
    ),
  },
  {
    name: "text with long lines",
    fields: "Content-Type: text/plain; name=a.txt\r\n",
    body: fill("a line\nand ".padEnd(1500, "y")),
    decoded: Buffer.from(
      fill("a line\nand ".padEnd(1500, "y")).toString("latin1").replaceAll("\n", "\r\n"),
      "latin1",
    ),
  },
  {
    name: "base64 in one line",
    fields: "Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n",
    body: fill("QUJD"),
    decoded: Buffer.alloc(SIZE / 4 * 3, "ABC"),
  },
  {
    name: "lone LFs",
    fields: "Content-Type: text/plain; name=a.txt\r\n",
    body: fill("x\n"),
    decoded: Buffer.from(fill("x\n").toString("latin1").replaceAll("\n", "\r\n"), "latin1"),
  },
  {
    name: "NULs around lone dots, in a message that is attached",
    fields: "Content-Type: message/rfc822\r\n",
    body: Buffer.from(`Subject: a\r\n\r\n${"\0.\0\r\n\0text\r\n".repeat(SIZE / 12)}`),
    decoded: undefined,
  },
];

function message(fields: string, body: Buffer, size: number): Content {
  const octets = Buffer.concat([
    Buffer.from(
      "From: me@x.test\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" +
        `--b\r\n\r\nLook.\r\n--b\r\nContent-Disposition: attachment\r\n${fields}\r\n`,
    ),
    body,
    Buffer.from("\r\n--b--\r\n"),
  ]);
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < octets.length; at += size) {
    pieces.push(Uint8Array.from(octets.subarray(at, at + size)));
  }
  return pieces;
}

/** Octets held besides those received. */
function heldBesides(came: Content, content: LazyContent): number {
  const memories = new Set(came.map(({ buffer }) => buffer));
  let held = 0;
  for (const piece of content) {
    if (piece instanceof Uint8Array && !memories.has(piece.buffer)) held += piece.length;
  }
  return held;
}

for (const { name, fields, body, decoded } of SHAPES) {
  describe(`a large attachment: ${name}`, () => {
    for (const size of [1_999, 16_384, 3_000_000]) {
      it(`is held once, in pieces of ${size}, and reads as expected`, () => {
        const came = message(fields, body, size);
        const result = prepareMessage(came, envelope(["a@x.test"]), OPTIONS);
        assert(result.type === "prepared", JSON.stringify(result));
        const { content } = result;
        assert.ok(heldBesides(came, content) < 4096, `${heldBesides(came, content)} octets`);
        for (const piece of content) {
          if (piece instanceof LazyPiece) assert.ok(piece.length > 0 && piece.length <= 150_000);
        }
        const whole = Buffer.concat(made(content));
        // The same from one buffer, read again, and for a message in one piece.
        const again: Buffer[] = [];
        for (const octets of octetsIn(content, true)) again.push(Buffer.from(octets));
        assert.ok(Buffer.concat(again).equals(whole));
        const other = prepareMessage([Buffer.concat([...came])], envelope(["a@x.test"]), OPTIONS);
        assert(other.type === "prepared");
        assert.ok(Buffer.concat(made(other.content)).equals(whole));
      });
    }

    it("is uploaded decoded, and held once throughout", () => {
      const came = message(fields, body, 100_000);
      const content = canonical(came, { reencodeQuotedPrintable: true });
      const detached = extractAttachments(content, 10_000);
      assert(detached.type === "extracted", JSON.stringify(detached));
      const [attachment] = detached.attachments;
      const expected = decoded ??
        Buffer.from(body.toString("latin1").replaceAll("\0.\0\r\n", " . \r\n"), "latin1");
      assert.equal(attachment!.size, expected.length);
      const pieces: Buffer[] = [];
      const memories = new Set(came.map(({ buffer }) => buffer));
      const others = new Set<ArrayBufferLike>();
      for (const octets of attachment!.octets(true)) {
        if (!memories.has(octets.buffer)) others.add(octets.buffer);
        pieces.push(Buffer.from(octets));
      }
      assert.ok(Buffer.concat(pieces).equals(expected));
      assert.ok(others.size < 10, "made in the same memory again and again");
      assert.ok(Buffer.concat(made(detached.rest)).length <= 10_000);
    });
  });
}
