// Protection against guessed passwords (AUTH_RATE_LIMIT): a limit of failed logins per address, and
// a growing delay for an account that is tried from many addresses. Credentials that have worked
// always pass.
//
// After Docker's proxy or a load balancer all clients share an address, and one of them has an old
// password. So credentials that worked are remembered, and failed logins are counted by address only up to
// the limit: a login that is rejected because of the limit does not prolong it. Credentials that were
// refused are remembered, too: to try the same again is not to guess.

import type { Authorization, LoginContext, LoginResult } from "../accounts/account.ts";
import { BoundedMap } from "../bounded_map.ts";
import type { Clock } from "../clock.ts";
import type { Steps } from "../delivery/steps.ts";
import { KeyedHash } from "../keyed_hash.ts";
import { clientKey } from "../networks.ts";
import type { Secret } from "../secret.ts";
import { REPLIES, type Reply, reply } from "../smtp/reply.ts";
import { type Credentials, secretIn } from "../smtp/sasl.ts";
import { UnverifiedLoginQueue } from "./unverified_login_queue.ts";
import { type Rate, RateLimit } from "./rate_limit.ts";
import { RefusedCredentials } from "./refused_credentials.ts";

export interface LoginGuardOptions {
  /** AUTH_RATE_LIMIT. */
  readonly rate: Rate | "off";
  /** A name for the account, the same for all spellings of a username; undefined for a malformed one. */
  accountOf(username: string): string | undefined;
  /** The login itself. */
  login(credentials: Credentials, context: LoginContext): Promise<LoginResult>;
  readonly clock: Pick<Clock, "now" | "alarm">;
}

/** A login that was rejected without checking its credentials. */
export interface LimitedLogin {
  readonly type: "limited";
  readonly reply: Reply;
  /** What happened, for the log. */
  readonly what: string;
}

/**
 * Milliseconds that credentials pass unhindered after they have worked. More than the hour that is
 * promised, because some devices send one report a day.
 */
export const KNOWN_FOR = 25 * 3_600_000;
/** Only credentials that got a token from Entra ID are remembered, so guesses cannot fill it. */
const MAX_KNOWN = 20_000;

/**
 * Refused credentials that are remembered for an address, as a multiple of the failed logins that it
 * may have: so many devices with old passwords do the others there no harm. As often in the same time
 * they are checked again.
 */
const REPEATS = 10;
/** Remembered for one address at most, so that it does not push out those of others. */
const MAX_REFUSED = 1000;

/** Failed logins of one account in the window, from all addresses, after which none is delayed yet. */
const FREE_FAILURES = 5;
/** Milliseconds before the next ones are checked; the last one is for all that follow. */
const DELAYS = [250, 500, 1000, 2000];

export class LoginGuard {
  readonly #options: LoginGuardOptions;
  readonly #hash = new KeyedHash();
  /** Credentials that have worked. */
  readonly #known: BoundedMap<true>;
  readonly #limits: Limits | undefined;
  /** The credentials of logins that no service has verified yet. */
  readonly #unverified = new WeakMap<Authorization, string>();
  #stopping = false;
  /** Ends a delay. */
  readonly #delayed = new Set<() => void>();

  constructor(options: LoginGuardOptions) {
    this.#options = options;
    const { rate, clock } = options;
    this.#known = new BoundedMap({ max: MAX_KNOWN, lifetime: KNOWN_FOR, clock });
    if (rate === "off") return;
    const addresses = new RateLimit({ rate, clock });
    const repeats = { most: rate.most * REPEATS, window: rate.window };
    const refused = new RefusedCredentials({ most: Math.min(repeats.most, MAX_REFUSED) });
    this.#limits = {
      addresses,
      refused,
      repeats: new RateLimit({ rate: repeats, clock }),
      questions: new RateLimit({ rate, clock }),
      accounts: new RateLimit({ rate: { most: Infinity, window: rate.window }, clock }),
      queue: new UnverifiedLoginQueue(addresses, (client, name) => {
        if (this.#known.has(name)) return "right";
        return refused.has(client, name) ? "refused" : undefined;
      }, clock),
    };
  }

  /**
   * @param address the client's, as `plainAddress` gives it
   * @param steps where the login notes what takes time
   */
  async login(
    credentials: Credentials,
    address: string,
    steps?: Steps,
  ): Promise<LoginResult | LimitedLogin> {
    const limits = this.#limits;
    const client = clientKey(address);
    const login = (more: LoginContext = {}) =>
      this.#options.login(credentials, { client, steps, ...more });
    if (limits === undefined) return await login();
    const account = this.#options.accountOf(credentials.username);
    const guess = { account, name: this.#nameOf(credentials, account), client };
    if (!this.#known.has(guess.name)) return await this.#guess(login, guess, limits);
    const result = await login();
    if (this.#judge(result, guess, limits)) this.#count(client);
    return result;
  }

  /**
   * A login of this address has failed before its credentials could be read.
   *
   * @param octets the attempt, if known: the same again does not count as a failed login
   * @returns whether the address was below its limit
   */
  failed(address: string, octets?: Secret): boolean {
    const name = octets && this.#hash.of("octets", octets.reveal());
    return this.#failed(clientKey(address), name);
  }

  /** The mail service has refused this client's token: the login was a guess of this address. */
  disproved(authorization: Authorization, address: string): void {
    this.#failed(clientKey(address), this.#unverified.get(authorization));
  }

  /** Ends all waits: the relay is stopping. */
  stop(): void {
    this.#stopping = true;
    this.#limits?.queue.stop();
    for (const go of [...this.#delayed]) go();
  }

  async #guess(
    login: (more: LoginContext) => Promise<LoginResult>,
    guess: Guess,
    limits: Limits,
  ): Promise<LoginResult | LimitedLogin> {
    const { addresses, accounts, refused, repeats, questions, queue } = limits;
    const { account, name, client } = guess;
    if (addresses.reached(client)) return REACHED;
    // The delay comes before the check: a delay that only followed a refusal would tell by its beginning
    // that the credentials are wrong.
    if (account !== undefined && !refused.has(client, name)) {
      await this.#delay(accounts.used(account));
    }
    const queued = await queue.acquire(client, name);
    if (queued === "reached") return REACHED;
    if (queued === "timeout") return LATE;
    if (queued === "refused" && !take(repeats, client)) return AGAIN;
    let failed = false;
    try {
      const result = await login({ mayAskAgain: () => take(questions, client) });
      failed = this.#judge(result, guess, limits);
      if (failed && account !== undefined) accounts.count(account);
      return result;
    } finally {
      if (typeof queued === "function") queued(failed);
      else if (failed) this.#count(client);
    }
  }

  /**
   * Remembers whether the credentials have worked. A token that Graph has not accepted yet proves nothing:
   * anybody can write one.
   *
   * @returns whether it is a failed login: not where the credentials were refused before
   */
  #judge(result: LoginResult, { name, client }: Guess, { refused }: Limits): boolean {
    if (result.type === "refused") {
      this.#known.delete(name);
      return refused.add(client, name);
    }
    if (result.type !== "account") {
      // What fails is the relay's own login for the device, which has proved its password.
      if (result.isPasswordRight) this.#remember(name, client);
      return false;
    }
    const { authorization } = result;
    if (authorization.unverified() === undefined) this.#remember(name, client);
    else this.#unverified.set(authorization, name);
    return false;
  }

  #remember(name: string, client: string): void {
    this.#known.set(name, true);
    this.#limits?.refused.delete(client, name);
  }

  #failed(client: string, name: string | undefined): boolean {
    const limits = this.#limits;
    if (limits === undefined) return true;
    const again = name !== undefined && !limits.refused.add(client, name);
    return again ? !limits.addresses.reached(client) : this.#count(client);
  }

  /** Only up to the limit: a client that goes on failing must not block its address for ever. */
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
   * A name for the credentials, the same for all spellings of one username. A malformed username names no
   * account; a token itself says which account it is for.
   */
  #nameOf(credentials: Credentials, account: string | undefined): string {
    const secret = secretIn(credentials).reveal();
    return "token" in credentials
      ? this.#hash.of("token", account ?? "", secret)
      : this.#hash.of("password", account ?? `none ${credentials.username}`, secret);
  }
}

interface Limits {
  /** Failed logins by address. */
  readonly addresses: RateLimit;
  readonly refused: RefusedCredentials;
  /** Checks of credentials that were refused before, by address. */
  readonly repeats: RateLimit;
  /** The requests to Entra ID that these cost: no more than new guesses would cost. */
  readonly questions: RateLimit;
  /** Failed logins by account: they are counted, for the delay, and not limited. */
  readonly accounts: RateLimit;
  readonly queue: UnverifiedLoginQueue;
}

interface Guess {
  readonly account: string | undefined;
  /** A name for the credentials. */
  readonly name: string;
  /** The key of its address, which has the limit. */
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
  what: "Login rejected without checking: too many failed logins from this address",
};

const LATE: LimitedLogin = {
  type: "limited",
  reply: reply(454, "4.7.0", "Too many logins from this address at once; try again"),
  what: "Login deferred without checking: too many logins from this address at once",
};

const AGAIN: LimitedLogin = {
  type: "limited",
  reply: reply(535, "5.7.8", "Refused before, and tried too often to be checked again now"),
  what: "Login rejected without checking: credentials that were refused before are tried too often",
};
