/** A clock that a test moves. */
import { setImmediate } from "node:timers/promises";
import type { Clock } from "../../src/graph/clock.ts";

interface Alarm {
  readonly at: number;
  readonly run: () => void;
}

export class FakeClock implements Clock {
  /** What `random` says. */
  chance = 0.5;
  /** Whether a sleep takes until somebody moves the clock; else it is over at once. */
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

  /** Lets so many milliseconds pass, and rings what is due in between in order. */
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
