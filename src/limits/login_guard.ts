// Guesswork against logins (AUTH_RATE_LIMIT): so many failed logins an address, with a growing delay
// for an account that is tried from everywhere; and never anything against credentials that worked.
//
// Behind Docker's proxy or a load balancer all clients share an address, and one of them has an old
// password. So what has worked is remembered, and what has not is counted by address only until the
// limit: an attempt that is refused for the limit's sake does not prolong it. What has been refused is
// remembered, too: the same credentials again are no guess.

import { LRUCache } from "lru-cache";
import type { Clock } from "../clock.ts";
import { KeyedHash } from "../keyed_hash.ts";
import { clientKey } from "../networks.ts";
import type { Secret } from "../secret.ts";
import { REPLIES, type Reply, reply } from "../smtp/reply.ts";
import { type Credentials, secretIn } from "../smtp/sasl.ts";
import type { Account, LoginResult } from "../accounts/accounts.ts";
import { GuessTurns } from "./unverified_login_queue.ts";
import { type Rate, RateLimit } from "./rate_limit.ts";
import { RefusedCredentials } from "./refused_credentials.ts";
import { type Delimiter, parseUsername } from "../accounts/username.ts";

export interface LoginGuardOptions {
  /** AUTH_RATE_LIMIT. */
  readonly rate: Rate | "off";
  readonly delimiter: Delimiter;
  /**
   * What is guarded.
   *
   * @param mayAskAgain whether Entra ID may be asked again about credentials that it has refused
   */
  login(credentials: Credentials, mayAskAgain?: () => boolean): Promise<LoginResult>;
  readonly clock: Pick<Clock, "now" | "alarm">;
}

/** Nobody was asked whether the credentials are right. */
export interface LimitedLogin {
  readonly type: "limited";
  readonly reply: Reply;
  /** For the log: what became of it. */
  readonly what: string;
}

/**
 * Milliseconds that credentials pass unhindered after they have worked. More than the hour that is
 * promised: many a device sends one report a day.
 */
export const KNOWN_FOR = 25 * 3_600_000;
/** Only what Entra ID has given a token for is in there, so strangers cannot fill it. */
const MAX_KNOWN = 20_000;

/**
 * Refused credentials that are remembered for an address, as a multiple of the failed logins that it
 * may have: so many devices with old passwords do the others there no harm. As often in the same time
 * is looked whether they are still wrong.
 */
const REPEATS = 10;
/** Those remembered for an address at most: it must not push out what is remembered of the others. */
const MAX_REFUSED = 1000;

/** Failed logins of one account in the window that cost nothing; all addresses together. */
const FREE_FAILURES = 5;
/** Milliseconds before the next ones are even looked at; the last one is for all that follow. */
const DELAYS = [250, 500, 1000, 2000];

export class LoginGuard {
  readonly #options: LoginGuardOptions;
  readonly #hash = new KeyedHash();
  readonly #now: () => number;
  #worked: LRUCache<string, true> | undefined;
  readonly #limits: Limits | undefined;
  /** The credentials of accounts that nobody has proved yet. */
  readonly #claimed = new WeakMap<Account, string>();
  #stopping = false;
  /** Ends a delay. */
  readonly #delayed = new Set<() => void>();

  constructor(options: LoginGuardOptions) {
    this.#options = options;
    const { rate, clock } = options;
    const now = () => clock.now();
    this.#now = now;
    if (rate === "off") return;
    const addresses = new RateLimit({ rate, now });
    const repeats = { most: rate.most * REPEATS, window: rate.window };
    const refused = new RefusedCredentials({ most: Math.min(repeats.most, MAX_REFUSED) });
    const timer = (milliseconds: number, ring: () => void) => clock.alarm(milliseconds, ring);
    this.#limits = {
      addresses,
      refused,
      repeats: new RateLimit({ rate: repeats, now }),
      questions: new RateLimit({ rate, now }),
      accounts: new RateLimit({ rate: { most: Infinity, window: rate.window }, now }),
      turns: new GuessTurns(addresses, (client, name) => {
        if (this.#known.has(name)) return "right";
        return refused.has(client, name) ? "refused" : undefined;
      }, timer),
    };
  }

  /** Credentials that have worked. Made with the first login: it takes its whole room at once. */
  get #known(): LRUCache<string, true> {
    const perf = { now: this.#now };
    return this.#worked ??= new LRUCache({
      max: MAX_KNOWN,
      ttl: KNOWN_FOR,
      perf,
      ttlResolution: 0,
    });
  }

  /** @param address the client's, as `plainAddress` gives it */
  async login(credentials: Credentials, address: string): Promise<LoginResult | LimitedLogin> {
    const limits = this.#limits;
    if (limits === undefined) return await this.#options.login(credentials);
    const account = this.#accountOf(credentials.username);
    const client = clientKey(address);
    const guess = { account, name: this.#nameOf(credentials, account), client };
    if (!this.#known.has(guess.name)) return await this.#guess(credentials, guess, limits);
    const result = await this.#options.login(credentials);
    if (this.#judge(result, guess, limits)) this.#count(client);
    return result;
  }

  /**
   * A login of this address has failed before it came to anything.
   *
   * @param octets what was tried, where that can be told: the same again is no failed login
   * @returns whether the address was below its limit
   */
  failed(address: string, octets?: Secret): boolean {
    const name = octets && this.#hash.of("octets", octets.reveal());
    return this.#failed(clientKey(address), name);
  }

  /** Graph has refused what this account had only claimed: it was a guess of this address. */
  disproved(account: Account, address: string): void {
    this.#failed(clientKey(address), this.#claimed.get(account));
  }

  /** The relay is stopping: nobody is kept waiting any more. */
  stop(): void {
    this.#stopping = true;
    this.#limits?.turns.stop();
    for (const go of [...this.#delayed]) go();
  }

  async #guess(
    credentials: Credentials,
    guess: Guess,
    limits: Limits,
  ): Promise<LoginResult | LimitedLogin> {
    const { addresses, accounts, refused, repeats, questions, turns } = limits;
    const { account, name, client } = guess;
    if (addresses.reached(client)) return REACHED;
    // The delay is before the question: one that only followed a wrong answer would tell at once, by
    // its beginning, that it was wrong.
    if (account !== undefined && !refused.has(client, name)) {
      await this.#delay(accounts.used(account));
    }
    const turn = await turns.take(client, name);
    if (turn === "reached") return REACHED;
    if (turn === "late") return LATE;
    if (turn === "refused" && !take(repeats, client)) return AGAIN;
    let failed = false;
    try {
      const result = await this.#options.login(credentials, () => take(questions, client));
      failed = this.#judge(result, guess, limits);
      if (failed && account !== undefined) accounts.count(account);
      return result;
    } finally {
      if (typeof turn === "function") turn(failed);
      else if (failed) this.#count(client);
    }
  }

  /**
   * Remembers what has become of the credentials. What Graph has not yet taken a token for proves
   * nothing: anybody can write one.
   *
   * @returns whether it is a failed login: not where they have been refused before
   */
  #judge(result: LoginResult, { name, client }: Guess, { refused }: Limits): boolean {
    if (result.type === "refused") {
      this.#known.delete(name);
      return refused.add(client, name);
    }
    if (result.type !== "account") return false;
    const { account } = result;
    if (account.unproved?.() === undefined) {
      this.#known.set(name, true);
      refused.delete(client, name);
    } else this.#claimed.set(account, name);
    return false;
  }

  #failed(client: string, name: string | undefined): boolean {
    const limits = this.#limits;
    if (limits === undefined) return true;
    const again = name !== undefined && !limits.refused.add(client, name);
    return again ? !limits.addresses.reached(client) : this.#count(client);
  }

  /** Up to the limit only: whoever goes on failing must not keep an address shut for ever. */
  #count(client: string): boolean {
    const addresses = this.#limits?.addresses;
    if (addresses?.reached(client)) return false;
    addresses?.count(client);
    return true;
  }

  #delay(failures: number): Promise<void> | undefined {
    const delay = DELAYS[Math.min(failures - FREE_FAILURES, DELAYS.length - 1)];
    if (delay === undefined || this.#stopping) return undefined;
    const { promise, resolve } = Promise.withResolvers<void>();
    const go = () => {
      cancel();
      this.#delayed.delete(go);
      resolve();
    };
    const cancel = this.#options.clock.alarm(delay, go);
    this.#delayed.add(go);
    return promise;
  }

  /**
   * A name for the credentials, the same for all spellings of one username. A username that is none
   * names no account; a token says itself whose it is.
   */
  #nameOf(credentials: Credentials, account: string | undefined): string {
    const secret = secretIn(credentials).reveal();
    return "token" in credentials
      ? this.#hash.of("token", account ?? "", secret)
      : this.#hash.of("password", account ?? `none ${credentials.username}`, secret);
  }

  /** The same for all spellings of one username; undefined for what is none. */
  #accountOf(username: string): string | undefined {
    const name = parseUsername(username, this.#options.delimiter);
    if (name.type === "invalid") return undefined;
    return name.type === "lookup" ? `id ${name.id}` : `${name.tenantId} ${name.clientId}`;
  }
}

interface Limits {
  /** Failed logins by address. */
  readonly addresses: RateLimit;
  readonly refused: RefusedCredentials;
  /** Looks at credentials that have been refused before, by address. */
  readonly repeats: RateLimit;
  /** The questions to Entra ID that come of them: no more than new guesses would cost. */
  readonly questions: RateLimit;
  /** Failed logins by account: they are counted, for the delay, and not limited. */
  readonly accounts: RateLimit;
  readonly turns: GuessTurns;
}

interface Guess {
  readonly account: string | undefined;
  /** A name for the credentials. */
  readonly name: string;
  /** Whose limit it is. */
  readonly client: string;
}

function take(limit: RateLimit, client: string): boolean {
  if (limit.reached(client)) return false;
  limit.count(client);
  return true;
}

const REACHED: LimitedLogin = {
  type: "limited",
  reply: REPLIES.tooManyFailedLogins,
  what: "Login refused unseen: too many failed logins from this address",
};

const LATE: LimitedLogin = {
  type: "limited",
  reply: reply(454, "4.7.0", "Too many logins from this address at once; try again"),
  what: "Login deferred unseen: too many logins from this address at once",
};

const AGAIN: LimitedLogin = {
  type: "limited",
  reply: reply(535, "5.7.8", "Refused before, and tried too often to be looked at again now"),
  what: "Login refused unseen: credentials that were refused before are tried too often",
};
