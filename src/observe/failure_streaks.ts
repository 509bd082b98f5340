// Sums up what fails again and again in the same way, such as a device with an old password: in the first minute
// each failure has its line, then one after a minute, five, fifteen, and each hour, with the number of failures.

import { timer } from "./line_budget.ts";
import type { LineFields } from "./line_fields.ts";
import type { LogLevel } from "./log.ts";

const MINUTE = 60_000;
/** Milliseconds from one line to the next; the last one stays. */
const INTERVALS = [MINUTE, 5 * MINUTE, 15 * MINUTE, 60 * MINUTE] as const;
/** Milliseconds without a failure, after which the next one is a new one. */
const FORGOTTEN = 24 * 60 * MINUTE;
/** Sources that are remembered; the one whose last failure is oldest is forgotten. */
const MAX_SOURCES = 1_000;
/** Ways to fail that are remembered of one source. */
const MAX_WAYS = 8;

export interface FailureLine {
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: LineFields;
}

export interface FailureStreaksOptions<Line extends FailureLine> {
  /** Milliseconds, of a clock that never goes back. */
  now(): number;
  /** Milliseconds of Unix time. */
  date(): number;
  /**
   * Writes the last failure's line, with the numbers, when no other one has come in time.
   *
   * @returns false if there are too many lines: it is tried again a minute later
   */
  write(line: Line): boolean;
  /** Whether a source that never had a line is forgotten without one: in a flood there are thousands. */
  readonly forgetsSilently?: boolean;
}

/** Failures of one source in one way. */
interface Streak<Line> {
  /** By the clock, and in Unix time. */
  readonly begun: number;
  readonly since: number;
  times: number;
  /** When the last one came. */
  last: number;
  /** When the last line was written, or was to be. */
  toldAt: number;
  /** Whether there was any. */
  isTold: boolean;
  /** Index in {@link INTERVALS}. */
  interval: number;
  /** Whether failures were summed up. */
  summed: boolean;
  /** The last failure, if it had no line. */
  untold: Line | undefined;
}

/** The fields with the numbers. */
export type FailureNumbers = Pick<LineFields, "failed_times" | "failed_since">;

export class FailureStreaks<Line extends FailureLine = FailureLine> {
  readonly #options: FailureStreaksOptions<Line>;
  /** By source and way; the source with the oldest last failure first. */
  readonly #sources = new Map<string, Map<string, Streak<Line>>>();
  #timer: ReturnType<typeof timer> | undefined;

  constructor(options: FailureStreaksOptions<Line>) {
    this.#options = options;
  }

  /** Whether nothing fails. */
  get isEmpty(): boolean {
    return this.#sources.size === 0;
  }

  /**
   * A failure. If it is to have its line, that gets the returned numbers, if any.
   *
   * @param source what fails, until it {@link FailureStreaks.succeeded | succeeds}
   * @param way how it fails
   * @param may whether it may have its line now
   * @returns undefined if it is only counted
   */
  failed(source: string, way: string, line: Line, may = true): FailureNumbers | undefined {
    const now = this.#options.now();
    const streak = this.#streak(source, way, now);
    streak.times++;
    streak.last = now;
    if (may && now - streak.begun < MINUTE) {
      streak.toldAt = now;
      streak.isTold = true;
      return {};
    }
    if (may && now - streak.toldAt >= INTERVALS[streak.interval]!) return this.#told(streak, now);
    this.#keep(streak, line);
    return undefined;
  }

  /** The line of this last failure, which was to be written, was not: its numbers are told soon. */
  missed(source: string, way: string, line: Line): void {
    const streak = this.#sources.get(source)?.get(way);
    if (streak === undefined) return;
    streak.toldAt = -Infinity;
    this.#keep(streak, line);
  }

  #keep(streak: Streak<Line>, line: Line): void {
    streak.untold = line;
    streak.summed = true;
    this.#timer ??= timer(() => this.#sweep(), MINUTE);
  }

  /** @returns the numbers, if failures of the source were summed up */
  succeeded(source: string): FailureNumbers | undefined {
    const ways = this.#sources.get(source);
    if (ways === undefined) return undefined;
    this.#sources.delete(source);
    const streaks = [...ways.values()];
    if (!streaks.some(({ summed }) => summed)) return undefined;
    const times = streaks.reduce((sum, { times }) => sum + times, 0);
    return numbers(times, Math.min(...streaks.map(({ since }) => since)));
  }

  /** Writes what is due. */
  tell(): void {
    const now = this.#options.now();
    for (const ways of this.#sources.values()) {
      for (const streak of ways.values()) {
        if (now - streak.toldAt >= INTERVALS[streak.interval]!) this.#tellUntold(streak, now);
      }
    }
  }

  /** Writes all that was only counted. */
  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const ways of this.#sources.values()) this.#forget(ways);
    this.#sources.clear();
  }

  #sweep(): void {
    this.#timer = undefined;
    this.tell();
    const left = [...this.#sources.values()]
      .some((ways) => [...ways.values()].some(({ untold }) => untold !== undefined));
    if (left) this.#timer = timer(() => this.#sweep(), MINUTE);
  }

  #streak(source: string, way: string, now: number): Streak<Line> {
    const ways = this.#sources.get(source) ?? new Map<string, Streak<Line>>();
    this.#sources.delete(source);
    this.#sources.set(source, ways);
    if (this.#sources.size > MAX_SOURCES) {
      this.#forgetOldest(this.#sources, (all) => this.#forget(all));
    }
    let streak = ways.get(way);
    if (streak === undefined || now - streak.last >= FORGOTTEN) {
      if (streak !== undefined) this.#tellUntold(streak, now);
      const since = this.#options.date();
      const begun = { begun: now, since, times: 0, last: now, toldAt: now, isTold: false };
      streak = { ...begun, interval: 0, summed: false, untold: undefined };
    }
    ways.delete(way);
    ways.set(way, streak);
    if (ways.size > MAX_WAYS) this.#forgetOldest(ways, (one) => this.#tellUntold(one, now));
    return streak;
  }

  #forgetOldest<T>(all: Map<string, T>, forget: (one: T) => void): void {
    for (const [key, one] of all) {
      all.delete(key);
      return forget(one);
    }
  }

  #forget(ways: ReadonlyMap<string, Streak<Line>>): void {
    const { forgetsSilently = false, now } = this.#options;
    for (const streak of ways.values()) {
      if (streak.isTold || !forgetsSilently) this.#tellUntold(streak, now());
    }
  }

  #tellUntold(streak: Streak<Line>, now: number): void {
    const { untold } = streak;
    if (untold === undefined) return;
    const { times, since } = streak;
    const fields = { ...untold.fields, ...numbers(times, since) };
    if (this.#options.write({ ...untold, fields })) this.#told(streak, now);
    else streak.toldAt = -Infinity;
  }

  #told(streak: Streak<Line>, now: number): FailureNumbers {
    streak.toldAt = now;
    streak.isTold = true;
    streak.untold = undefined;
    streak.interval = Math.min(streak.interval + 1, INTERVALS.length - 1);
    return numbers(streak.times, streak.since);
  }
}

function numbers(times: number, since: number): FailureNumbers {
  return { failed_times: times, failed_since: new Date(since).toISOString() };
}
