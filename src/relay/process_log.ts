// The log of a running relay, on standard error. It never waits for its reader.

import process from "node:process";
import { LineWriter } from "../observe/line_writer.ts";
import { createLog, type LevelLog, lineFormat } from "../observe/log.ts";
import { Metrics } from "../observe/metrics.ts";
import { writeStandardError } from "../runtime/standard_error.ts";
import type { Settings } from "../settings/schema.ts";
import { writesToJournal } from "../systemd/journal.ts";
import { CommandError, EXIT } from "../exit.ts";

export interface ProcessLog {
  readonly log: LevelLog;
  /** Counts dropped lines. */
  readonly metrics: Metrics;
  /**
   * Waits until the log is written; a second at most, because its reader may have stopped.
   *
   * @returns whether all is written
   */
  flush(): Promise<boolean>;
}

/**
 * Milliseconds from one write of the log to the next. A write wakes another thread, which costs more than the
 * line: under load it would happen hundreds of times a second.
 */
const WRITE_INTERVAL = 50;
/** Milliseconds that the end of the program waits for the log's reader. */
const FLUSH_TIMEOUT = 1_000;

/**
 * Runs a command with a log. If it fails, the log is written before the error's lines.
 */
export async function withLog(
  settings: Settings,
  command: (log: ProcessLog) => Promise<void>,
  write = writeStandardError,
): Promise<void> {
  const log = await openLog(settings, write);
  try {
    await command(log);
  } catch (error) {
    if (await log.flush()) throw error;
    // Standard error is blocked: writing the error there would never end.
    process.exit(error instanceof CommandError ? error.status : EXIT.failure);
  }
}

async function openLog(
  { LOG_LEVEL: level, LOG_FORMAT }: Settings,
  write: typeof writeStandardError,
): Promise<ProcessLog> {
  const format = await lineFormat(LOG_FORMAT);
  const metrics = new Metrics();
  const writer = new LineWriter({
    write,
    interval: WRITE_INTERVAL,
    dropped: () => metrics.count("log_lines_dropped", {}),
    resumed: (lines) => log.warning(droppedText(lines)),
  });
  const journal = writesToJournal(process.env);
  const log = createLog({ level, format, journal, write: (line) => writer.write(line) });
  return { log, metrics, flush: () => writer.flush(FLUSH_TIMEOUT) };
}

function droppedText(lines: number): string {
  const what = lines === 1 ? "1 log line was" : `${lines} log lines were`;
  return `${what} dropped: standard error was not read fast enough`;
}
