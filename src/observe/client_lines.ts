// Writes the lines that clients cause: bounded for each account and address, and summed up where the same client
// fails again and again in the same way.

import { accountKey } from "../accounts/account.ts";
import { clientKey } from "../networks.ts";
import type { Client, Principal } from "../submission/submission_service.ts";
import { accountFields } from "./event_lines.ts";
import type { FailureKey } from "./failure_sources.ts";
import { type FailureLine, type FailureNumbers, FailureStreaks } from "./failure_streaks.ts";
import { LineBudget, type LinePool, type LineSource } from "./line_budget.ts";
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
  readonly principal?: Principal | undefined;
}

/** Whose line it is, for the budget. */
interface Origin {
  readonly pool: LinePool;
  readonly sources: readonly LineSource[];
}

interface SummedLine extends FailureLine {
  /** Left out: it is written in any case. */
  readonly origin?: Origin;
}

export class ClientLines {
  readonly #log: LevelLog;
  readonly #budget: LineBudget;
  /** What fails again and again. */
  readonly #streaks: FailureStreaks<SummedLine>;
  /** Keys of accounts that have sent a message, the oldest first. */
  readonly #senders = new Set<string>();

  constructor(log: LevelLog, { now, date, suppressed }: ClientLinesOptions) {
    this.#log = log;
    this.#streaks = new FailureStreaks({
      now,
      date,
      write: ({ level, message, fields, origin }) => {
        if (origin === undefined) this.#always(level, message, fields);
        else this.#write(level, message, fields, origin);
      },
    });
    this.#budget = new LineBudget({
      now,
      suppressed,
      write: (level, message, fields) => this.#always(level, message, fields),
    });
  }

  /** Writes what was summed up, and how many lines of which kind were left out. */
  close(): void {
    this.#streaks.close();
    this.#budget.close();
  }

  /**
   * Writes the line of a failure; if it is only counted, at DEBUG.
   *
   * @param may whether it may be a WARNING
   */
  failed(key: FailureKey, message: string, fields: LineFields, cause: Cause, may = true): void {
    const origin = this.#originOf(cause);
    const line = { level: "WARNING", message, fields, origin } as const;
    const numbers = this.#streaks.failed(...key, line, may);
    if (numbers === undefined) this.#write("DEBUG", message, fields, origin);
    else this.#write("WARNING", message, { ...fields, ...numbers }, origin);
  }

  /** A WARNING as the failures were, so that who reads of them reads of their end. */
  recovered(source: string, message: string, fields: () => LineFields): void {
    const numbers = this.#streaks.succeeded(source);
    if (numbers !== undefined) this.#log.warning(message, { ...fields(), ...numbers });
  }

  /** As {@link ClientLines.failed}, for a line that is written by its caller. */
  count(key: FailureKey, line: FailureLine, may: boolean): FailureNumbers | undefined {
    return this.#streaks.failed(...key, line, may);
  }

  /**
   * Writes a line that a client has caused, unless there are too many of its kind. An account that
   * has sent mail has its own count, so that other clients at its address, which may be a proxy's,
   * do not use it up. All other lines count for the address too: without ALLOWED_TENANTS, a client
   * can have any number of accounts.
   */
  write(level: LogLevel, message: string, fields: LogFields, cause: Cause): void {
    if (this.#log.enabled(level)) this.#write(level, message, fields, this.#originOf(cause));
  }

  #originOf({ client, principal }: Cause): Origin {
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
    return { pool: sender ? "senders" : "strangers", sources };
  }

  #write(level: LogLevel, message: string, fields: LogFields, { pool, sources }: Origin): void {
    if (!this.#log.enabled(level)) return;
    if (this.#budget.take(level, message, pool, sources)) this.#always(level, message, fields);
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
