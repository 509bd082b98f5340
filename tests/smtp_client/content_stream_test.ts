// Content on its way: the server's decoder reads out of it what went in (RFC 5321 §4.5.2).

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import { DataDecoder } from "../../src/smtp/data.ts";
import { ContentStream } from "../../src/smtp_client/content_stream.ts";
import * as fc from "../support/property.ts";

interface Sent {
  readonly octets: Buffer;
  readonly largest: number;
  readonly stray: boolean;
  /** Whether exactly the last piece said that it is the last. */
  readonly lastOnce: boolean;
}

function send(pieces: readonly Uint8Array[], stuffed: boolean, head = ""): Sent {
  const size = pieces.reduce((sum, { length }) => sum + length, 0);
  const stream = new ContentStream(pieces, { size, stuffed, head });
  const sent: Buffer[] = [];
  const last: boolean[] = [];
  for (let octets = stream.next(); octets !== undefined; octets = stream.next()) {
    sent.push(Buffer.from(octets));
    last.push(stream.isLast);
  }
  return {
    octets: Buffer.concat(sent),
    largest: Math.max(0, ...sent.map(({ length }) => length)),
    stray: stream.stray,
    lastOnce: last.pop() === true && !last.includes(true),
  };
}

/** What a server takes out of DATA. */
function decoded(octets: Buffer): Buffer {
  const content: Buffer[] = [];
  const decoder = new DataDecoder({ append: (part) => content.push(Buffer.from(part)) });
  assert.equal(decoder.push(octets), octets.length, "the data ends elsewhere");
  return Buffer.concat(content);
}

/** Content with CRLF line ends, in pieces. */
const pieces = fc.array(
  fc.constantFrom(..."\r\n|.|..|\r\n.|\r\n.\r\n|a|. |\r\n\r\n|xyz".split("|")),
  { maxLength: 30 },
).chain((words) => {
  const text = words.join("");
  return fc.array(fc.nat({ max: text.length }), { maxLength: 6 }).map((cuts) => {
    const found: Buffer[] = [];
    let start = 0;
    for (const cut of [...cuts.sort((a, b) => a - b), text.length]) {
      found.push(Buffer.from(text.slice(start, cut)));
      start = cut;
    }
    return found;
  });
});

describe("content for DATA", () => {
  it("is what the server reads, with a line end where it has none", () => {
    fc.assert(
      fc.property(pieces, (pieces) => {
        const { octets, lastOnce } = send(pieces, true);
        const content = Buffer.concat(pieces).toString();
        const end = content === "" || content.endsWith("\r\n") ? "" : "\r\n";
        assert.equal(decoded(octets).toString(), content + end);
        assert.ok(lastOnce);
      }),
    );
  });

  it("is so for large contents too, with dots and without, in pieces of bounded size", () => {
    const line = "an ordinary line of seventy octets, more or less, as most of mail is\r\n";
    for (
      const text of [
        line.repeat(5000),
        ".\r\n".repeat(100_000),
        (line.repeat(700) + ".\r\n").repeat(5),
        "." + "x".repeat(200_000),
      ]
    ) {
      for (const cut of [text.length, 32 * 1024, 32 * 1024 + 1, 1000]) {
        const pieces: Buffer[] = [];
        for (let at = 0; at < text.length; at += cut) {
          pieces.push(Buffer.from(text.slice(at, at + cut)));
        }
        const { octets, largest } = send(pieces, true);
        assert.ok(decoded(octets).equals(Buffer.from(text.replace(/(?<!\r\n)$/, "\r\n"))));
        assert.ok(largest <= 65 * 1024, String(largest));
      }
    }
  });

  it("gathers small pieces into one write", () => {
    const parts = Array.from({ length: 100 }, (_, i) => Buffer.from(`X-${i}: .\r\n`));
    const stream = new ContentStream(parts, {
      size: Buffer.concat(parts).length,
      stuffed: true,
    });
    stream.next();
    assert.ok(stream.isLast);
    assert.equal(stream.next(), undefined);
  });
});

describe("content for BDAT (RFC 3030)", () => {
  it("is sent as it is, after its command", () => {
    fc.assert(
      fc.property(pieces, (pieces) => {
        const { octets, lastOnce } = send(pieces, false, "BDAT 1 LAST\r\n");
        assert.equal(octets.toString(), "BDAT 1 LAST\r\n" + Buffer.concat(pieces).toString());
        assert.ok(lastOnce);
      }),
    );
    const large = [Buffer.alloc(100_000, "x"), Buffer.alloc(3, "y")];
    assert.ok(
      send(large, false, "B\r\n").octets.equals(Buffer.concat([Buffer.from("B\r\n"), ...large])),
    );
    assert.ok(send(large.slice(0, 1), false).lastOnce);
  });
});

describe("content that must not be sent", () => {
  for (const stuffed of [true, false]) {
    it(`is never ended if it has a stray line end (CVE-2023-51764), ${stuffed ? "DATA" : "BDAT"}`, () => {
      for (const text of ["a\n.\nb\r\n", "a\r.\r\n", "a\r\r\n", "a\n", "a\r", "\n"]) {
        for (let cut = 0; cut <= text.length; cut++) {
          const { stray, lastOnce } = send(
            [Buffer.from(text.slice(0, cut)), Buffer.from(text.slice(cut))],
            stuffed,
          );
          assert.deepEqual([stray, lastOnce], [true, false], JSON.stringify(text));
        }
      }
    });
  }

  it("is a mistake of the caller if its size is another", () => {
    for (const size of [1, 3]) {
      const stream = new ContentStream([Buffer.from("ab")], { size, stuffed: false });
      assert.throws(() => {
        while (stream.next() !== undefined);
      }, RangeError);
      assert.equal(stream.isLast, false);
    }
  });
});
