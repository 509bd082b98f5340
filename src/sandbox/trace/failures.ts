// The newest logins and messages that the relay has refused or deferred, in memory.

import type { Trace } from "./trace.ts";

/** A failure in the list, with the fields of `GET /api/failures`. */
export interface FailureSummary {
  /** Short, URL-safe, unique. */
  readonly id: string;
  readonly type: "login" | "message";
  /** ISO 8601, UTC. */
  readonly at: string;
  /** The client's IP address. */
  readonly client: string;
  /** The reply as it was sent, without line ends. */
  readonly reply: string;
  /** `login`: the username or a part of it; left out if there was none. */
  readonly username?: string;
  readonly mechanism?: string;
  /** `message`: the reverse-path, "" for the null one. */
  readonly from?: string;
  /** `message`: the forward-paths, a hundred at most. */
  readonly to?: readonly string[];
}

export interface Failure {
  readonly summary: FailureSummary;
  readonly trace: Trace;
}

export type FailureEvent =
  | { readonly type: "failure"; readonly summary: FailureSummary }
  | { readonly type: "failuresCleared" };

/** Failures that are kept. */
const MAX_FAILURES = 200;
/** Forward-paths of a failure that are kept. */
export const MAX_RECIPIENTS = 100;

export class Failures {
  /** In the order of arrival: a Map keeps it. */
  readonly #failures = new Map<string, Failure>();
  readonly #tell: (event: FailureEvent) => void;
  #next = 1;

  /** @param tell called for each event */
  constructor(tell: (event: FailureEvent) => void) {
    this.#tell = tell;
  }

  add(summary: Omit<FailureSummary, "id" | "at">, trace: Trace): void {
    const id = String(this.#next++);
    const whole = { id, at: new Date().toISOString(), ...summary };
    this.#failures.set(id, { summary: whole, trace });
    for (const [oldest] of this.#failures) {
      if (this.#failures.size <= MAX_FAILURES) break;
      this.#failures.delete(oldest);
    }
    this.#tell({ type: "failure", summary: whole });
  }

  /** Newest first. */
  list(): FailureSummary[] {
    return [...this.#failures.values()].reverse().map(({ summary }) => summary);
  }

  get(id: string): Failure | undefined {
    return this.#failures.get(id);
  }

  clear(): void {
    this.#failures.clear();
    this.#tell({ type: "failuresCleared" });
  }
}
