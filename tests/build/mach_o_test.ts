// Signatures of executables for macOS. The executable here is a header, three load commands and
// zeros; the real ones are tested in tests/deploy/executables.sh.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { describe, it } from "node:test";
import { isSigned, signAdHoc } from "../../scripts/build/mach_o.ts";

const CODE = 10_000;
const LINK_EDIT = 8_192;
const LOAD_COMMANDS = 32;
const SEGMENT = 72;

/** A 64-bit Mach-O (Apple's <mach-o/loader.h>) with an old signature that does not fit. */
function executable(): Buffer {
  const file = Buffer.alloc(CODE + 100, "code");
  file.writeUInt32LE(0xfeedfacf, 0);
  file.writeUInt32LE(3, 16);
  const segment = (at: number, name: string, offset: number, size: number) => {
    file.writeUInt32LE(0x19, at);
    file.writeUInt32LE(SEGMENT, at + 4);
    file.fill(0, at + 8, at + 24).write(name, at + 8);
    file.writeBigUInt64LE(BigInt(offset), at + 40);
    file.writeBigUInt64LE(BigInt(size), at + 48);
  };
  segment(LOAD_COMMANDS, "__TEXT", 0, LINK_EDIT);
  segment(LOAD_COMMANDS + SEGMENT, "__LINKEDIT", LINK_EDIT, CODE + 100 - LINK_EDIT);
  const signature = LOAD_COMMANDS + 2 * SEGMENT;
  [0x1d, 16, CODE, 100].forEach((word, i) => file.writeUInt32LE(word, signature + 4 * i));
  return file;
}

describe("the code signature of an executable for macOS", () => {
  it("fits after signing, and not before", () => {
    assert.equal(isSigned(executable()), false);
    const signed = signAdHoc(executable(), "program");
    assert.equal(isSigned(signed), true);
    assert.deepEqual(signAdHoc(executable(), "program"), signed);
  });

  it("does not fit any more once an octet is changed, or the file is longer", () => {
    for (const place of [20, 5_000, CODE - 1]) {
      const signed = Buffer.from(signAdHoc(executable(), "program"));
      signed[place]! ^= 1;
      assert.equal(isSigned(signed), false, `octet ${place}`);
    }
    const signed = signAdHoc(executable(), "program");
    assert.equal(isSigned(Buffer.concat([signed, Buffer.alloc(1)])), false);
  });

  it("is one that Apple's structures describe (xnu's kern/cs_blobs.h)", () => {
    const signed = Buffer.from(signAdHoc(executable(), "program"));
    const command = LOAD_COMMANDS + 2 * SEGMENT;
    assert.equal(signed.readUInt32LE(command + 8), CODE);
    assert.equal(CODE + signed.readUInt32LE(command + 12), signed.length);
    // __LINKEDIT reaches to the end of the file, and is as large in memory.
    const linkEdit = LOAD_COMMANDS + SEGMENT;
    assert.equal(LINK_EDIT + Number(signed.readBigUInt64LE(linkEdit + 48)), signed.length);
    assert.equal(signed.readBigUInt64LE(linkEdit + 32) % 16_384n, 0n);
    assert(signed.readBigUInt64LE(linkEdit + 32) >= signed.readBigUInt64LE(linkEdit + 48));

    const directory = CODE + 20;
    assert.equal(signed.readUInt32BE(CODE), 0xfade0cc0);
    assert.equal(signed.readUInt32BE(directory), 0xfade0c02);
    // Ad hoc, as by a linker: codesign may replace it.
    assert.equal(signed.readUInt32BE(directory + 12), 0x20002);
    const name = directory + signed.readUInt32BE(directory + 20);
    assert.equal(signed.toString("latin1", name, name + 8), "program\0");
    // Three pages of 4096 octets, the last one as long as it is.
    assert.equal(signed.readUInt32BE(directory + 28), 3);
    const last = directory + signed.readUInt32BE(directory + 16) + 2 * 32;
    const hash = createHash("sha256").update(signed.subarray(8_192, CODE)).digest();
    assert.deepEqual(signed.subarray(last, last + 32), hash);
  });

  it("is not made for what is no such executable", () => {
    assert.throws(() => signAdHoc(Buffer.from("\x7fELF".padEnd(100)), "program"), /not an exec/);
    const empty = executable();
    empty.writeUInt32LE(0, 16);
    assert.throws(() => signAdHoc(empty, "program"), /without a place for a signature/);
  });
});
