/** The memory that a message keeps while it arrives, and when it is released. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import * as fc from "../support/property.ts";
import { type Content, ContentBuilder, discard, lengthOf } from "../../src/smtp/content.ts";
import { DataReceiver } from "../../src/smtp/receivers.ts";
import { UNLIMITED } from "../../src/smtp/reservation.ts";

const SEGMENT = 64 * 1024;

/** Octets of one read of a socket: a separate buffer. */
function segment(size: number, octet = 65): Uint8Array {
  return new Uint8Array(size).fill(octet);
}

/** Octets of all memory that the pieces keep, each counted once. */
function memoryOf(content: Content): number {
  const memories = new Set(content.map(({ buffer }) => buffer));
  return [...memories].reduce((sum, { byteLength }) => sum + byteLength, 0);
}

function built(pieces: Iterable<Uint8Array>): Content {
  const builder = new ContentBuilder();
  for (const piece of pieces) builder.append(piece);
  return builder.finish();
}

describe("the memory of a message", () => {
  for (const size of [1, 100, 2_100, 2_600, 15_000, 17_000, 40_000, 60_000]) {
    it(`is not much more than its octets if ${size} of each segment of 64 KiB are kept`, () => {
      const count = Math.ceil(2_000_000 / size);
      // A million segments would be 64 GB: what is so small has always been copied.
      const shared = size < 1_000 ? segment(SEGMENT) : undefined;
      const segments = function* () {
        for (let i = 0; i < count; i++) yield (shared ?? segment(SEGMENT)).subarray(7, 7 + size);
      };
      const content = built(segments());
      assert.equal(lengthOf(content), count * size);
      assert.ok(memoryOf(content) < 1.2 * count * size, `${memoryOf(content)} octets`);
      // An object costs some hundred octets.
      assert.ok(content.length * 4096 < count * size, `${content.length} pieces`);
    });
  }

  it("is not much more than its octets if it arrives in small segments", () => {
    for (const size of [1, 2_100, 9_000]) {
      const count = Math.ceil(1_000_000 / size);
      const content = built(Array.from({ length: count }, () => segment(size)));
      assert.ok(memoryOf(content) < 1.2 * count * size);
      assert.ok(content.length < 300, `${content.length} pieces of ${size}`);
    }
  });

  it("is the segments' own if all of them is kept: nothing is copied", () => {
    const segments = [segment(SEGMENT), segment(512 * 1024), segment(16 * 1024)];
    const content = built(segments);
    assert.deepEqual(content.map(({ buffer }) => buffer), segments.map(({ buffer }) => buffer));
  });

  it("is the segment's own for a small message in one segment, with the end of its data", () => {
    const whole = segment(10_005);
    const [piece] = built([whole.subarray(0, 10_000)]);
    assert.equal(piece!.buffer, whole.buffer);
  });

  it("contains the received octets in order, in whatever pieces", () => {
    const piece = fc.tuple(fc.nat(40_000), fc.nat(255), fc.boolean());
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
        const segments = pieces.map(([size, octet, alone]) =>
          alone ? segment(size, octet) : segment(size + 9_000, octet).subarray(0, size)
        );
        assert.ok(Buffer.concat([...built(segments)]).equals(Buffer.concat(segments)));
      }),
      { numRuns: 50 },
    );
  });

  it("is released immediately when the message is discarded, not with a collection", () => {
    const large = segment(SEGMENT);
    const content = built([large, segment(100), segment(3_000), segment(SEGMENT)]);
    const memories = content.map(({ buffer }) => buffer);
    discard(content);
    assert.deepEqual(memories.map(({ byteLength }) => byteLength), memories.map(() => 0));
    assert.equal(large.length, 0);
    // Again, it is nothing.
    discard(content);
  });

  it("is not reused if others may use it: octets after the message or outside one", () => {
    const whole = segment(SEGMENT);
    const after = whole.subarray(60_000);
    discard(built([whole.subarray(0, 60_000)]));
    assert.equal(after.length, SEGMENT - 60_000);
    const foreign = [Buffer.from("of a pool that all share")];
    discard(foreign);
    assert.equal(foreign[0]!.toString(), "of a pool that all share");
  });

  it("is released immediately when a message is refused in its middle", () => {
    const reservation = UNLIMITED.open(0)!;
    reservation.ensure = (octets) => octets <= 100_000;
    const receiver = new DataReceiver(1_000_000, reservation);
    const first = segment(SEGMENT);
    receiver.push(first);
    assert.equal(first.length, SEGMENT);
    receiver.push(segment(200_000));
    assert.equal(first.length, 0);
  });

  it("is released immediately when others need the room more", () => {
    const reservation = UNLIMITED.open(0)!;
    const receiver = new DataReceiver(1_000_000, reservation);
    const first = segment(SEGMENT);
    receiver.push(first);
    reservation.giveUp!();
    assert.equal(first.length, 0);
  });

  it("is released immediately when the client disconnects in the middle", () => {
    const receiver = new DataReceiver(1_000_000, UNLIMITED.open(0)!);
    const first = segment(SEGMENT);
    receiver.push(first);
    receiver.discard();
    assert.equal(first.length, 0);
  });
});
