// Signals that ask the program to stop, or to look at its certificate again.

import process from "node:process";

/** On Windows, Ctrl-Break is a signal of its own; others do not know it, and Deno refuses it there. */
const STOP_SIGNALS: readonly NodeJS.Signals[] = process.platform === "win32"
  ? ["SIGTERM", "SIGINT", "SIGBREAK"]
  : ["SIGTERM", "SIGINT"];

/**
 * The first stop signal. A second one ends the program at once.
 *
 * @param hurried told of the second one, and waited for; must not take long. What it throws is passed
 *   over
 */
export function stopSignal(
  hurried: (signal: NodeJS.Signals) => Promise<void>,
): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let stopping = false;
    for (const signal of STOP_SIGNALS) {
      process.on(signal, () => {
        if (stopping) {
          const exit = () => process.exit(1);
          return hurried(signal).then(exit, exit);
        }
        stopping = true;
        resolve(signal);
      });
    }
  });
}

/** Each SIGHUP. Windows has none to send: there it would mean that the console is being closed. */
export function onHangup(hangup: () => void): void {
  if (process.platform !== "win32") process.on("SIGHUP", hangup);
}
