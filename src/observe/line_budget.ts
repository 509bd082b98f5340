// Limits the log lines that clients cause in a minute, for each account and address and for all
// together. Further lines are counted, and at the minute's end one line for each kind says how many
// they were.

import type { LogFields, LogLevel } from "./log.ts";

/** The account or address that has caused a line. */
export interface LineSource {
  readonly kind: "account" | "address";
  /** Its fields in the line with the count. */
  readonly fields: LogFields;
}

/**
 * Whose lines are counted together: those of accounts that send mail are counted apart, so that a
 * flood of unknown clients does not use up their lines.
 */
export type LinePool = "senders" | "strangers";

export interface LineBudgetOptions {
  /** Milliseconds, of a clock that never goes back. */
  now(): number;
  /** A line was left out. */
  suppressed(): void;
  /** Writes the line with the count. */
  write(level: LogLevel, message: string, fields: LogFields): void;
  /** Lines of one source and level in a minute. */
  readonly each?: number;
  /** Lines of all sources of a pool and one level in a minute. */
  readonly all?: number;
}

/** Five a second: no device and hardly a program is refused that often. */
const EACH = 300;
/** Less than journald takes of a service by default: 10,000 in 30 s (journald.conf(5)). */
const ALL = 3_000;
const MINUTE = 60_000;

interface Counted {
  readonly source: LineSource;
  written: number;
  /** Lines left out, by message: these are fixed texts of the program, so they are few. */
  readonly left: Map<string, number>;
}

/** The lines of one pool and level. */
interface Ledger {
  readonly level: LogLevel;
  written: number;
  /** Sources that have written a line, so no more than lines. */
  readonly sources: Map<string, Counted>;
  /** Lines left out because there were too many of all sources. */
  left: number;
}

export class LineBudget {
  readonly #options: LineBudgetOptions;
  readonly #each: number;
  readonly #all: number;
  #begun = -Infinity;
  /** By pool and level. */
  readonly #ledgers = new Map<string, Ledger>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: LineBudgetOptions) {
    this.#options = options;
    this.#each = options.each ?? EACH;
    this.#all = options.all ?? ALL;
  }

  /**
   * Whether a line may be written. It is then counted as written, else as left out.
   *
   * @param message the line's fixed text
   * @param sources all of them must have lines left
   */
  take(
    level: LogLevel,
    message: string,
    pool: LinePool,
    sources: readonly LineSource[],
  ): boolean {
    if (this.#options.now() - this.#begun >= MINUTE) this.#begin();
    const ledger = this.#ledger(pool, level);
    const keys = sources.map(keyOf);
    const counted = keys.map((key) => ledger.sources.get(key));
    const full = counted.find((one) => one !== undefined && one.written >= this.#each);
    if (full !== undefined) full.left.set(message, (full.left.get(message) ?? 0) + 1);
    else if (ledger.written >= this.#all) ledger.left++;
    else {
      ledger.written++;
      keys.forEach((key, i) => {
        const one = counted[i] ?? { source: sources[i]!, written: 0, left: new Map() };
        one.written++;
        ledger.sources.set(key, one);
      });
      return true;
    }
    this.#options.suppressed();
    this.#timer ??= timer(() => this.close(), this.#begun + MINUTE - this.#options.now());
    return false;
  }

  /** Ends the minute: writes how many lines were left out. */
  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#begun = -Infinity;
    const ledgers = [...this.#ledgers.values()];
    this.#ledgers.clear();
    for (const { level, sources, left } of ledgers) {
      for (const { source, left } of sources.values()) {
        for (const [like, lines] of left) {
          const from = `from this ${source.kind}`;
          this.#options.write(level, moreLines(lines, from), { ...source.fields, like, lines });
        }
      }
      if (left > 0) this.#options.write(level, moreLines(left, "from others"), { lines: left });
    }
  }

  #begin(): void {
    this.close();
    this.#begun = this.#options.now();
  }

  #ledger(pool: LinePool, level: LogLevel): Ledger {
    const name = `${pool} ${level}`;
    let ledger = this.#ledgers.get(name);
    if (ledger === undefined) {
      this.#ledgers.set(name, ledger = { level, written: 0, sources: new Map(), left: 0 });
    }
    return ledger;
  }
}

function moreLines(lines: number, from: string): string {
  return `… and ${lines} more ${
    lines === 1 ? "line" : "lines"
  } like this ${from} in the last minute`;
}

function keyOf({ kind, fields }: LineSource): string {
  return [kind, ...Object.values(fields)].join(" ");
}

/** Does not keep the program alive. */
export function timer(run: () => void, milliseconds: number): ReturnType<typeof setTimeout> {
  const timer = setTimeout(run, Math.max(0, milliseconds)) as unknown as NodeJS.Timeout;
  timer.unref();
  return timer as unknown as ReturnType<typeof setTimeout>;
}
