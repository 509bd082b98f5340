// Time and random numbers as an interface, so that tests need not wait.

/** All times are milliseconds. */
export interface Clock {
  /** Monotonic: does not follow changes of the machine's time. */
  now(): number;
  /** Since 1970, for dates in responses. */
  date(): number;
  /** From 0 to less than 1. */
  random(): number;
  /** @param stop ends it early */
  sleep(time: number, stop?: AbortSignal): Promise<void>;
  /**
   * Calls `run` once, later. Does not keep the program alive.
   *
   * @returns a function that cancels it
   */
  alarm(time: number, run: () => void): () => void;
}

/** The longest time of `setTimeout`, which runs at once for a longer one. */
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

/** Waits for one turn of the event loop, in which closed connections are reported. */
export function eventLoopTurn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}
