// Turns for questions to the table: so many at once, the others wait in line, and not for ever.

/** Those who wait at most; more are sent away at once. */
const MAX_WAITING = 1000;

/** Rings after so many milliseconds. @returns what stops it */
export type Timer = (milliseconds: number, ring: () => void) => () => void;

/** Ends it. */
export type Turn = () => void;

export class Turns {
  readonly #timer: Timer;
  #free: number;
  readonly #line = new Set<() => void>();

  /** @param most turns at once */
  constructor(most: number, timer: Timer) {
    this.#free = most;
    this.#timer = timer;
  }

  /** @returns what ends the turn; undefined where none is free */
  takeNow(): Turn | undefined {
    if (this.#free === 0) return undefined;
    this.#free--;
    return () => this.#end();
  }

  /** @returns what ends the turn; undefined where none has come within these milliseconds */
  async take(milliseconds: number): Promise<Turn | undefined> {
    if (this.#free > 0) this.#free--;
    else if (!await this.#wait(milliseconds)) return undefined;
    return () => this.#end();
  }

  #wait(milliseconds: number): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    if (this.#line.size >= MAX_WAITING) return Promise.resolve(false);
    const next = () => {
      stop();
      resolve(true);
    };
    const stop = this.#timer(milliseconds, () => {
      this.#line.delete(next);
      resolve(false);
    });
    this.#line.add(next);
    return promise;
  }

  /** The turn goes to the next in line, if there is one. */
  #end(): void {
    const [next] = this.#line;
    if (next === undefined) this.#free++;
    else {
      this.#line.delete(next);
      next();
    }
  }
}
