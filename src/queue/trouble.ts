// Which mailboxes fail, and whether the back end as a whole does. While a mailbox fails, one of its
// messages at a time is tried; while the back end fails, one of all, with a pause between two.
//
// One account can have any number of mailboxes that fail, without any fault of the back end. So where several
// accounts use the queue, it takes two of them to tell that the back end fails.

import type { Clock } from "../clock.ts";
import { OtherAccounts } from "./other_accounts.ts";

/** Milliseconds of the first pause at most; doubled with each failure in a row. */
const FIRST_PAUSE = 2_000;
/** Milliseconds between two tries of a mailbox in trouble, at most. */
const LONGEST_PAUSE = 300_000;
/**
 * Milliseconds between two tries while the back end is in trouble, at most. Shorter: so long waits the mail
 * of a mailbox that works, if only many others are in trouble.
 */
const LONGEST_BACKEND_PAUSE = 15_000;
/** Mailboxes that have to fail in a row, with no success between them, until it is the back end. */
const MAILBOXES = 3;
/** Failures in a row of a mailbox after which its success makes the messages due that have failed. */
const OUTAGE = 3;
/** Mailboxes in trouble that are remembered; one that is forgotten is tried at once. */
const MAX_MAILBOXES = 10_000;

/** What works again: messages of these that have failed need not wait any longer. */
export type Recovered = "mailbox" | "all";

interface Failures {
  /** In a row. */
  readonly count: number;
  /** Until when the mailbox is left alone. */
  readonly until: number;
}

/** Its times follow the clock's `now`, so that a change of the machine's time does not stop the queue. */
export class Trouble {
  readonly #clock: Pick<Clock, "now" | "random">;
  /** By mailbox; the one whose last failure is oldest first. */
  readonly #failures = new Map<string, Failures>();
  /** Mailboxes that have failed since the last success of any, with their accounts; no more than are needed. */
  readonly #inARow = new Map<string, string>();
  /** Accounts whose messages were tried. */
  readonly #others: OtherAccounts;
  /** Failures of the back end in a row, and until when nothing is tried. */
  #backend: Failures = { count: 0, until: 0 };
  /** There was an outage, and no mailbox that failed for long has worked since. */
  #wasOutage = false;

  constructor(clock: Pick<Clock, "now" | "random">) {
    this.#clock = clock;
    this.#others = new OtherAccounts(clock);
  }

  /** Milliseconds until anything may be tried. */
  get wait(): number {
    return Math.max(0, this.#backend.until - this.#clock.now());
  }

  /** Whether only one message of all is to be tried at a time. */
  get isOutage(): boolean {
    if (this.#inARow.size < MAILBOXES) return false;
    const [account, another] = new Set(this.#inARow.values());
    return another !== undefined || this.#others.isAlone(account!);
  }

  /** The mailboxes whose last try has failed. */
  get failing(): Pick<ReadonlyMap<string, unknown>, "has" | "keys" | "size"> {
    return this.#failures;
  }

  /** Milliseconds for which a mailbox is still left alone, beside those of the back end. */
  rest(mailbox: string): number {
    const failures = this.#failures.get(mailbox);
    return failures === undefined ? 0 : Math.max(0, failures.until - this.#clock.now());
  }

  /** A message of the account is tried. */
  tried(account: string): void {
    this.#others.seen(account);
  }

  /**
   * A try has failed.
   *
   * @param account of the message
   * @param ofBackend whether the back end may be the reason, and not the mailbox alone
   * @returns milliseconds for which the mailbox is to be left alone
   */
  failed(mailbox: string, account = "", ofBackend = true): number {
    const now = this.#clock.now();
    if (ofBackend) this.#failedInARow(mailbox, account);
    if (ofBackend && this.isOutage) {
      this.#wasOutage = true;
      this.#backend = this.#next(this.#backend, LONGEST_BACKEND_PAUSE);
    }
    const failures = this.#next(this.#failures.get(mailbox), LONGEST_PAUSE);
    this.#failures.delete(mailbox);
    this.#failures.set(mailbox, failures);
    if (this.#failures.size > MAX_MAILBOXES) {
      for (const oldest of this.#failures.keys()) {
        this.#failures.delete(oldest);
        break;
      }
    }
    return failures.until - now;
  }

  /** A message was sent. @returns what works again after an outage */
  succeeded(mailbox: string): Recovered | undefined {
    const count = this.#failures.get(mailbox)?.count ?? 0;
    this.#failures.delete(mailbox);
    this.#inARow.clear();
    this.#backend = { count: 0, until: 0 };
    const wasOutage = this.#wasOutage;
    // Others may fail for reasons of their own: that one of them works says nothing about them.
    if (count < OUTAGE) {
      if (this.#failures.size === 0) this.#wasOutage = false;
      return undefined;
    }
    if (!wasOutage) return "mailbox";
    this.#wasOutage = false;
    this.#failures.clear();
    return "all";
  }

  #failedInARow(mailbox: string, account: string): void {
    if (this.#inARow.has(mailbox)) return;
    // A mailbox of another account tells more than a further one of the same.
    const isOther = ![...this.#inARow.values()].includes(account);
    if (this.#inARow.size >= MAILBOXES) {
      if (!isOther || this.isOutage) return;
      const [first] = this.#inARow.keys();
      this.#inARow.delete(first!);
    }
    this.#inARow.set(mailbox, account);
  }

  #next(last: Failures | undefined, longest: number): Failures {
    const now = this.#clock.now();
    // Tries that had begun before the first of them failed count as one.
    if (last !== undefined && now < last.until) return last;
    const count = (last?.count ?? 0) + 1;
    return { count, until: now + backoff(this.#clock, count, FIRST_PAUSE, longest) };
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
