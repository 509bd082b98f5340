// What `install-service` answers, on each kind of system.

import { CommandError, EXIT } from "../exit.ts";

/** What an installation has done, and what has ended it before its time. */
interface Installed {
  readonly lines: readonly string[];
  readonly problem?: string;
}

/**
 * Installs or removes.
 *
 * @returns lines for standard output
 * @throws CommandError if it does not end well, or the system refuses a step; else what `work` throws
 */
export function installed(work: () => Installed): readonly string[] {
  try {
    const { lines, problem } = work();
    if (problem === undefined) return lines;
    throw new CommandError(EXIT.failure, [...lines, problem]);
  } catch (error) {
    if (error instanceof CommandError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    throw new CommandError(EXIT.failure, [`install-service: ${message}`]);
  }
}
