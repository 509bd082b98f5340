// The code signature of an executable for macOS, ad hoc: hashes of its pages, without a signer.
//
// A Mac with Apple's processor runs only programs with a valid signature. Bun's compiler signs for
// those, but leaves Bun's own signature in executables for Intel, where it does not fit any more
// since the program was added. Structures: Apple's <mach-o/loader.h> and xnu's <kern/cs_blobs.h>;
// the former are little-endian here, the latter big-endian always.

import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";

const MAGIC_64 = 0xfeedfacf;
const HEADER = 32;
const LC_SEGMENT_64 = 0x19;
const LC_CODE_SIGNATURE = 0x1d;
const SUPER_BLOB = 0xfade0cc0;
const CODE_DIRECTORY = 0xfade0c02;
/** Its size in version 2.4, which gives the position of the main program. */
const DIRECTORY_HEADER = 88;
const VERSION_2_4 = 0x20400;
/** CS_ADHOC and CS_LINKER_SIGNED: `codesign` may put another in its place. */
const FLAGS = 0x20002;
const MAIN_BINARY = 1n;
const SHA256 = 2;
const HASH = 32;
const PAGE_BITS = 12;
const PAGE = 1 << PAGE_BITS;
/** Segments end at pages of this size in memory, on both processors. */
const MEMORY_PAGE = 16_384;

interface Places {
  /** Of the load commands themselves. */
  readonly signature: number;
  readonly text: number;
  readonly linkEdit: number;
}

/** @returns the executable with a signature that fits @throws Error where it is no such executable */
export function signAdHoc(executable: Uint8Array, identifier: string): Uint8Array {
  const old = Buffer.from(executable.buffer, executable.byteOffset, executable.byteLength);
  const { signature, text, linkEdit } = placesIn(old);
  const limit = old.readUInt32LE(signature + 8);
  const name = Buffer.from(`${identifier}\0`);
  const pages = Math.ceil(limit / PAGE);
  const directory = DIRECTORY_HEADER + name.length + pages * HASH;
  const blob = 12 + 8 + directory;
  const size = Math.ceil(blob / 16) * 16;

  const signed = Buffer.alloc(limit + size);
  old.copy(signed, 0, 0, limit);
  // These stand in the first page, which is hashed below.
  signed.writeUInt32LE(size, signature + 12);
  const inFile = limit + size - Number(signed.readBigUInt64LE(linkEdit + 40));
  signed.writeBigUInt64LE(BigInt(Math.ceil(inFile / MEMORY_PAGE) * MEMORY_PAGE), linkEdit + 32);
  signed.writeBigUInt64LE(BigInt(inFile), linkEdit + 48);

  const words = (at: number, ...values: number[]) =>
    values.forEach((value, i) => signed.writeUInt32BE(value, at + 4 * i));
  words(limit, SUPER_BLOB, blob, 1, 0, 20);
  const start = limit + 20;
  const hashes = DIRECTORY_HEADER + name.length;
  words(
    start,
    CODE_DIRECTORY,
    directory,
    VERSION_2_4,
    FLAGS,
    hashes,
    DIRECTORY_HEADER,
    0,
    pages,
    limit,
  );
  signed.set([HASH, SHA256, 0, PAGE_BITS], start + 36);
  signed.writeBigUInt64BE(signed.readBigUInt64LE(text + 40), start + 64);
  signed.writeBigUInt64BE(signed.readBigUInt64LE(text + 48), start + 72);
  signed.writeBigUInt64BE(MAIN_BINARY, start + 80);
  name.copy(signed, start + DIRECTORY_HEADER);
  for (let page = 0; page < pages; page++) {
    hashOf(signed, page * PAGE, PAGE, limit).copy(signed, start + hashes + page * HASH);
  }
  return signed;
}

/** Whether each page has the hash that the signature stores, and the signature ends the file. */
export function isSigned(executable: Uint8Array): boolean {
  const file = Buffer.from(executable.buffer, executable.byteOffset, executable.byteLength);
  const { signature } = placesIn(file);
  const blob = file.readUInt32LE(signature + 8);
  if (blob + file.readUInt32LE(signature + 12) !== file.length) return false;
  if (file.readUInt32BE(blob) !== SUPER_BLOB) return false;
  // The first of its parts is the directory, always.
  const start = blob + file.readUInt32BE(blob + 16);
  if (file.readUInt32BE(start) !== CODE_DIRECTORY) return false;
  const hashes = start + file.readUInt32BE(start + 16);
  const pages = file.readUInt32BE(start + 28);
  const limit = file.readUInt32BE(start + 32);
  const size = 1 << file[start + 39]!;
  if (limit !== blob || pages !== Math.ceil(limit / size)) return false;
  for (let page = 0; page < pages; page++) {
    const stored = file.subarray(hashes + page * HASH, hashes + (page + 1) * HASH);
    if (!hashOf(file, page * size, size, limit).equals(stored)) return false;
  }
  return true;
}

/** The last page is hashed as far as it goes. */
function hashOf(file: Buffer, start: number, size: number, limit: number): Buffer {
  const octets = file.subarray(start, Math.min(start + size, limit));
  return createHash("sha256").update(octets).digest();
}

function placesIn(file: Buffer): Places {
  if (file.readUInt32LE(0) !== MAGIC_64) throw new Error("not an executable for macOS");
  const found = new Map<number | string, number>();
  let place = HEADER;
  for (let commands = file.readUInt32LE(16); commands > 0; commands--) {
    const command = file.readUInt32LE(place);
    const name = file.toString("latin1", place + 8, place + 24).replace(/\0+$/, "");
    found.set(command === LC_SEGMENT_64 ? name : command, place);
    place += file.readUInt32LE(place + 4);
  }
  const of = (key: number | string) => {
    const at = found.get(key);
    if (at === undefined) {
      throw new Error("an executable for macOS without a place for a signature");
    }
    return at;
  };
  return { signature: of(LC_CODE_SIGNATURE), text: of("__TEXT"), linkEdit: of("__LINKEDIT") };
}
