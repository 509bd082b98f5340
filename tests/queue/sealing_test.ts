/** What the queue seals: AES-256-GCM in pieces (NIST SP 800-38D; https://eprint.iacr.org/2015/189). */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { describe, it } from "node:test";
import { Sealer, SealError } from "../../src/queue/sealing.ts";
import { Secret } from "../../src/secret.ts";
import { type Content, discard, lengthOf } from "../../src/smtp/content.ts";
import * as fc from "../support/property.ts";

// The form that sealing.ts describes.
const HEAD = 1 + 8 + 32;
const TAG = 16;
const PIECE = 256 * 1024;

const key = () => new Secret(randomBytes(32).toString("base64"));
const FIRST = key();
const SECOND = key();
const sealer = new Sealer([FIRST]);
const CONTEXT = "content 0123456789abcdef";

async function sealed(content: Content, context = CONTEXT, by = sealer): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of by.sealContent(content, context)) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** Octets of a content that has so many sealed. */
function plainSize(sealed: number): number {
  const pieces = sealed - HEAD;
  return pieces - Math.ceil(pieces / (PIECE + TAG)) * TAG;
}

async function opened(
  octets: Uint8Array,
  { context = CONTEXT, by = sealer, step = octets.length || 1, size }: {
    readonly context?: string;
    readonly by?: Sealer;
    readonly step?: number;
    readonly size?: number;
  } = {},
): Promise<Buffer> {
  async function* pieces() {
    for (let at = 0; at < octets.length; at += step) yield octets.subarray(at, at + step);
  }
  return Buffer.concat(await by.openContent(pieces(), context, size ?? plainSize(octets.length)));
}

const tampered = (error: unknown) => error instanceof SealError && error.reason === "tampered";
const otherKey = (error: unknown) => error instanceof SealError && error.reason === "key";

describe("a sealed text", () => {
  it("opens as what was sealed, whatever its octets and context", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2000 }), fc.string(), (octets, context) => {
        const text = sealer.seal(octets, context);
        assert.deepEqual(Buffer.from(sealer.open(text, context)), Buffer.from(octets));
      }),
    );
  });

  it("opens no more when any of its octets is another one", () => {
    const text = sealer.seal(Buffer.from("the quick brown fox"), CONTEXT);
    for (let at = 0; at < text.length; at++) {
      for (const bit of [1, 0x80]) {
        const changed = Uint8Array.from(text);
        changed[at]! ^= bit;
        assert.throws(() => sealer.open(changed, CONTEXT), SealError, `octet ${at}`);
      }
    }
  });

  it("opens no more when it is shorter or longer", () => {
    const text = Buffer.from(sealer.seal(Buffer.from("the quick brown fox"), CONTEXT));
    for (let length = 0; length < text.length; length++) {
      assert.throws(() => sealer.open(text.subarray(0, length), CONTEXT), tampered, `${length}`);
    }
    assert.throws(() => sealer.open(Buffer.concat([text, Buffer.alloc(1)]), CONTEXT), tampered);
  });

  it("opens in its own context alone", () => {
    const text = sealer.seal(Buffer.from("x"), "record a");
    for (const context of ["record b", "note a", "record ", ""]) {
      assert.throws(() => sealer.open(text, context), tampered);
    }
  });

  it("is another one each time, so that equal texts cannot be told", () => {
    const [one, two] = [0, 1].map(() => Buffer.from(sealer.seal(Buffer.from("same"), CONTEXT)));
    assert(!one!.subarray(HEAD).equals(two!.subarray(HEAD)));
  });

  it("shows nothing of what was sealed", () => {
    const text = Buffer.from(sealer.seal(Buffer.from("hunter2".repeat(100)), CONTEXT));
    assert(!text.includes("hunter2"));
    assert(!text.includes(Buffer.from(FIRST.reveal(), "base64").subarray(0, 8)));
  });
});

describe("several keys", () => {
  const both = new Sealer([SECOND, FIRST]);

  it("all open", () => {
    for (const by of [sealer, new Sealer([SECOND]), both]) {
      assert.equal(
        Buffer.from(both.open(by.seal(Buffer.from("x"), CONTEXT), CONTEXT)).toString(),
        "x",
      );
    }
  });

  it("seal with the first one", () => {
    const text = both.seal(Buffer.from("x"), CONTEXT);
    assert.equal(new Sealer([SECOND]).open(text, CONTEXT).length, 1);
    assert.throws(() => sealer.open(text, CONTEXT), otherKey);
  });

  it("tell a key that is not among them from a damage", () => {
    const text = new Sealer([key()]).seal(Buffer.from("x"), CONTEXT);
    assert.throws(() => both.open(text, CONTEXT), otherKey);
  });

  it("are the same in base64 and base64url, padded or not", () => {
    const octets = Buffer.alloc(32, 0xfe);
    const text = new Sealer([new Secret(octets.toString("base64"))]).seal(Buffer.from("x"), "c");
    const other = new Sealer([new Secret(octets.toString("base64url"))]);
    assert.equal(other.open(text, "c").length, 1);
  });
});

describe("a sealed content", () => {
  const SIZES = [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE - 1, 2 * PIECE, 2 * PIECE + 1];

  it("opens as what was sealed at sizes around the piece's, read in steps of any length", async () => {
    for (const size of SIZES) {
      const octets = randomBytes(size);
      const text = await sealed(size === 0 ? [] : [octets]);
      for (const step of [text.length, HEAD, PIECE + TAG, PIECE + TAG + 1, 65_536]) {
        assert((await opened(text, { step })).equals(octets), `${size} in steps of ${step}`);
      }
    }
  });

  it("has the size that is said before", async () => {
    for (const size of SIZES) {
      const content = size === 0 ? [] : [randomBytes(size)];
      assert.equal((await sealed(content)).length, sealer.sealedSize(content), `${size}`);
    }
  });

  it("does not depend on how the content was cut", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 50 }), { maxLength: 40 }),
        fc.integer({ min: 1, max: 200 }),
        async (content, step) => {
          assert((await opened(await sealed(content), { step })).equals(Buffer.concat(content)));
        },
      ),
    );
  });

  it("comes in pieces, so that no second copy of it is in memory", async () => {
    const lengths: number[] = [];
    for await (const piece of sealer.sealContent([randomBytes(3 * PIECE + 5)], CONTEXT)) {
      lengths.push(piece.length);
    }
    assert(lengths.every((length) => length <= PIECE + TAG), String(lengths));
  });

  it("opens no more when it is cut off between pieces, or a piece is missing or swapped", async () => {
    const whole = await sealed([randomBytes(3 * PIECE)]);
    const head = whole.subarray(0, HEAD);
    const piece = (index: number) =>
      whole.subarray(HEAD + index * (PIECE + TAG), HEAD + (index + 1) * (PIECE + TAG));
    const [first, second, last] = [piece(0), piece(1), piece(2)];
    assert.equal((await opened(Buffer.concat([head, first, second, last]))).length, 3 * PIECE);
    for (
      const parts of [
        [],
        [first],
        [first, second],
        [second, last],
        [first, last],
        [second, first, last],
        [first, last, second],
        [first, first, second, last],
        [first, second, last, last],
        [last],
      ]
    ) {
      await assert.rejects(opened(Buffer.concat([head, ...parts])), tampered);
    }
  });

  it("opens no more with a piece of another content, even at the same place", async () => {
    const octets = randomBytes(2 * PIECE);
    const [one, two] = [await sealed([octets]), await sealed([octets])];
    const mixed = Buffer.concat([
      one.subarray(0, HEAD + PIECE + TAG),
      two.subarray(HEAD + PIECE + TAG),
    ]);
    await assert.rejects(opened(mixed), tampered);
    assert(!one.subarray(HEAD).equals(two.subarray(HEAD)), "equal texts are sealed differently");
  });

  it("opens for its own message alone, and with its own key", async () => {
    const text = await sealed([randomBytes(10)]);
    await assert.rejects(opened(text, { context: "content fedcba9876543210" }), tampered);
    await assert.rejects(opened(text, { by: new Sealer([SECOND]) }), otherKey);
  });

  it("is opened without keeping what it is read from, into memory that can be freed at once", async () => {
    const octets = randomBytes(2 * PIECE + 5);
    const text = await sealed([octets]);
    const memory = new Uint8Array(10_000);
    async function* readings() {
      for (let at = 0; at < text.length; at += memory.length) {
        const part = text.subarray(at, at + memory.length);
        memory.set(part);
        yield memory.subarray(0, part.length);
      }
    }
    const content = await sealer.openContent(readings(), CONTEXT, octets.length);
    assert(Buffer.concat(content).equals(octets));
    discard(content);
    assert.equal(lengthOf(content), 0);
  });

  it("opens with its size alone, and reads no more than that", async () => {
    const text = await sealed([randomBytes(4 * PIECE)]);
    for (const size of [0, 1, PIECE, 4 * PIECE - 1, 4 * PIECE + 1, Infinity, NaN, -1]) {
      await assert.rejects(opened(text, { size }), tampered, `${size}`);
    }
    let read = 0;
    async function* pieces() {
      for (; read < text.length; read += 1000) yield text.subarray(read, read + 1000);
    }
    await assert.rejects(sealer.openContent(pieces(), CONTEXT, PIECE + 1), tampered);
    assert(read < 2 * (PIECE + TAG) + HEAD + 2000, `${read}`);
  });

  it("passes on what reading it throws", async () => {
    // deno-lint-ignore require-yield
    async function* broken(): AsyncGenerator<Uint8Array> {
      throw new Error("the disk is broken");
    }
    await assert.rejects(sealer.openContent(broken(), CONTEXT, 1), /the disk is broken/);
  });
});

describe("a keyed hash", () => {
  it("is the same for the same parts, and another one for others or with another key", () => {
    const other = new Sealer([SECOND]);
    assert.equal(sealer.hash("a", "b"), new Sealer([FIRST, SECOND]).hash("a", "b"));
    const names = [
      sealer.hash("a", "b"),
      sealer.hash("ab", ""),
      sealer.hash("", "ab"),
      sealer.hash("ab"),
      other.hash("a", "b"),
    ];
    assert.equal(new Set(names).size, names.length);
    assert(names.every((name) => /^[\w-]{22}$/.test(name)));
  });

  it("is found under each key, so that a new first key does not hide what was stored", () => {
    const [, old] = new Sealer([SECOND, FIRST]).hashes("a");
    assert.equal(old, sealer.hash("a"));
  });
});
