/** A clock that a test moves. */
import type { Clock } from "../../src/clock.ts";
import { setImmediate } from "node:timers/promises";

interface Alarm {
  readonly at: number;
  readonly run: () => void;
}

export class FakeClock implements Clock {
  /** The result of `random`. */
  chance = 0.5;
  /** Whether a sleep lasts until the test moves the clock; otherwise it ends immediately. */
  patient = false;
  /** Every sleep so far, in milliseconds. */
  readonly sleeps: number[] = [];
  #now = 1000;
  readonly #alarms = new Set<Alarm>();

  /** Alarms that are set. */
  get alarms(): number {
    return this.#alarms.size;
  }

  now(): number {
    return this.#now;
  }

  /** Thu, 05 Nov 2026 06:07:08 GMT when the test begins. */
  date(): number {
    return Date.UTC(2026, 10, 5, 6, 7, 8) + this.#now - 1000;
  }

  random(): number {
    return this.chance;
  }

  sleep(time: number, stop?: AbortSignal): Promise<void> {
    this.sleeps.push(time);
    if (this.patient) {
      return new Promise((resolve) => {
        const cancel = this.alarm(time, resolve);
        stop?.addEventListener("abort", () => {
          cancel();
          resolve();
        });
      });
    }
    this.pass(time);
    return Promise.resolve();
  }

  alarm(time: number, run: () => void): () => void {
    const alarm = { at: this.#now + time, run };
    this.#alarms.add(alarm);
    return () => this.#alarms.delete(alarm);
  }

  /** Lets so many milliseconds pass in which no alarm can ring, as while the thread is busy. */
  skip(time: number): void {
    this.#now += time;
  }

  /** Lets so many milliseconds pass, and rings the alarms due in between, in order. */
  pass(time: number): void {
    const end = this.#now + time;
    for (;;) {
      const [due] = [...this.#alarms].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
      if (due === undefined) break;
      this.#alarms.delete(due);
      this.#now = Math.max(this.#now, due.at);
      due.run();
    }
    this.#now = end;
  }

  /** Lets time pass, a little with each turn of the event loop, until a promise settles. */
  async passUntil<T>(promise: Promise<T>): Promise<T> {
    let settled = false;
    const settle = () => void (settled = true);
    promise.then(settle, settle);
    for (;;) {
      await setImmediate();
      if (settled) return promise;
      this.pass(20);
    }
  }
}
