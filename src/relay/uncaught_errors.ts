// What nobody has caught. A fault in one connection must not end all the others, so once the relay is
// up, the process goes on; before that, the runtime's own answer stands: it ends.

import process from "node:process";

/** @param told of each fault; must not throw */
export function surviveFaults(told: (error: unknown) => void): void {
  process.on("uncaughtException", told);
  process.on("unhandledRejection", told);
}
