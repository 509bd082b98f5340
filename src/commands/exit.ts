// How the program ends: exit statuses (sysexits.h) and one line for the administrator.

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

/** Ends a command: each line is for the administrator, on standard error. */
export class CommandError extends Error {
  readonly status: ExitStatus;
  readonly lines: readonly string[];

  constructor(status: ExitStatus, lines: readonly string[]) {
    super(lines.join("\n"));
    this.status = status;
    this.lines = lines;
  }
}
