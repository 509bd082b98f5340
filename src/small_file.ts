// Reads small text files that the settings name. Such a path may lead to a pipe, whose open waits for a writer and
// holds a thread meanwhile, or to a device that has no end.

import { Buffer } from "node:buffer";
import { closeSync, openSync, readSync, type Stats, statSync } from "node:fs";
import { open, stat } from "node:fs/promises";

/** Codes that no system call gives, for what is not read. */
export type SmallFileCode = "NOT_A_FILE" | "TOO_LARGE";

/** Octets of one read. */
const PART = 64 * 1024;

/**
 * @param most octets
 * @throws Error with a `code`, of the system or {@link SmallFileCode}
 */
export async function readSmallFile(path: string, most: number): Promise<string> {
  refuseOther(await stat(path));
  const file = await open(path, "r");
  try {
    const text = new SmallText(most);
    for (;;) {
      const part = Buffer.allocUnsafe(PART);
      if (text.add(part, (await file.read(part, 0, PART, null)).bytesRead)) return text.all;
    }
  } finally {
    await file.close();
  }
}

/** As {@link readSmallFile}. */
export function readSmallFileSync(path: string, most: number): string {
  refuseOther(statSync(path));
  const file = openSync(path, "r");
  try {
    const text = new SmallText(most);
    for (;;) {
      const part = Buffer.allocUnsafe(PART);
      if (text.add(part, readSync(file, part, 0, PART, null))) return text.all;
    }
  } finally {
    closeSync(file);
  }
}

function refuseOther(stats: Stats): void {
  if (stats.isDirectory()) throw failure("EISDIR");
  if (!stats.isFile()) throw failure("NOT_A_FILE");
}

class SmallText {
  readonly #most: number;
  readonly #parts: Buffer[] = [];
  #size = 0;

  constructor(most: number) {
    this.#most = most;
  }

  /** @returns whether that was the end */
  add(part: Buffer, size: number): boolean {
    this.#size += size;
    if (this.#size > this.#most) throw failure("TOO_LARGE");
    this.#parts.push(part.subarray(0, size));
    return size === 0;
  }

  get all(): string {
    return Buffer.concat(this.#parts).toString("utf8");
  }
}

function failure(code: SmallFileCode | "EISDIR"): Error {
  return Object.assign(new Error(code), { code });
}
