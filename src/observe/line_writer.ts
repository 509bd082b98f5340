// Writes lines in the background, so that a reader that has stopped does not block the relay. The
// lines that wait are bounded; further ones are dropped and counted.

import { Buffer } from "node:buffer";
import { type Clock, realClock } from "../clock.ts";

export interface LineWriterOptions {
  /** Writes octets; resolves with how many of them. Rejects with an Error that has a `code`. */
  write(octets: Uint8Array): Promise<number>;
  /** Characters of lines that wait. */
  readonly capacity?: number;
  /** Milliseconds from one write to the next: lines that come meanwhile are written together. */
  readonly interval?: number;
  readonly clock?: Pick<Clock, "now" | "sleep">;
  /** Called for each dropped line. */
  dropped?(): void;
  /**
   * Called once there is room again. What it writes takes the place of the dropped lines.
   */
  resumed?(lines: number): void;
}

/** Some thousand lines. */
const CAPACITY = 1024 * 1024;
/** Characters in one write. */
const BATCH = 64 * 1024;
/** Milliseconds until a descriptor that does not block is tried again. */
const RETRY = 50;

export class LineWriter {
  readonly #options: LineWriterOptions;
  readonly #capacity: number;
  readonly #interval: number;
  readonly #clock: Pick<Clock, "now" | "sleep">;
  /** Whole lines, the oldest first. */
  #waiting: string[] = [];
  /** Characters in them. */
  #size = 0;
  /** Lines dropped since the last that was not. */
  #lost = 0;
  /** Settles when all lines are written; undefined if none wait. */
  #writing: Promise<void> | undefined;
  /** When the last write began. */
  #wroteAt = -Infinity;
  /** Ends the pause before the next write. */
  #pause: AbortController | undefined;
  /** Calls of `flush` that have not returned. */
  #flushing = 0;

  constructor(options: LineWriterOptions) {
    this.#options = options;
    this.#capacity = options.capacity ?? CAPACITY;
    this.#interval = options.interval ?? 0;
    this.#clock = options.clock ?? realClock;
  }

  /** @param line with its line end */
  write(line: string): void {
    // After a dropped line, all following ones are dropped until there is room for many. Otherwise
    // each could need a line about the one dropped before it. If no lines wait, this one is tried.
    const refused = this.#lost > 0 && this.#writing !== undefined;
    if (refused || this.#size + line.length > this.#capacity) return this.#drop(1);
    this.#waiting.push(line);
    this.#size += line.length;
    if (this.#size >= BATCH) this.#pause?.abort();
    this.#writing ??= this.#writeAll();
  }

  /**
   * Waits until all lines are written.
   *
   * @param milliseconds at most
   * @returns whether all were written
   */
  async flush(milliseconds: number): Promise<boolean> {
    const { promise: late, resolve } = Promise.withResolvers<boolean>();
    const timer = setTimeout(() => resolve(false), milliseconds);
    this.#flushing++;
    this.#pause?.abort();
    try {
      return await Promise.race([this.#written(), late]);
    } finally {
      this.#flushing--;
      clearTimeout(timer);
    }
  }

  async #written(): Promise<boolean> {
    while (this.#writing !== undefined) await this.#writing;
    return true;
  }

  #drop(lines: number): void {
    this.#lost += lines;
    for (let i = 0; i < lines; i++) this.#options.dropped?.();
  }

  #tellLost(): void {
    if (this.#lost === 0 || this.#size > this.#capacity / 2) return;
    const lines = this.#lost;
    this.#lost = 0;
    this.#options.resumed?.(lines);
  }

  async #writeAll(): Promise<void> {
    let works = false;
    while (this.#waiting.length > 0) {
      const wait = this.#wroteAt + this.#interval - this.#clock.now();
      if (wait > 0) await this.#gather(wait);
      this.#wroteAt = this.#clock.now();
      const batch = this.#nextBatch();
      if (works) this.#tellLost();
      const left = await this.#writeBatch(Buffer.from(batch.join(""), "utf8"));
      works = left.length === 0;
      if (works) this.#tellLost();
      else this.#drop(linesIn(left));
    }
    this.#writing = undefined;
  }

  /** Lets more lines come, unless there are enough for a write, or a flush waits for them. */
  async #gather(milliseconds: number): Promise<void> {
    if (this.#size >= BATCH || this.#flushing > 0) return;
    this.#pause = new AbortController();
    await this.#clock.sleep(milliseconds, this.#pause.signal);
    this.#pause = undefined;
  }

  #nextBatch(): string[] {
    let size = 0;
    let count = 0;
    while (count < this.#waiting.length && (count === 0 || size < BATCH)) {
      size += this.#waiting[count++]!.length;
    }
    this.#size -= size;
    return this.#waiting.splice(0, count);
  }

  /** @returns what could not be written */
  async #writeBatch(octets: Uint8Array): Promise<Uint8Array> {
    let left = octets;
    while (left.length > 0) {
      try {
        left = left.subarray(await this.#options.write(left));
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code === "EAGAIN") await new Promise((resolve) => setTimeout(resolve, RETRY));
        else if (code !== "EINTR") return left;
      }
    }
    return left;
  }
}

function linesIn(octets: Uint8Array): number {
  return octets.reduce((lines, octet) => octet === 0x0a ? lines + 1 : lines, 0);
}
