import { setImmediate } from "node:timers/promises";

/** Waits, turn by turn of the event loop, until something is so that no event tells of. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await setImmediate();
}
