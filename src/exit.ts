// How the program ends: exit statuses (sysexits.h) and one line for the administrator.

import { withoutSecrets } from "./secret.ts";

export const EXIT = {
  ok: 0,
  failure: 1,
  usage: 2,
  /** EX_UNAVAILABLE: a needed service or port is not there. */
  unavailable: 69,
  /** EX_CONFIG: a bad setting. */
  config: 78,
} as const;

export type ExitStatus = (typeof EXIT)[keyof typeof EXIT];

/**
 * Ends a command, with lines for the administrator on standard error. They may quote arguments,
 * which may be misplaced secrets: {@link withoutSecrets}.
 */
export class CommandError extends Error {
  readonly status: ExitStatus;
  readonly lines: readonly string[];

  constructor(status: ExitStatus, lines: readonly string[]) {
    const shown = lines.map(withoutSecrets);
    super(shown.join("\n"));
    this.status = status;
    this.lines = shown;
  }
}

/** The error in the command line, in one line and without values that may be secrets. */
export function usageLine(text: string): string {
  const line = text.trim().replace(/^error: /, "").replace(/\s*\n\s*/g, " ");
  return withoutSecrets(line.replace(/(unknown option '--?[^'=]*)=[^']*'/, "$1=…'"));
}
