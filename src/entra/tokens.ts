// The token cache: who may be served a token that has been fetched before.

import { LRUCache } from "lru-cache";
import { KeyedHash } from "../keyed_hash.ts";
import type { Secret } from "../secret.ts";
import type { EntraRefusal } from "./answers.ts";
import { type AccessToken, MAIL_SEND } from "./token.ts";

export interface ClientCredentials {
  /** UUID in lower case, or a domain of the tenant. */
  readonly tenantId: string;
  /** UUID in lower case. */
  readonly clientId: string;
  readonly clientSecret: Secret;
}

export interface TokenSourceOptions {
  /** One request to Entra ID. */
  request(credentials: ClientCredentials): Promise<AccessToken | EntraRefusal>;
  /** Milliseconds that a token is used at most, whatever its own lifetime. */
  readonly maxAge: number;
  /** Logins remembered at most; the least recently used is forgotten. */
  readonly capacity?: number;
  now?(): number;
}

/** Milliseconds before its end from which a token is not used any more. */
const RENEW_BEFORE = 300_000;
/** Milliseconds between two requests for a login whose token does not work. */
const RETRY_DOUBTFUL = 60_000;
/** Milliseconds that an account waits at most after a 429 of Entra ID; MSAL has the same. */
const LONGEST_WAIT = 3_600_000;
/** Accounts that wait, remembered at most. */
const MAX_WAITING = 10_000;
/**
 * Milliseconds that a refused login is not asked about again. A device with an old password that tries
 * in a loop would else get its tenant throttled (AADSTS90055), with all devices in it. No longer,
 * because a new secret takes a moment to reach all of Entra ID, and whoever has just made it waits.
 */
const REMEMBER_REFUSAL = 30_000;
/** Refused logins remembered at most: apart from tokens, so that guesses push none of these out. */
const MAX_REFUSALS = 10_000;

interface Entry {
  token?: AccessToken;
  /** The request that is under way, shared by all who wait for it. */
  pending?: Promise<AccessToken | EntraRefusal>;
  /** It may not send mail as far as its roles tell. */
  doubtful: boolean;
  /** Graph has refused something with it: a permission may be on its way that it does not have. */
  refused: boolean;
  /** When Entra was last asked, as `now` tells. */
  askedAt: number;
  /** The same because of a refusal by Graph. */
  refetchedAt: number;
}

/** What Entra ID has said to an account that it throttles. */
interface Throttled {
  readonly refusal: EntraRefusal;
  /** When it may be asked again. */
  readonly until: number;
}

/**
 * Tokens by login. The key holds the secret too, as a {@link KeyedHash}: a caller with another secret
 * finds nothing, and a memory dump gives no secret away.
 */
export class TokenSource {
  readonly #options: TokenSourceOptions;
  readonly #hash = new KeyedHash();
  readonly #entries: LRUCache<string, Entry>;
  #refused: LRUCache<string, { readonly refusal: EntraRefusal; readonly at: number }> | undefined;
  #waiting: LRUCache<string, Throttled> | undefined;
  readonly #now: () => number;

  constructor(options: TokenSourceOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#entries = new LRUCache({ max: options.capacity ?? 10_000 });
  }

  /** Made with the first login: it takes its whole room at once, and the start waits. */
  get #refusals() {
    return this.#refused ??= new LRUCache({ max: MAX_REFUSALS });
  }

  /** By tenant and client: it is these that Entra ID throttles, whatever secret comes with them. */
  get #throttled() {
    return this.#waiting ??= new LRUCache({ max: MAX_WAITING });
  }

  /** A handle for one login, so that its key is made once. */
  login(credentials: ClientCredentials): TokenLogin {
    return new TokenLogin(this, credentials, this.#keyOf(credentials));
  }

  /** @internal */
  get(
    key: string,
    credentials: ClientCredentials,
    mayAskAgain?: () => boolean,
  ): Promise<AccessToken | EntraRefusal> | AccessToken {
    const entry = this.#entries.get(key);
    const token = entry?.token;
    // Whoever else was refused with the old one gets the new one, too.
    if (entry?.refused && entry.pending !== undefined) return entry.pending;
    if (entry !== undefined && token !== undefined && this.#fresh(entry, token)) return token;
    if (entry?.pending !== undefined) return entry.pending;
    const refusal = this.#remembered(key, mayAskAgain);
    if (refusal !== undefined) return Promise.resolve(refusal);
    const throttled = this.#throttledNow(credentials);
    if (throttled !== undefined) {
      return token !== undefined && this.#usable(token) ? token : Promise.resolve(throttled);
    }
    const fetching: Entry = entry ??
      { doubtful: false, refused: false, askedAt: 0, refetchedAt: -Infinity };
    if (entry === undefined) this.#entries.set(key, fetching);
    return fetching.pending = this.#fetch(key, fetching, credentials).finally(() => {
      delete fetching.pending;
    });
  }

  /** @internal */
  reject(key: string, token: AccessToken): void {
    const entry = this.#entries.get(key);
    if (entry?.token === token) entry.refused = true;
  }

  /** @internal */
  confirm(key: string, token: AccessToken): void {
    const entry = this.#entries.get(key);
    if (entry?.token === token) entry.doubtful = false;
  }

  async #fetch(
    key: string,
    entry: Entry,
    credentials: ClientCredentials,
  ): Promise<AccessToken | EntraRefusal> {
    entry.askedAt = this.#now();
    if (entry.refused) entry.refetchedAt = entry.askedAt;
    const result = await this.#options.request(credentials);
    if (!("type" in result)) {
      entry.token = result;
      entry.doubtful = !result.roles.includes(MAIL_SEND);
      entry.refused = false;
      this.#refused?.delete(key);
      return result;
    }
    const { retryAfter } = result;
    if (retryAfter !== undefined) {
      const until = this.#now() + Math.min(retryAfter, LONGEST_WAIT);
      this.#throttled.set(accountOf(credentials), { refusal: result, until });
    }
    // While Entra cannot say, a token that is only doubtful has to do.
    const { token } = entry;
    if (result.type === "later" && token !== undefined && this.#usable(token)) return token;
    if (this.#entries.get(key) === entry) this.#entries.delete(key);
    // Trouble is not kept: the next login asks again.
    if (result.type === "refused") this.#refusals.set(key, { refusal: result, at: this.#now() });
    return result;
  }

  /** What Entra has said a moment ago to these very credentials, and would say again. */
  #remembered(key: string, mayAskAgain?: () => boolean): EntraRefusal | undefined {
    const found = this.#refused?.get(key);
    if (found === undefined) return undefined;
    const age = this.#now() - found.at;
    if (age >= REMEMBER_REFUSAL && (mayAskAgain?.() ?? true)) return undefined;
    const seconds = Math.round(age / 1000);
    const { detail } = found.refusal;
    return {
      ...found.refusal,
      detail: `${detail} (remembered: Entra ID said so ${seconds} s ago and was not asked again)`,
    };
  }

  /** What Entra has said to this account, if it has asked to wait, and that is not over. */
  #throttledNow(credentials: ClientCredentials): EntraRefusal | undefined {
    const found = this.#waiting?.get(accountOf(credentials));
    if (found === undefined) return undefined;
    const left = found.until - this.#now();
    if (left <= 0) return undefined;
    const { detail } = found.refusal;
    const seconds = Math.ceil(left / 1000);
    return {
      ...found.refusal,
      detail: `${detail} (remembered: Entra ID is asked again in ${seconds} s, as it wants)`,
    };
  }

  /** Whether a token is to be used without asking Entra. */
  #fresh({ doubtful, refused, askedAt, refetchedAt }: Entry, token: AccessToken): boolean {
    if (!this.#usable(token)) return false;
    const now = this.#now();
    if (refused && now - refetchedAt >= RETRY_DOUBTFUL) return false;
    return !doubtful || now - askedAt < RETRY_DOUBTFUL;
  }

  #usable(token: AccessToken): boolean {
    const now = this.#now();
    if (now - token.fetchedAt >= this.#options.maxAge) return false;
    // Short-lived tokens (tests, odd policies) are renewed half-way.
    const margin = Math.min(RENEW_BEFORE, (token.expiresAt - token.fetchedAt) / 2);
    return now < token.expiresAt - margin;
  }

  #keyOf({ tenantId, clientId, clientSecret }: ClientCredentials): string {
    return this.#hash.of(tenantId, clientId, clientSecret.reveal());
  }
}

function accountOf({ tenantId, clientId }: ClientCredentials): string {
  return `${tenantId} ${clientId}`;
}

/** One login's way to its token. */
export class TokenLogin {
  readonly #source: TokenSource;
  readonly #credentials: ClientCredentials;
  readonly #key: string;

  constructor(source: TokenSource, credentials: ClientCredentials, key: string) {
    this.#source = source;
    this.#credentials = credentials;
    this.#key = key;
  }

  /**
   * A token that may be used now, fetched when there is none.
   *
   * @param mayAskAgain whether Entra may be asked again about a secret that it has refused, once the
   *   time is over in which it is not; it may be when left out
   */
  token(mayAskAgain?: () => boolean): Promise<AccessToken | EntraRefusal> | AccessToken {
    return this.#source.get(this.#key, this.#credentials, mayAskAgain);
  }

  /**
   * Graph answered 401 or 403: the token is dropped, and a new one asked for at once. It may have been
   * revoked, or a permission granted since. Refusals of the new one lead to a request once a minute at
   * most, so that a missing permission does not get the tenant throttled.
   */
  reject(token: AccessToken): void {
    this.#source.reject(this.#key, token);
  }

  /**
   * Graph took a message with it: it is good, whatever its roles say. What Graph has refused it once
   * (another mailbox, or large messages) it may still lack.
   */
  confirm(token: AccessToken): void {
    this.#source.confirm(this.#key, token);
  }
}
