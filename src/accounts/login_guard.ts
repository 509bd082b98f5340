// Guesswork against logins (AUTH_RATE_LIMIT): so many failed logins an address, with a growing delay
// for an account that is tried from everywhere; and never anything against credentials that worked.
//
// Behind Docker's proxy or a load balancer all clients share an address, and one of them has an old
// password. So what has worked is remembered, and what has not is counted by address only until the
// limit: an attempt that is refused for the limit's sake does not prolong it.

import { LRUCache } from "lru-cache";
import type { Clock } from "../graph/clock.ts";
import { KeyedHash } from "../keyed_hash.ts";
import { clientKey } from "../networks.ts";
import { REPLIES, type Reply, reply } from "../smtp/reply.ts";
import { type Credentials, secretIn } from "../smtp/sasl.ts";
import type { LoginResult } from "./accounts.ts";
import { GuessTurns } from "./guess_turns.ts";
import { type Rate, RateLimit } from "./rate_limit.ts";
import { type Delimiter, parseUsername } from "./username.ts";

export interface LoginGuardOptions {
  /** AUTH_RATE_LIMIT. */
  readonly rate: Rate | "off";
  readonly delimiter: Delimiter;
  /** What is guarded. */
  login(credentials: Credentials): Promise<LoginResult>;
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
    const timer = (milliseconds: number, ring: () => void) => clock.alarm(milliseconds, ring);
    this.#limits = {
      addresses,
      accounts: new RateLimit({ rate: { most: Infinity, window: rate.window }, now }),
      turns: new GuessTurns(addresses, (credentials) => this.#known.has(credentials), timer),
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
    // A username that is none names no account; its password never works, and its token says whose it is.
    const kind = "token" in credentials ? "token" : "password";
    const name = this.#hash.of(kind, account ?? "", secretIn(credentials).reveal());
    const client = clientKey(address);
    if (!this.#known.has(name)) return await this.#guess(credentials, { account, name, client });
    const result = await this.#options.login(credentials);
    if (result.type === "refused") {
      this.#known.delete(name);
      this.#failed(client);
    }
    this.#remember(result, name);
    return result;
  }

  /** What Graph has not yet taken a token for proves nothing: anybody can write one. */
  #remember(result: LoginResult, name: string): void {
    if (result.type === "account" && result.account.unproved?.() === undefined) {
      this.#known.set(name, true);
    }
  }

  /**
   * A login of this address has failed before it came to anything.
   *
   * @returns whether the address was below its limit
   */
  failed(address: string): boolean {
    return this.#failed(clientKey(address));
  }

  /** The relay is stopping: nobody is kept waiting any more. */
  stop(): void {
    this.#stopping = true;
    this.#limits?.turns.stop();
    for (const go of [...this.#delayed]) go();
  }

  async #guess(
    credentials: Credentials,
    { account, name, client }: Guess,
  ): Promise<LoginResult | LimitedLogin> {
    const { addresses, accounts, turns } = this.#limits!;
    if (addresses.reached(client)) return REACHED;
    // The delay is before the question: one that only followed a wrong answer would tell at once, by
    // its beginning, that it was wrong.
    if (account !== undefined) await this.#delay(accounts.used(account));
    const turn = await turns.take(client, name);
    if (turn === "reached") return REACHED;
    if (turn === "late") return LATE;
    let failed = false;
    try {
      const result = await this.#options.login(credentials);
      failed = result.type === "refused";
      this.#remember(result, name);
      if (failed && account !== undefined) accounts.count(account);
      return result;
    } finally {
      if (turn !== "known") turn(failed);
      else if (failed) {
        this.#known.delete(name);
        this.#failed(client);
      }
    }
  }

  /** Up to the limit only: whoever goes on failing must not keep an address shut for ever. */
  #failed(client: string): boolean {
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
