// Time and chance for pacing and repeats, so that tests need not wait.

/** All times are milliseconds. */
export interface Clock {
  /** Only grows, whatever is done to the machine's time. */
  now(): number;
  /** Since 1970, for dates in answers. */
  date(): number;
  /** From 0 to less than 1. */
  random(): number;
  /** @param stop ends it early */
  sleep(time: number, stop?: AbortSignal): Promise<void>;
  /**
   * Calls `run` once, later. Does not keep the program alive.
   *
   * @returns what takes it back
   */
  alarm(time: number, run: () => void): () => void;
}

/** The longest time that `setTimeout` can count; a longer one would be none at all. */
const LONGEST = 2 ** 31 - 1;

export const realClock: Clock = {
  now: () => performance.now(),
  date: () => Date.now(),
  random: () => Math.random(),
  sleep: (time, stop) =>
    new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer);
        stop?.removeEventListener("abort", end);
        resolve();
      };
      const timer = setTimeout(end, Math.min(time, LONGEST));
      if (stop?.aborted) end();
      else stop?.addEventListener("abort", end);
    }),
  alarm(time, run) {
    const timer = setTimeout(run, Math.min(time, LONGEST)) as unknown as NodeJS.Timeout;
    timer.unref();
    return () => clearTimeout(timer);
  },
};

/** Lets the event loop see to its connections: who has been closed meanwhile is told so. */
export function eventLoopTurn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}
