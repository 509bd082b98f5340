// A cache of what was read from the lookup table: used for a minute, and longer while the table does not
// respond. A result because of which a login was refused is read again for the next login: an
// administrator may be correcting the entry.

import { BoundedMap } from "../bounded_map.ts";
import { type Clock, realClock } from "../clock.ts";
import { type Release, Semaphore } from "../limits/semaphore.ts";
import { isTrouble, type TableTrouble } from "./entry_source.ts";

export interface LookupCacheOptions {
  /** Milliseconds that a result is used while the table does not respond. */
  readonly maxAge: number | "off";
  /** Results remembered at most, and as many queries that found nothing. */
  readonly capacity?: number;
  /** The table did not respond; `served`: a result from before was used instead. */
  onTrouble?(trouble: TableTrouble, served: boolean): void;
  /** The table has responded to a query. */
  onAnswer?(): void;
  /** The table responds again. */
  onRecovery?(): void;
  readonly clock?: Pick<Clock, "now" | "alarm">;
}

/** Milliseconds, from the start of its query, after which a result is read again. */
const FRESH = 60_000;
/** Milliseconds that a missing entry counts as missing: one that is created meanwhile is not seen. */
const ABSENT = 10_000;
/** Milliseconds between two queries for a result because of which a login was refused. */
const DOUBTED = 2_000;
/** Milliseconds for a query, its wait for the semaphore included: a client waits for its 235 meanwhile. */
const TIMEOUT = 10_000;
/** Milliseconds of a query after which the result from before is used. The query goes on: see #query. */
const PATIENCE = 3_000;
/** Milliseconds that a query which failed is not repeated, where there is a result from before. */
const QUIET = 10_000;
/** Milliseconds of a query's time for the semaphore: the rest must be enough for a slow table. */
const LONGEST_WAIT = TIMEOUT - PATIENCE;
/** Queries at once, of either kind: clients can cause any number of them. */
const AT_ONCE = 32;
/** The same of queries that only a refused login has caused; they do not wait for the semaphore. */
const DOUBTED_AT_ONCE = 8;

interface Absent {
  /** When the query for it began. */
  readonly askedAt: number;
  /** When it was last queried because a login was refused. */
  doubtedAt: number;
  /** When a query for it last failed. */
  failedAt: number;
}

interface Known<T> extends Absent {
  readonly value: T;
  /** Whether a login was refused because of it. An absent entry always refuses one. */
  doubted: boolean;
}

interface PendingQuery<T> {
  readonly result: Promise<LookupResult<T>>;
  /** Resolves when the query has taken longer than PATIENCE. */
  readonly late: Promise<undefined>;
}

export type LookupResult<T> = T | "nothing" | TableTrouble;

/** Queries the table. @param timeout milliseconds @returns undefined if there is no entry */
export type Query<T> = (timeout: number) => Promise<T | undefined | TableTrouble>;

/** Whether the table responded last. Strangers' queries that the service rejects do not count. */
export type TableState = "not asked" | "answers" | TableTrouble;

export class LookupCache<T extends object> {
  readonly #options: LookupCacheOptions;
  readonly #clock: Pick<Clock, "now" | "alarm">;
  readonly #known: BoundedMap<Known<T>>;
  /** Queries that found nothing; separate, so that guesses push out no result. */
  readonly #absent: BoundedMap<Absent>;
  /** Queries under way, each shared by all callers with the same key. */
  readonly #pending = new Map<string, PendingQuery<T>>();
  readonly #firstQueries: Semaphore;
  /** Separate, so that a flood of guesses keeps no entry from being read again. */
  readonly #renewals: Semaphore;
  /** Separate likewise: a flood of refused logins delays neither. */
  readonly #doubts: Semaphore;
  #quietUntil = -Infinity;
  #state: TableState = "not asked";
  /** When the table was found to be deleted. */
  #goneAt = -Infinity;

  constructor(options: LookupCacheOptions) {
    const { capacity: max = 10_000, clock = realClock } = options;
    this.#options = options;
    this.#clock = clock;
    this.#known = new BoundedMap({ max });
    this.#absent = new BoundedMap({ max });
    this.#firstQueries = new Semaphore(AT_ONCE, clock);
    this.#renewals = new Semaphore(AT_ONCE, clock);
    this.#doubts = new Semaphore(DOUBTED_AT_ONCE, clock);
  }

  get state(): TableState {
    return this.#state;
  }

  /** @param again whether to read again, and wait for, a result because of which a login was refused */
  get(key: string, query: Query<T>, again: boolean): Promise<LookupResult<T>> | LookupResult<T> {
    const now = this.#clock.now();
    const known = this.#known.get(key);
    if (known !== undefined && now - known.askedAt < FRESH) {
      return again && known.doubted
        ? this.#queryAgain(key, query, known, known.value)
        : known.value;
    }
    const absent = this.#absent.get(key);
    if (absent !== undefined && now - absent.askedAt < ABSENT) {
      return again ? this.#queryAgain(key, query, absent, "nothing") : "nothing";
    }
    const replaceable = known !== undefined && this.#serves(known);
    if (replaceable && this.#quiet(known)) return known.value;
    const pending = this.#pending.get(key) ??
      this.#begin(key, query, (known ? this.#renewals : this.#firstQueries).acquire(LONGEST_WAIT));
    return replaceable ? this.#unlessLate(key, pending) : pending.result;
  }

  /** A login was refused because of this result: the next one should not depend on it. */
  doubt(key: string): void {
    const known = this.#known.peek(key);
    if (known !== undefined) known.doubted = true;
  }

  /** @param value the remembered result, used for now and where no query may begin */
  #queryAgain(
    key: string,
    query: Query<T>,
    remembered: Absent,
    value: T | "nothing",
  ): Promise<LookupResult<T>> | LookupResult<T> {
    const pending = this.#pending.get(key);
    if (pending !== undefined) return this.#unlessLate(key, pending);
    const now = this.#clock.now();
    const { askedAt, doubtedAt, failedAt } = remembered;
    if (now - Math.max(askedAt, doubtedAt) < DOUBTED || now - failedAt < QUIET) return value;
    const permit = this.#doubts.tryAcquire();
    if (permit === undefined) return value;
    remembered.doubtedAt = now;
    return this.#unlessLate(key, this.#begin(key, query, permit));
  }

  #begin(
    key: string,
    query: Query<T>,
    permit: Release | Promise<Release | undefined>,
  ): PendingQuery<T> {
    const { promise: late, resolve } = Promise.withResolvers<undefined>();
    const cancel = this.#clock.alarm(PATIENCE, () => resolve(undefined));
    const result = this.#query(key, query, permit).finally(() => {
      cancel();
      this.#pending.delete(key);
    });
    const pending = { result, late };
    this.#pending.set(key, pending);
    return pending;
  }

  async #unlessLate(key: string, { result, late }: PendingQuery<T>): Promise<LookupResult<T>> {
    const first = await Promise.race([result, late]);
    if (first !== undefined) return first;
    // It may have been forgotten meanwhile.
    const known = this.#known.get(key);
    return known !== undefined && this.#serves(known) ? known.value : result;
  }

  /** A late result is stored too, so that a slow table's changes take effect. */
  async #query(
    key: string,
    query: Query<T>,
    permit: Release | Promise<Release | undefined>,
  ): Promise<LookupResult<T>> {
    const begun = this.#clock.now();
    const release = await permit;
    if (release === undefined) return this.#failed(key, TOO_MANY_QUERIES);
    try {
      const askedAt = this.#clock.now();
      const result = await query(Math.max(PATIENCE, TIMEOUT - (askedAt - begun)));
      if (result !== undefined && isTrouble(result)) return this.#failed(key, result);
      this.#recovered();
      // What was read before the table was deleted does not come back.
      if (askedAt >= this.#goneAt) this.#remember(key, result, askedAt);
      return result ?? "nothing";
    } finally {
      release();
    }
  }

  #remember(key: string, value: T | undefined, askedAt: number): void {
    const fresh = { askedAt, doubtedAt: -Infinity, failedAt: -Infinity };
    if (value === undefined) {
      this.#known.delete(key);
      this.#absent.set(key, fresh);
    } else {
      this.#absent.delete(key);
      this.#known.set(key, { ...fresh, value, doubted: false });
    }
  }

  #recovered(): void {
    this.#quietUntil = -Infinity;
    const troubled = typeof this.#state === "object";
    this.#state = "answers";
    this.#options.onAnswer?.();
    if (troubled) this.#options.onRecovery?.();
  }

  #failed(key: string, trouble: TableTrouble): LookupResult<T> {
    const now = this.#clock.now();
    if (trouble.gone) {
      this.#known.clear();
      this.#absent.clear();
      this.#goneAt = now;
    } else if (trouble.concerns === "table") this.#quietUntil = now + QUIET;
    const known = this.#known.peek(key);
    const absent = this.#absent.peek(key);
    const served = known !== undefined && this.#serves(known);
    if (served || trouble.concerns === "table") this.#state = trouble;
    this.#options.onTrouble?.(trouble, served);
    if (known !== undefined) known.failedAt = now;
    if (absent !== undefined) absent.failedAt = now;
    if (served) return known.value;
    return absent !== undefined && now - absent.askedAt < ABSENT ? "nothing" : trouble;
  }

  /** Whether it may be used while the table does not respond. */
  #serves({ askedAt }: Known<T>): boolean {
    const { maxAge } = this.#options;
    const age = this.#clock.now() - askedAt;
    return age < FRESH || maxAge !== "off" && age < maxAge;
  }

  /**
   * Whether it is used without a query, for a while after its own query failed. Failures of other queries
   * make that a minute at most: otherwise a stranger who can cause failures could keep an entry in use
   * that has been disabled.
   */
  #quiet({ failedAt }: Known<T>): boolean {
    const now = this.#clock.now();
    return now - failedAt < (now < this.#quietUntil ? FRESH : QUIET);
  }
}

const TOO_MANY_QUERIES: TableTrouble = {
  type: "trouble",
  code: "TABLE_CROWDED",
  detail: `the relay has ${AT_ONCE} queries to the table under way, and this one could not begin ` +
    "in time; try again",
  gone: false,
  concerns: "question",
};
