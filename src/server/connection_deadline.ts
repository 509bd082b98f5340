// How long a connection may take for what it is expected to do next. Nothing that a client does
// extends a deadline but what was waited for: a whole command, or content that comes fast enough.

/** Milliseconds, but for the rate. */
export interface Timeouts {
  /** COMMAND_TIMEOUT: from one complete command, or our answer to it, to the next. */
  readonly command: number;
  /** DATA_TIMEOUT: silence inside a message; and the time that every message has, whatever its size. */
  readonly data: number;
  /** MIN_DATA_RATE, octets a second: a message has the time besides that it takes at this rate. */
  readonly dataRate?: number | "off";
  /** Silence after what the client may take for the end of its message; 5,000 when left out. */
  readonly missedEnd?: number;
  readonly handshake: number;
  /** How long a client may leave our replies unread, once they pile up. */
  readonly unread: number;
  /** How long a client may take to read our last reply and hang up. */
  readonly linger: number;
}

/** What a connection waits for. */
export type WaitingFor =
  /** The client waits for us. */
  | "relay"
  /** The client is to read our replies. */
  | "client reading"
  | "handshake"
  | "command"
  | "content";

/** What has come of a session so far. */
export interface SessionProgress {
  /** Counts complete commands, and answers that the client had to wait for. */
  readonly exchanges: number;
  /** Whether content of a message has begun to come: it may pause for a command between chunks. */
  readonly contentBegun: boolean;
  /** Whether the client may think that it has sent all of its content, and is mistaken. */
  readonly endMissed?: boolean;
}

export class ConnectionDeadline {
  readonly #timeouts: Timeouts;
  #waitingFor: WaitingFor = "relay";
  /** When the wait for that began. */
  #since = 0;
  #exchanges = 0;
  /** When the message's content began, later by the time in which it was not read. */
  #contentSince: number | undefined;
  /** Octets that the connection had received then. */
  #receivedBefore = 0;
  /** When it ends; Infinity while the client waits for us. */
  at = Infinity;
  /** What the deadline is for. */
  setting: "COMMAND_TIMEOUT" | "DATA_TIMEOUT" | "MIN_DATA_RATE" | undefined;

  constructor(timeouts: Timeouts) {
    this.#timeouts = timeouts;
  }

  /**
   * Something has happened.
   *
   * @param received octets of the connection
   * @param now milliseconds
   */
  update(
    waitingFor: WaitingFor,
    { exchanges, contentBegun, endMissed = false }: SessionProgress,
    received: number,
    now: number,
  ): void {
    if (waitingFor !== this.#waitingFor) {
      // What is not read cannot come.
      if (this.#waitingFor === "client reading" && this.#contentSince !== undefined) {
        this.#contentSince += now - this.#since;
      }
      this.#waitingFor = waitingFor;
      this.#since = now;
    } else if (exchanges !== this.#exchanges && waitingFor === "command") this.#since = now;
    this.#exchanges = exchanges;
    if (!contentBegun) this.#contentSince = undefined;
    else if (this.#contentSince === undefined) {
      this.#contentSince = now;
      this.#receivedBefore = received;
    }
    const { command, data, missedEnd = 5_000, handshake, unread } = this.#timeouts;
    this.setting = undefined;
    switch (waitingFor) {
      case "relay":
        this.at = Infinity;
        break;
      case "client reading":
        this.at = this.#since + unread;
        break;
      case "handshake":
        this.at = this.#since + handshake;
        break;
      case "command":
        this.#until(this.#since + command, "COMMAND_TIMEOUT", received);
        break;
      case "content":
        this.#until(
          now + (endMissed ? Math.min(data, missedEnd) : data),
          "DATA_TIMEOUT",
          received,
        );
        break;
    }
  }

  /** As said, unless the message as a whole has to be there before. */
  #until(deadline: number, limit: "COMMAND_TIMEOUT" | "DATA_TIMEOUT", received: number): void {
    this.at = deadline;
    this.setting = limit;
    const { data, dataRate = "off" } = this.#timeouts;
    if (this.#contentSince === undefined || dataRate === "off") return;
    const whole = this.#contentSince + data + (received - this.#receivedBefore) / dataRate * 1000;
    if (whole < deadline) {
      this.at = whole;
      this.setting = "MIN_DATA_RATE";
    }
  }
}
