// Reads small text files that the settings name. Such a path may lead to a pipe, whose open waits for a writer and
// holds a thread meanwhile, or to a device that has no end.

import { Buffer } from "node:buffer";
import {
  close,
  closeSync,
  open,
  openSync,
  read,
  readSync,
  stat,
  type Stats,
  statSync,
} from "node:fs";

/** Codes that no system call gives, for what is not read. */
export type SmallFileCode = "NOT_A_FILE" | "TOO_LARGE";

/** Octets of one read. */
const PART = 64 * 1024;

/**
 * @param most octets
 * @throws Error with a `code`, of the system or {@link SmallFileCode}
 */
export async function readSmallFile(path: string, most: number): Promise<string> {
  refuseOther(await result<Stats>((done) => stat(path, done)));
  const file = await result<number>((done) => open(path, "r", done));
  try {
    const text = new SmallText(most);
    for (;;) {
      const part = Buffer.allocUnsafe(PART);
      const size = await result<number>((done) => read(file, part, 0, PART, null, done));
      if (text.add(part, size)) return text.all;
    }
  } finally {
    await result<void>((done) => close(file, done));
  }
}

/** Not by `node:fs/promises`, which a start need not load. */
function result<Result>(
  call: (done: (error: Error | null | undefined, value: Result) => void) => void,
): Promise<Result> {
  return new Promise((resolve, reject) =>
    call((error, value) => error ? reject(error) : resolve(value))
  );
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
