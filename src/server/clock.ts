// Time as the server sees it, so that a test can move it by hand.

/** Milliseconds throughout. */
export interface Clock {
  /** Only grows, whatever is done to the machine's time. */
  now(): number;
  /**
   * Calls `run` once, later.
   *
   * @returns what takes it back
   */
  alarm(time: number, run: () => void): () => void;
}

export const realClock: Clock = {
  now: () => performance.now(),
  alarm(time, run) {
    const timer = setTimeout(run, time);
    return () => clearTimeout(timer);
  },
};
