// A clock that counts only the time in which clients were served. The time in which the process was
// too slow to read what clients had sent is not counted against them.

/**
 * Milliseconds that count at most between two readings. The server reads it twice a second; any
 * more time was the process's own delay.
 */
const LARGEST_STEP_MS = 600;

export class ServiceClock {
  readonly #monotonic: () => number;
  #lastReading: number;
  #served = 0;

  /** @param monotonic milliseconds, of a clock that never goes back */
  constructor(monotonic: () => number = () => performance.now()) {
    this.#monotonic = monotonic;
    this.#lastReading = monotonic();
  }

  /** Milliseconds of service since the start. */
  now(): number {
    const reading = this.#monotonic();
    this.#served += Math.min(reading - this.#lastReading, LARGEST_STEP_MS);
    this.#lastReading = reading;
    return this.#served;
  }
}
