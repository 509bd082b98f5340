// Says when a line that could come in floods is due: at most once in a while for each source.

/** Sources that are remembered, unless told otherwise: strangers must not fill the memory. */
const MAX_SOURCES = 1000;

export class Seldom {
  readonly #milliseconds: number;
  readonly #now: () => number;
  readonly #sources: number;
  /** When each source's last line was, the oldest first. */
  readonly #last = new Map<string, number>();

  /**
   * @param now a clock that never goes back, milliseconds
   * @param sources how many have a line at most in `milliseconds`; no line of a further one is due
   */
  constructor(milliseconds: number, now: () => number, sources = MAX_SOURCES) {
    this.#milliseconds = milliseconds;
    this.#sources = sources;
    this.#now = now;
  }

  /** Whether the line of one more source would not be due. */
  get full(): boolean {
    return this.#last.size >= this.#sources;
  }

  /** Whether this source's line is due; it counts as written then. */
  due(source = ""): boolean {
    const now = this.#now();
    for (const [other, at] of this.#last) {
      if (now - at < this.#milliseconds) break;
      this.#last.delete(other);
    }
    if (this.#last.has(source) || this.full) return false;
    this.#last.set(source, now);
    return true;
  }
}
