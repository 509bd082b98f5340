// Writes the lines that clients cause: bounded for each account and address, and summed up where the same client
// fails again and again in the same way.

import { accountKey } from "../accounts/account.ts";
import { clientKey } from "../networks.ts";
import type { Client, Principal } from "../submission/submission_service.ts";
import { accountFields } from "./event_lines.ts";
import type { FailureKey } from "./failure_sources.ts";
import { type FailureLine, type FailureNumbers, FailureStreaks } from "./failure_streaks.ts";
import { LineBudget, type LineSource } from "./line_budget.ts";
import type { LineFields } from "./line_fields.ts";
import type { LevelLog, LogFields, LogLevel } from "./log.ts";

/** Accounts remembered as senders of mail; the one whose last message is oldest is forgotten. */
const MAX_SENDERS = 10_000;

export interface ClientLinesOptions {
  /** Milliseconds, of a clock that never goes back. */
  now(): number;
  /** Milliseconds of Unix time. */
  date(): number;
  /** Called for each line that is left out. */
  suppressed(): void;
}

type Sender = Pick<Principal, "account"> & { readonly authorization: Unverified };
type Unverified = Pick<Principal["authorization"], "unverified">;

/** The client or account that caused a line, as far as that is known. */
export interface Cause {
  readonly client?: Client | undefined;
  readonly principal?: Sender | undefined;
}

/** A failure's line, which may be written later. */
type CausedLine = FailureLine & { readonly cause: Cause };

/** Lines a minute that sum up failures: of one account or address, and of all. */
const SUMMARIES = { each: 100, all: 1_000 };

export class ClientLines {
  readonly #log: LevelLog;
  readonly #budget: LineBudget;
  /** What fails again and again. */
  readonly #streaks: FailureStreaks<CausedLine>;
  /** The same of clients that have not tried to log in: they push out no device. */
  readonly #strangers: FailureStreaks<CausedLine>;
  /** Of the lines that sum that up: the flood of another client must not use theirs up. */
  readonly #summaries: LineBudget;
  /** Keys of accounts that have sent a message, the oldest first. */
  readonly #senders = new Set<string>();

  constructor(log: LevelLog, { now, date, suppressed }: ClientLinesOptions) {
    this.#log = log;
    const within = (budget: LineBudget) => ({ level, message, fields, cause }: CausedLine) =>
      this.#within(budget, level, message, fields, cause);
    const write = this.#always.bind(this);
    this.#budget = new LineBudget({ now, suppressed, write });
    this.#summaries = new LineBudget({ now, suppressed, write, ...SUMMARIES });
    this.#streaks = new FailureStreaks({ now, date, write: within(this.#summaries) });
    this.#strangers = new FailureStreaks({
      now,
      date,
      write: within(this.#budget),
      forgetsSilently: true,
    });
  }

  /** Writes what was summed up, and how many lines of which kind were left out. */
  close(): void {
    this.#streaks.close();
    this.#strangers.close();
    this.#summaries.close();
    this.#budget.close();
  }

  /** Writes the line of a failure; if it is only counted, at DEBUG. */
  failed(key: FailureKey, message: string, fields: LineFields, cause: Cause): void {
    this.#failed(this.#streaks, key, message, fields, cause);
  }

  /**
   * The same of a client that has not logged in.
   *
   * @param may whether it may be a WARNING
   */
  refused(key: FailureKey, message: string, fields: LineFields, cause: Cause, may: boolean): void {
    this.#failed(this.#strangers, key, message, fields, cause, may);
  }

  #failed(
    streaks: FailureStreaks<CausedLine>,
    key: FailureKey,
    message: string,
    fields: LineFields,
    cause: Cause,
    may = true,
  ): void {
    const line: CausedLine = { level: "WARNING", message, fields, cause };
    const numbers = streaks.failed(...key, line, may);
    if (numbers === undefined) return this.write("DEBUG", message, fields, cause);
    const told = { ...fields, ...numbers };
    const written = this.#within(this.#budget, "WARNING", message, told, cause);
    if (!written) streaks.missed(...key, line);
  }

  /** A WARNING as the failures were, so that who reads of them reads of their end. */
  recovered(source: () => string, message: string, fields: () => LineFields, cause: Cause): void {
    // With each message; seldom has anything failed.
    if (this.#streaks.isEmpty) return;
    const numbers = this.#streaks.succeeded(source());
    if (numbers === undefined) return;
    this.#within(this.#summaries, "WARNING", message, { ...fields(), ...numbers }, cause);
  }

  /** As {@link ClientLines.failed}, for a line that is written by its caller. */
  count(key: FailureKey, line: CausedLine, may: boolean): FailureNumbers | undefined {
    return this.#streaks.failed(...key, line, may);
  }

  /**
   * Writes a line that a client has caused, unless there are too many of its kind. An account that
   * has sent mail has its own count, so that other clients at its address, which may be a proxy's,
   * do not use it up. All other lines count for the address too: without ALLOWED_TENANTS, a client
   * can have any number of accounts.
   */
  write(level: LogLevel, message: string, fields: LogFields, cause: Cause): void {
    this.#within(this.#budget, level, message, fields, cause);
  }

  /** @returns false if there are too many lines */
  #within(
    budget: LineBudget,
    level: LogLevel,
    message: string,
    fields: LogFields,
    { client, principal }: Cause,
  ): boolean {
    // A line that the level leaves out is as good as written.
    if (!this.#log.enabled(level)) return true;
    const sources: LineSource[] = [];
    const verified = principal !== undefined && principal.authorization.unverified() === undefined;
    if (verified) {
      const { account, authorization } = principal;
      sources.push({ kind: "account", fields: accountFields(account, authorization) });
    }
    const sender = verified && this.#senders.has(accountKey(principal.account));
    if (!sender && client !== undefined) {
      sources.push({ kind: "address", fields: { client: clientKey(client.address) } });
    }
    const pool = sender ? "senders" : "strangers";
    const may = budget.take(level, message, pool, sources);
    if (may) this.#always(level, message, fields);
    return may;
  }

  #always(level: LogLevel, message: string, fields: LogFields): void {
    this.#log[level.toLowerCase() as Lowercase<LogLevel>](message, fields);
  }

  /** Its lines are from now on counted apart. */
  hasSent({ account, authorization }: Sender): void {
    if (authorization.unverified() !== undefined) return;
    const key = accountKey(account);
    this.#senders.delete(key);
    this.#senders.add(key);
    if (this.#senders.size <= MAX_SENDERS) return;
    for (const oldest of this.#senders) return void this.#senders.delete(oldest);
  }
}
