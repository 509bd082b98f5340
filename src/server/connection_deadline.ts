// The deadline of a connection, by what it waits for. Only a whole command, or content that comes
// fast enough, extends it.

import type { SessionProgress } from "../smtp/session.ts";

/** In milliseconds, except for the rate. */
export interface Timeouts {
  /** COMMAND_TIMEOUT: from one complete command, or the relay's reply to it, to the next. */
  readonly command: number;
  /** DATA_TIMEOUT: silence inside a message, and the time that a message of any size has. */
  readonly data: number;
  /** MIN_DATA_RATE, octets per second: a message has as much more time as it takes at this rate. */
  readonly dataRate?: number | "off";
  /** Silence after a line that the client may mistake for the end of its message; default 5,000. */
  readonly missedEnd?: number;
  readonly handshake: number;
  /** How long a client may leave replies unread after they pile up. */
  readonly unread: number;
  /** How long a client may take to read its last reply and hang up. */
  readonly linger: number;
}

/** What a connection waits for. */
export type WaitingFor =
  /** For the relay's reply. */
  | "relay"
  /** For the client to read replies. */
  | "client reading"
  | "handshake"
  | "command"
  | "content";

/** The part of a session's progress that the deadline needs. */
type Progress = Pick<SessionProgress, "exchanges" | "contentBegun" | "endMissed">;

export class ConnectionDeadline {
  readonly #timeouts: Timeouts;
  #waitingFor: WaitingFor = "relay";
  /** When that wait began. */
  #since = 0;
  #exchanges = 0;
  /** When the message's content began, plus the time in which it was not read. */
  #contentSince: number | undefined;
  /** Octets that the connection had received at that time. */
  #receivedBefore = 0;
  /** When the wait times out, in milliseconds; Infinity while it waits for the relay. */
  at = Infinity;
  /** The setting behind the deadline. */
  setting: "COMMAND_TIMEOUT" | "DATA_TIMEOUT" | "MIN_DATA_RATE" | undefined;

  constructor(timeouts: Timeouts) {
    this.#timeouts = timeouts;
  }

  /**
   * To be called after each event.
   *
   * @param received octets of the connection
   * @param now milliseconds
   */
  update(
    waitingFor: WaitingFor,
    { exchanges, contentBegun, endMissed }: Progress,
    received: number,
    now: number,
  ): void {
    if (waitingFor !== this.#waitingFor) {
      // Content cannot arrive while it is not read.
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

  /** Sets the deadline, or that of the whole message if it is earlier. */
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
