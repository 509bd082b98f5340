/** Reading an attachment from any place, as resumed uploads want it. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import fc from "fast-check";
import { AttachmentReader } from "../../src/graph/attachment_reader.ts";
import type { Attachment } from "../../src/message/detach.ts";

function attachmentOf(pieces: readonly Uint8Array[]) {
  let begun = 0;
  const size = pieces.reduce((sum, { length }) => sum + length, 0);
  const attachment: Attachment = {
    name: "a",
    contentType: "a/b",
    inline: false,
    size,
    octets() {
      begun++;
      return pieces;
    },
  };
  return { attachment, begun: () => begun };
}

describe("reading an attachment", () => {
  it("gives the octets from any place to any other, in any order", () => {
    const piece = fc.uint8Array({ maxLength: 20 });
    const places = fc.array(fc.tuple(fc.nat(120), fc.nat(120), fc.nat(120)), { maxLength: 6 });
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 10 }), places, (pieces, reads) => {
        const whole = Buffer.concat(pieces);
        const reader = new AttachmentReader(attachmentOf(pieces).attachment);
        for (const [a, b, taken] of reads) {
          const [start, end] = [Math.min(a, b), Math.max(a, b)];
          const got: Uint8Array[] = [];
          // A read may be left in its middle, as a request that breaks leaves it.
          let left = taken;
          for (const octets of reader.read(start, end)) {
            got.push(octets);
            if (--left < 0) break;
          }
          const wanted = whole.subarray(start, end);
          const octets = Buffer.concat(got);
          assert(octets.equals(left < 0 ? wanted.subarray(0, octets.length) : wanted));
        }
      }),
    );
  });

  it("decodes nothing twice as long as it goes forward", () => {
    const { attachment, begun } = attachmentOf([new Uint8Array(10), new Uint8Array(10)]);
    const reader = new AttachmentReader(attachment);
    for (const [start, end] of [[0, 3], [3, 12], [15, 20]] as const) {
      assert.equal(Buffer.concat([...reader.read(start, end)]).length, end - start);
    }
    assert.equal(begun(), 1);
    assert.equal(Buffer.concat([...reader.read(19, 20)]).length, 1);
    assert.equal(begun(), 2);
  });
});
