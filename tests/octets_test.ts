/** Octets of a stream, in whatever pieces they arrive. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import * as fc from "./support/property.ts";
import { Joiner } from "../src/octets.ts";

describe("what is left of a stream, joined with what comes next", () => {
  it("is the same octets, however many of them are read in between", () => {
    const steps = fc.array(
      fc.record({ octets: fc.uint8Array({ maxLength: 5000 }), read: fc.nat() }),
      {
        maxLength: 40,
      },
    );
    fc.assert(fc.property(steps, (all) => {
      const joiner = new Joiner();
      let rest: Uint8Array = new Uint8Array();
      let expected = Buffer.alloc(0);
      const handedOut: [Uint8Array, Buffer][] = [];
      for (const { octets, read } of all) {
        rest = joiner.join(rest, octets);
        expected = Buffer.concat([expected, octets]);
        assert.deepEqual(Buffer.from(rest), expected);
        const count = read % (rest.length + 1);
        handedOut.push([rest.subarray(0, count), Buffer.from(expected.subarray(0, count))]);
        rest = rest.subarray(count);
        expected = expected.subarray(count);
      }
      // Whoever keeps what has been read finds it unchanged.
      for (const [kept, copy] of handedOut) assert.deepEqual(Buffer.from(kept), copy);
    }));
  });

  it("is copied some times and not for each piece of one octet", () => {
    const joiner = new Joiner();
    let rest: Uint8Array = new Uint8Array();
    const memories = new Set<ArrayBufferLike>();
    for (let i = 0; i < 65_536; i++) {
      rest = joiner.join(rest, Uint8Array.of(i & 255));
      memories.add(rest.buffer);
    }
    assert.equal(rest.length, 65_536);
    assert.ok(memories.size < 30, `${memories.size} copies`);
  });

  it("has little room after it if pieces are large: a message's octets keep it", () => {
    const joiner = new Joiner();
    const rest = joiner.join(joiner.join(Buffer.alloc(0), Buffer.alloc(100)), Buffer.alloc(60_000));
    assert.equal(rest.buffer.byteLength, 60_100);
  });
});
