import { setImmediate } from "node:timers/promises";

/** Waits, turn by turn of the event loop, until a condition without an event holds. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await setImmediate();
}
