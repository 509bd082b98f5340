// Says when a line that could come in floods is due: at most once in a while for each source.

/** Sources that are remembered: strangers must not fill the memory. */
const MAX_SOURCES = 1000;

export class Seldom {
  readonly #milliseconds: number;
  readonly #now: () => number;
  /** When each source's last line was, the oldest first. */
  readonly #last = new Map<string, number>();

  /** @param now a clock that never goes back, milliseconds */
  constructor(milliseconds: number, now: () => number) {
    this.#milliseconds = milliseconds;
    this.#now = now;
  }

  /** Whether this source's line is due; it counts as written then. */
  due(source = ""): boolean {
    const now = this.#now();
    for (const [other, at] of this.#last) {
      if (now - at < this.#milliseconds) break;
      this.#last.delete(other);
    }
    if (this.#last.has(source) || this.#last.size >= MAX_SOURCES) return false;
    this.#last.set(source, now);
    return true;
  }
}
