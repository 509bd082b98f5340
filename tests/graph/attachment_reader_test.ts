/** Reading an attachment from any position, as resumed uploads need it. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import * as fc from "../support/property.ts";
import { AttachmentReader } from "../../src/graph/attachment_reader.ts";
import type { Attachment } from "../../src/graph/extract_attachments.ts";

/** Its pieces are valid only until the next one. */
function attachmentOf(pieces: readonly Uint8Array[]) {
  let begun = 0;
  const size = pieces.reduce((sum, { length }) => sum + length, 0);
  const attachment: Attachment = {
    name: "a",
    contentType: "a/b",
    inline: false,
    size,
    *octets(scratch) {
      begun++;
      assert.equal(scratch, true);
      const memory = new Uint8Array(64);
      for (const piece of pieces) {
        memory.fill(0xff);
        memory.set(piece);
        yield memory.subarray(0, piece.length);
      }
    },
  };
  return { attachment, begun: () => begun };
}

/** The pieces, each copied before the next. */
function joined(pieces: Iterable<Uint8Array>): Buffer {
  const copies: Uint8Array[] = [];
  for (const piece of pieces) copies.push(Uint8Array.from(piece));
  return Buffer.concat(copies);
}

describe("reading an attachment", () => {
  it("returns the octets between any two positions, in any order", () => {
    const piece = fc.uint8Array({ maxLength: 20 });
    const places = fc.array(fc.tuple(fc.nat(120), fc.nat(120)), { maxLength: 6 });
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 10 }), places, (pieces, reads) => {
        const whole = Buffer.concat(pieces);
        const reader = new AttachmentReader(attachmentOf(pieces).attachment);
        for (const [a, b] of reads) {
          const [start, end] = [Math.min(a, b), Math.max(a, b)];
          assert.deepEqual(
            joined(reader.read(start, end)),
            Buffer.from(whole.subarray(start, end)),
          );
        }
      }),
    );
  });

  it("decodes nothing twice while it reads forwards", () => {
    const { attachment, begun } = attachmentOf([new Uint8Array(10), new Uint8Array(10)]);
    const reader = new AttachmentReader(attachment);
    for (const [start, end] of [[0, 3], [3, 12], [15, 20]] as const) {
      assert.equal(joined(reader.read(start, end)).length, end - start);
    }
    assert.equal(begun(), 1);
    assert.equal(joined(reader.read(19, 20)).length, 1);
    assert.equal(begun(), 2);
  });

  it("holds at most one decoded piece, whatever the range", () => {
    const { attachment } = attachmentOf(Array.from({ length: 100 }, () => new Uint8Array(60)));
    const reader = new AttachmentReader(attachment);
    const memories = new Set<ArrayBufferLike>();
    for (const piece of reader.read(0, 6000)) memories.add(piece.buffer);
    assert.deepEqual([...memories].map(({ byteLength }) => byteLength), [64]);
  });
});
