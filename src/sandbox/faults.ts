// Scripted faults of the imitated services, so that tests and users can rehearse what happens when Graph
// or Entra ID misbehaves.

/** The imitated services' operations. */
export const OPERATIONS = [
  "token",
  "sendMail",
  "createDraft",
  "attach",
  "createUploadSession",
  "uploadChunk",
  "uploadStatus",
  "cancelUpload",
  "sendDraft",
  "deleteDraft",
  "findMessages",
  "getMessage",
  "smtpConnect",
  "smtpLogin",
  "smtpSender",
  "smtpRecipient",
  "smtpSend",
] as const;

export type Operation = typeof OPERATIONS[number];

/** Those of Exchange's submission server: the greeting, AUTH, MAIL, RCPT, and the end of a message. */
export type SmtpOperation = Extract<Operation, `smtp${string}`>;

/** What happens to the connection instead of a complete response. */
export const CONNECTION_FAULTS = ["close", "reset", "truncate", "drip", "blackhole"] as const;

export const FAULT_TIMES = ["head", "refuse", "take"] as const;

export interface Fault {
  readonly on: Operation;
  /** Requests that it affects; 1 when left out. */
  readonly times?: number;
  /** Requests that succeed before it; 0 when left out. */
  readonly skip?: number;
  /**
   * When it happens: `head`, before the request's body is read; `refuse`, after the request has been
   * read and before it is carried out; `take`, after it has been carried out, so that the message is sent
   * nevertheless. `refuse` when left out.
   */
  readonly after?: typeof FAULT_TIMES[number];
  /** The response's status; 503 when left out, and 451 by SMTP. */
  readonly status?: number;
  /** Graph's `error.code`, Entra ID's `error`, or SMTP's enhanced status code. */
  readonly code?: string;
  readonly message?: string;
  /** Entra ID's number: 90033 for AADSTS90033. */
  readonly number?: number;
  /** Seconds, or a date as HTTP writes it (RFC 9110 §10.2.3). */
  readonly retryAfter?: number | string;
  /** The target of a redirect. */
  readonly location?: string;
  /** A page of HTML instead of JSON, as from a proxy. */
  readonly html?: boolean;
  /** Milliseconds before the response; with `drip` before each octet of its body. */
  readonly delay?: number;
  /**
   * `close` ends the connection without a response, `reset` does so with a TCP reset, `truncate` ends it
   * in the middle of the response's body; `drip` sends the body octet by octet, `blackhole` never
   * responds. They need a real connection.
   */
  readonly connection?: typeof CONNECTION_FAULTS[number];
  /**
   * Requests for messages that do not find yet what the request sent: Exchange makes the copy in Sent Items
   * some time later. Needs `after: "take"`.
   */
  readonly hidden?: number;
}

/** A fault as the list shows it. */
export interface ScriptedFault extends Fault {
  /** Requests that it will still affect. */
  readonly times: number;
  /** Requests that will still succeed before it. */
  readonly skip: number;
}

/** Faults in the list at most; adding more is refused. */
const MAX_FAULTS = 1000;

/**
 * The faults still to come. Those for one operation happen one after another, in the order in which they
 * were added.
 *
 * @example
 * faults.add({ on: "sendMail", status: 429, code: "ApplicationThrottled", retryAfter: 2 });
 * faults.add({ on: "uploadChunk", skip: 2, connection: "reset" });
 */
export class Faults {
  #waiting: { fault: Fault; times: number; skip: number }[] = [];

  /** @throws RangeError if the list is full. */
  add(fault: Fault): void {
    if (this.#waiting.length >= MAX_FAULTS) throw new RangeError("too many faults");
    this.#waiting.push({ fault, times: fault.times ?? 1, skip: fault.skip ?? 0 });
  }

  list(): ScriptedFault[] {
    return this.#waiting.map(({ fault, times, skip }) => ({ ...fault, times, skip }));
  }

  clear(): void {
    this.#waiting = [];
  }

  /** The fault that affects the request that has just arrived, if any. */
  take(on: Operation): Fault | undefined {
    const entry = this.#waiting.find(({ fault }) => fault.on === on);
    if (entry === undefined) return undefined;
    if (entry.skip > 0) {
      entry.skip--;
      return undefined;
    }
    if (--entry.times <= 0) this.#waiting = this.#waiting.filter((other) => other !== entry);
    return entry.fault;
  }
}
