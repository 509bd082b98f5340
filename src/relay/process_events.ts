// Events of the process: signals to stop or to read the certificate again, and faults that nothing
// has caught.

import process from "node:process";

/** Ctrl-Break is a signal of its own on Windows; others do not have it, and one runtime rejects it. */
const STOP_SIGNALS: readonly NodeJS.Signals[] = process.platform === "win32"
  ? ["SIGTERM", "SIGINT", "SIGBREAK"]
  : ["SIGTERM", "SIGINT"];

/**
 * Resolves with the first stop signal. A second one ends the program at once.
 *
 * @param onSecond called and awaited before that; must not take long. Its errors are ignored
 */
export function stopSignal(
  onSecond: (signal: NodeJS.Signals) => Promise<void>,
): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let stopping = false;
    for (const signal of STOP_SIGNALS) {
      process.on(signal, () => {
        if (stopping) {
          const exit = () => process.exit(1);
          return onSecond(signal).then(exit, exit);
        }
        stopping = true;
        resolve(signal);
      });
    }
  });
}

/** Calls `hangup` for each SIGHUP; not on Windows, where it means that the console is closing. */
export function onHangup(hangup: () => void): void {
  if (process.platform !== "win32") process.on("SIGHUP", hangup);
}

/**
 * Keeps the process running after a fault that nothing has caught: a fault in one connection must
 * not end the others. To be called once the relay is up. Before that, the runtime ends the process.
 *
 * @param report called for each fault; must not throw
 */
export function surviveFaults(report: (error: unknown) => void): void {
  process.on("uncaughtException", report);
  process.on("unhandledRejection", report);
}
