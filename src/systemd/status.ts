// The status line of the relay for `systemctl status`.

export interface RelayState {
  /** The addresses that accept mail, such as `[::]:25`. */
  readonly listening: readonly string[];
  /** SMTP connections that are open. */
  readonly connections: number;
  /** Messages since the start. */
  readonly sent: number;
  readonly refused: number;
  readonly deferred: number;
  /** May have been sent: the service gave no clear answer. */
  readonly ambiguous: number;
}

export function statusLine(state: RelayState): string {
  const { listening, connections, sent, refused, deferred, ambiguous } = state;
  const messages = [
    `${counted(sent, "message")} sent`,
    `${refused} refused`,
    `${deferred} deferred`,
    ...(ambiguous === 0 ? [] : [`${ambiguous} perhaps sent`]),
  ];
  return `Listening on ${listening.join(", ")}; ${counted(connections, "connection")} open; ` +
    `since the start ${messages.join(", ")}`;
}

export function stoppingLine(connections: number): string {
  return `Stopping: ${counted(connections, "connection")} still open`;
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}
