// Reads LOOKUP_FILE from the disk, a part at a time.

import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { type FileHandle, open, stat } from "node:fs/promises";
import { LookupFileError } from "./lookup_file_reader.ts";

/** Octets of a file; about 40,000 entries. */
export const MAX_FILE = 16 * 1024 * 1024;
/** Octets of one read: to hash and decode them takes less than a millisecond. */
const PART = 256 * 1024;

/** The byte order mark that some editors write (RFC 8259 §8.1 allows to ignore it). */
export const BYTE_ORDER_MARK = "\ufeff";

export interface FileContent {
  /** Without a byte order mark. */
  readonly text: string;
  readonly hasMark: boolean;
  /** Different for each content. */
  readonly revision: string;
  /** Different after each change of the file, as far as its file system tells. */
  readonly signature: string;
  /** Of the last change, milliseconds since 1970. */
  readonly changedAt: number;
  /** Permissions, as of chmod(2). */
  readonly mode: number;
}

/** Which file a path leads to now, and its last change. @throws Error with a `code` */
export async function signatureOf(path: string): Promise<string> {
  return signatureIn(await stat(path, { bigint: true }));
}

/** @throws LookupFileError, or an Error with a `code` if it cannot be read */
export async function readLookupFile(path: string): Promise<FileContent> {
  // To open a pipe would wait for its writer.
  if (!(await stat(path)).isFile()) throw new LookupFileError("it is not a regular file");
  const file = await open(path, "r");
  try {
    const before = await file.stat({ bigint: true });
    if (before.size > MAX_FILE) {
      throw new LookupFileError(`it has ${before.size} bytes, and may have ${MAX_FILE} (16 MiB)`);
    }
    const { text, revision } = await contentOf(file);
    const after = await file.stat({ bigint: true });
    // The change of the file itself does not count: where a new one takes its place, this one is whole.
    if (after.size !== before.size || after.mtimeNs !== before.mtimeNs) {
      throw new LookupFileError(
        "it is being written; it is read again when it does not change any more",
      );
    }
    const hasMark = text.startsWith(BYTE_ORDER_MARK);
    return {
      text: hasMark ? text.slice(1) : text,
      hasMark,
      revision,
      signature: signatureIn(before),
      changedAt: Number(before.mtimeMs),
      mode: Number(before.mode) & 0o7777,
    };
  } finally {
    await file.close();
  }
}

async function contentOf(file: FileHandle): Promise<{ text: string; revision: string }> {
  const hash = createHash("sha256");
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const part = Buffer.allocUnsafe(PART);
  const texts: string[] = [];
  for (let size = 0;;) {
    const { bytesRead } = await file.read(part, 0, PART, size);
    const octets = part.subarray(0, bytesRead);
    if (size === 0 && isUtf16(octets)) {
      throw new LookupFileError("it is in UTF-16: save it as UTF-8");
    }
    size += bytesRead;
    if (size > MAX_FILE) throw new LookupFileError("it grows while it is read");
    hash.update(octets);
    try {
      texts.push(decoder.decode(octets, { stream: bytesRead > 0 }));
    } catch {
      throw new LookupFileError("it has octets that are not UTF-8: save it as UTF-8");
    }
    if (bytesRead === 0) return { text: texts.join(""), revision: hash.digest("hex") };
  }
}

function isUtf16([first, second]: Uint8Array): boolean {
  return first === 0xff && second === 0xfe || first === 0xfe && second === 0xff;
}

function signatureIn(
  { dev, ino, size, mtimeNs, ctimeNs }: {
    readonly [Name in "dev" | "ino" | "size" | "mtimeNs" | "ctimeNs"]: bigint;
  },
): string {
  return [dev, ino, size, mtimeNs, ctimeNs].join(" ");
}
