// Which mailboxes fail, and whether the back end as a whole does. While a mailbox fails, one of its
// messages at a time is tried; while the back end fails, one of all.

import type { Clock } from "../clock.ts";
import { BoundedMap } from "../bounded_map.ts";

/** Milliseconds of the first pause at most; doubled with each failure in a row. */
const FIRST_PAUSE = 2_000;
/**
 * Milliseconds between two tries of a mailbox or a back end in trouble, at most: so long may mail wait
 * once it works again.
 */
const LONGEST_PAUSE = 300_000;
/** Mailboxes that have to fail in a row, with no success between them, until it is the back end. */
const MAILBOXES = 3;
/** Failures in a row after which a success makes the messages due that have failed meanwhile. */
const OUTAGE = 3;
/** Mailboxes in trouble that are remembered; one that is forgotten is tried at once. */
const MAX_MAILBOXES = 10_000;

/** What works again: messages of these that have failed need not wait any longer. */
export type Recovered = "mailbox" | "all";

export class Trouble {
  readonly #clock: Pick<Clock, "date" | "random">;
  /** Failures in a row, by mailbox. */
  readonly #failures = new BoundedMap<{ readonly count: number }>({ max: MAX_MAILBOXES });
  /** Mailboxes that have failed since the last success of any. */
  readonly #failing = new Set<string>();
  /** Failures of the back end in a row. */
  #backendFailures = 0;
  #backendUntil = 0;

  constructor(clock: Pick<Clock, "date" | "random">) {
    this.#clock = clock;
  }

  /** Until when nothing is to be tried, in Unix time; 0 for no limit. */
  get pausedUntil(): number {
    return this.#backendUntil;
  }

  /** Whether only one message of all is to be tried at a time. */
  get isOutage(): boolean {
    return this.#backendFailures > 0;
  }

  /**
   * A try has failed.
   *
   * @returns until when the mailbox is to be left alone, in Unix time
   */
  failed(mailbox: string): number {
    const failures = (this.#failures.get(mailbox)?.count ?? 0) + 1;
    this.#failures.set(mailbox, { count: failures });
    // More are not counted, so this stays small.
    if (this.#failing.size < MAILBOXES) this.#failing.add(mailbox);
    const now = this.#clock.date();
    if (this.#failing.size < MAILBOXES) return now + this.#pause(failures);
    // Tries that had begun before the first of them failed count as one.
    if (now >= this.#backendUntil) {
      this.#backendFailures++;
      this.#backendUntil = now + this.#pause(this.#backendFailures);
    }
    return this.#backendUntil;
  }

  /** A message was sent. @returns what works again after an outage */
  succeeded(mailbox: string): Recovered | undefined {
    const failures = this.#failures.get(mailbox)?.count ?? 0;
    if (failures > 0) this.#failures.delete(mailbox);
    const wasOutage = this.isOutage;
    this.#failing.clear();
    this.#backendFailures = 0;
    this.#backendUntil = 0;
    if (wasOutage) return "all";
    return failures >= OUTAGE ? "mailbox" : undefined;
  }

  #pause(failures: number): number {
    return backoff(this.#clock, failures, FIRST_PAUSE, LONGEST_PAUSE);
  }
}

/**
 * Milliseconds to wait after so many failures in a row: full jitter, so that what failed together is not
 * tried again together (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/). At
 * least a tenth: no failure is followed by the next try at once.
 */
export function backoff(
  clock: Pick<Clock, "random">,
  failures: number,
  first: number,
  longest: number,
): number {
  const most = Math.min(longest, first * 2 ** Math.min(failures - 1, 30));
  return Math.max(most / 10, clock.random() * most);
}
