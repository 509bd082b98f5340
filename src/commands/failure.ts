// Writes why a command ends on standard error: for people, or in the form of the log where it is a service
// that does not start.

import process from "node:process";
import { CommandError, EXIT, type ExitStatus } from "../exit.ts";
import { writesToJournal } from "../systemd/journal.ts";

export interface FailedCommand {
  /** Whether it writes a log, so that programs read its standard error. */
  readonly isService: boolean;
  readonly envFile: string | undefined;
}

/** @returns the exit status */
export async function reportFailure(error: unknown, command: FailedCommand): Promise<ExitStatus> {
  const { status, lines } = error instanceof CommandError
    ? error
    : { status: EXIT.failure, lines: [`internal error: ${(error as Error)?.stack ?? error}`] };
  const journal = writesToJournal(process.env);
  const format = command.isService ? await logFormat(command.envFile) : "text";
  if (format === "text" && !journal) {
    for (const line of lines) write(`smtp-oauth-relay: ${line}\n`);
    return status;
  }
  const { createLog, lineFormat } = await import("../observe/log.ts");
  const log = createLog({ level: "CRITICAL", format: await lineFormat(format), journal, write });
  for (const line of lines) log.critical(line, { exit_status: status });
  return status;
}

/** LOG_FORMAT, whatever is wrong with other settings. */
async function logFormat(envFile: string | undefined): Promise<"text" | "json"> {
  const { settingFor } = await import("../settings/environment.ts");
  for (const file of [envFile, undefined]) {
    try {
      return settingFor("LOG_FORMAT", file);
    } catch {
      // The file or the value is what is wrong.
    }
  }
  return "text";
}

function write(text: string): void {
  process.stderr.write(text);
}
