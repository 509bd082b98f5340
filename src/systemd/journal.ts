// Whether standard error goes to systemd's journal, which has the time and a priority for each line
// (sd-daemon(3), systemd.exec(5)).

import { fstatSync } from "node:fs";

/** POSIX, stderr(3). */
const STANDARD_ERROR = 2;

/**
 * Whether a descriptor is the stream that JOURNAL_STREAM names, by device and inode. A process that a service
 * has started inherits the variable, but may write elsewhere.
 */
export function writesToJournal(
  environment: Readonly<Record<string, string | undefined>>,
  descriptor = STANDARD_ERROR,
): boolean {
  const stream = /^(\d+):(\d+)$/.exec(environment["JOURNAL_STREAM"] ?? "");
  if (stream === null) return false;
  try {
    const { dev, ino } = fstatSync(descriptor, { bigint: true });
    return dev === BigInt(stream[1]!) && ino === BigInt(stream[2]!);
  } catch {
    // The descriptor is closed.
    return false;
  }
}
