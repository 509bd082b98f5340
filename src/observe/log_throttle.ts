// Limits how often a line is written: at most once in an interval for each source.

/** Sources remembered by default: clients must not be able to fill the memory. */
const MAX_SOURCES = 1000;

export class LogThrottle {
  readonly #interval: number;
  readonly #now: () => number;
  readonly #maxSources: number;
  /** Time of each source's last line, the oldest first. */
  readonly #last = new Map<string, number>();

  /**
   * @param interval milliseconds
   * @param now a clock that never goes back, milliseconds
   * @param maxSources sources that get a line in one interval; further ones get none
   */
  constructor(interval: number, now: () => number, maxSources = MAX_SOURCES) {
    this.#interval = interval;
    this.#maxSources = maxSources;
    this.#now = now;
  }

  /** Whether a further source would get no line. */
  get full(): boolean {
    return this.#last.size >= this.#maxSources;
  }

  /** Whether a line of this source may be written now. It is then counted as written. */
  allow(source = ""): boolean {
    const now = this.#now();
    for (const [other, at] of this.#last) {
      if (now - at < this.#interval) break;
      this.#last.delete(other);
    }
    if (this.#last.has(source) || this.full) return false;
    this.#last.set(source, now);
    return true;
  }
}
