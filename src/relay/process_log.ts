// The log of a relay that runs: on standard error, without ever waiting for whoever reads it.

import process from "node:process";
import { LineWriter } from "../observe/line_writer.ts";
import { createLog, type LevelLog } from "../observe/log.ts";
import { Metrics } from "../observe/metrics.ts";
import { writeStandardError } from "../runtime/standard_error.ts";
import type { Settings } from "../settings/schema.ts";
import { CommandError, EXIT } from "../exit.ts";

export interface ProcessLog {
  readonly log: LevelLog;
  /** Where lines that were dropped are counted. */
  readonly metrics: Metrics;
  /**
   * Waits until the log is written; a second at most, since its reader may have stopped.
   *
   * @returns whether it is
   */
  flush(): Promise<boolean>;
}

/** Milliseconds at the end of the program for the log's reader. */
const FLUSH_TIMEOUT = 1_000;

/**
 * Runs a command with a log. When it fails, what the log has been given comes before the error's own
 * lines.
 */
export async function withLog(
  settings: Settings,
  command: (log: ProcessLog) => Promise<void>,
  write = writeStandardError,
): Promise<void> {
  const log = openLog(settings, write);
  try {
    await command(log);
  } catch (error) {
    if (await log.flush()) throw error;
    // Standard error is stuck: to write the error there, too, would be to stay for ever.
    process.exit(error instanceof CommandError ? error.status : EXIT.failure);
  }
}

function openLog(
  { LOG_LEVEL: level, LOG_FORMAT: format }: Settings,
  write: typeof writeStandardError,
): ProcessLog {
  const metrics = new Metrics();
  const writer = new LineWriter({
    write,
    dropped: () => metrics.count("log_lines_dropped", {}),
    resumed: (lines) => log.warning(droppedText(lines)),
  });
  const log = createLog({ level, format, write: (line) => writer.write(line) });
  return { log, metrics, flush: () => writer.flush(FLUSH_TIMEOUT) };
}

function droppedText(lines: number): string {
  const what = lines === 1 ? "1 log line was" : `${lines} log lines were`;
  return `${what} dropped: standard error was not read fast enough`;
}
