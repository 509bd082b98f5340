/** Octets of a stream, in whatever pieces they arrive. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import * as fc from "./support/property.ts";
import { byDots, indexOfCrlfDot, indexOfOctet, Joiner } from "../src/octets.ts";

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

describe("a search in octets", () => {
  /** Texts in which what is looked for is frequent, in whole and in part. */
  const octets = fc.array(fc.constantFrom("\r", "\n", ".", "x", "\r\n", "\r\n.", "a".repeat(70)), {
    maxLength: 60,
  }).map((parts) => Buffer.from(parts.join("")));

  it("finds the first CRLF with a dot after it (RFC 5321 §4.5.2), by either way", () => {
    fc.assert(fc.property(octets, fc.nat(200), (all, from) => {
      const expected = all.toString("latin1").indexOf("\r\n.", from);
      assert.equal(byDots(all, from), from > all.length ? -1 : expected);
      assert.equal(indexOfCrlfDot(all, from), expected);
    }));
  });

  it("finds the first octet from a position on", () => {
    fc.assert(fc.property(octets, fc.nat(200), (all, from) => {
      assert.equal(indexOfOctet(all, 46, from), all.toString("latin1").indexOf(".", from));
    }));
  });

  it("looks at each octet once or twice, however many dots there are", () => {
    // A search that called for each of the dots would take seconds.
    const dots = Buffer.alloc(20_000_000, "x.");
    const begun = performance.now();
    assert.equal(byDots(dots, 0), -1);
    assert.ok(performance.now() - begun < 1500);
  });
});
