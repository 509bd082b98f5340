/** A clock that goes from one alarm to the next as soon as nothing else is under way. */
import { setImmediate, setTimeout } from "node:timers/promises";
import type { Clock } from "../../src/clock.ts";

interface Alarm {
  readonly at: number;
  readonly run: () => void;
}

/** Turns of the event loop without work of another thread after which all is done that needs no time. */
const TURNS = 4;

export class SteppingClock implements Clock {
  readonly #alarms = new Set<Alarm>();
  readonly #start = Date.now();
  // Where the machine's clock begins, too: tokens have its times. A whole number: 400 ms from a fraction may be
  // a trillionth of one more.
  readonly #first = Math.floor(performance.now());
  #now = this.#first;
  #seed = 1;
  #pending = 0;
  #changed: (() => void) | undefined;

  now(): number {
    return this.#now;
  }

  date(): number {
    return this.#start + this.#now - this.#first;
  }

  /** The same numbers in each run. */
  random(): number {
    this.#seed = (Math.imul(this.#seed, 1_664_525) + 1_013_904_223) >>> 0;
    return this.#seed / 2 ** 32;
  }

  sleep(time: number, stop?: AbortSignal): Promise<void> {
    if (stop?.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const end = () => {
        cancel();
        stop?.removeEventListener("abort", end);
        resolve();
      };
      const cancel = this.alarm(time, end);
      stop?.addEventListener("abort", end);
    });
  }

  alarm(time: number, run: () => void): () => void {
    const alarm = { at: this.#now + time, run };
    this.#alarms.add(alarm);
    return () => this.#alarms.delete(alarm);
  }

  /** Work of another thread, for which the clock stands still. */
  async during<T>(work: Promise<T>): Promise<T> {
    this.#pending++;
    try {
      return await work;
    } finally {
      this.#pending--;
      this.#changed?.();
    }
  }

  /** Goes on for so many milliseconds. */
  async pass(time: number): Promise<void> {
    const end = this.#now + time;
    await this.#quiet();
    while (this.#step(end)) await this.#quiet();
    this.#now = end;
  }

  /** Goes on until a promise settles. */
  async passUntil<T>(promise: Promise<T>): Promise<T> {
    let settled = false;
    const settle = () => void (settled = true);
    promise.then(settle, settle);
    for (;;) {
      await this.#quiet();
      if (settled) return await promise;
      if (!this.#step(Infinity)) await setTimeout(1);
    }
  }

  /** Goes on until a condition holds, which is looked at after each alarm. */
  async passUntilIs(condition: () => boolean, most: number): Promise<void> {
    const end = this.#now + most;
    for (;;) {
      await this.#quiet();
      if (condition()) return;
      if (!this.#step(end)) throw new Error(`it does not happen within ${most} ms`);
    }
  }

  /** Rings what is due next. @returns false if that is later than `end` */
  #step(end: number): boolean {
    let next = Infinity;
    for (const { at } of this.#alarms) next = Math.min(next, at);
    if (next > end || next === Infinity) return false;
    this.#now = Math.max(this.#now, next);
    for (const alarm of [...this.#alarms]) {
      if (alarm.at <= this.#now && this.#alarms.delete(alarm)) alarm.run();
    }
    return true;
  }

  async #quiet(): Promise<void> {
    for (let turns = 0; turns < TURNS; turns++) {
      await setImmediate();
      while (this.#pending > 0) {
        turns = 0;
        await new Promise<void>((resolve) => this.#changed = resolve);
      }
    }
  }
}
