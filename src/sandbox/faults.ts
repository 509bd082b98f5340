// Scripted faults: what the imitated services do wrong when they are told to, so that tests and
// users can rehearse a Graph or an Entra ID that misbehaves.

/** What the imitated services are asked for. */
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
] as const;

export type Operation = typeof OPERATIONS[number];

/** What is done to the connection in place of, or to, a whole response. */
export const CONNECTION_FAULTS = ["close", "reset", "truncate", "drip", "blackhole"] as const;

export const FAULT_TIMES = ["head", "refuse", "take"] as const;

export interface Fault {
  readonly on: Operation;
  /** Requests that it befalls; 1 when left out. */
  readonly times?: number;
  /** Requests that are let through before; 0 when left out. */
  readonly skip?: number;
  /**
   * When it happens: `head`, before the request's body is read; `refuse`, when the request has been
   * read, but nothing is done about it; `take`, when it has been carried out, so that a message is
   * sent all the same. `refuse` when left out.
   */
  readonly after?: typeof FAULT_TIMES[number];
  /** Of the response; 503 when left out. */
  readonly status?: number;
  /** Of the error: Graph's `error.code`, or Entra ID's `error`. */
  readonly code?: string;
  readonly message?: string;
  /** Entra ID's number: 90033 for AADSTS90033. */
  readonly number?: number;
  /** Seconds, or a date as HTTP writes it (RFC 9110 §10.2.3). */
  readonly retryAfter?: number | string;
  /** Of a redirection. */
  readonly location?: string;
  /** A page of HTML in the place of JSON, as a proxy would respond. */
  readonly html?: boolean;
  /** Milliseconds before the response; with `drip` before each octet of its body. */
  readonly delay?: number;
  /**
   * `close` ends the connection without a response, `reset` likewise with a TCP reset, `truncate` in
   * the middle of the response's body; `drip` sends the body octet by octet, `blackhole` answers
   * never. They need a real connection.
   */
  readonly connection?: typeof CONNECTION_FAULTS[number];
}

/** A fault as it stands in the list. */
export interface ScriptedFault extends Fault {
  /** Requests that it will still befall. */
  readonly times: number;
  /** Requests that are still let through before. */
  readonly skip: number;
}

/** Faults that wait; what a stranger adds beyond is refused. */
const MAX_FAULTS = 1000;

/**
 * The faults that wait for their requests. Those for one operation happen one after the other, in
 * the order in which they were added.
 *
 * @example
 * faults.add({ on: "sendMail", status: 429, code: "ApplicationThrottled", retryAfter: 2 });
 * faults.add({ on: "uploadChunk", skip: 2, connection: "reset" });
 */
export class Faults {
  #waiting: { fault: Fault; times: number; skip: number }[] = [];

  /** @throws RangeError when too many wait. */
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

  /** What befalls the request that has just come, if anything. */
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
