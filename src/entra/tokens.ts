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

  /** A handle for one login, so that its key is made once. */
  login(credentials: ClientCredentials): TokenLogin {
    return new TokenLogin(this, credentials, this.#keyOf(credentials));
  }

  /** @internal */
  get(
    key: string,
    credentials: ClientCredentials,
  ): Promise<AccessToken | EntraRefusal> | AccessToken {
    const entry = this.#entries.get(key);
    if (entry?.token !== undefined && this.#fresh(entry, entry.token)) return entry.token;
    if (entry?.pending !== undefined) return entry.pending;
    const refusal = this.#remembered(key);
    if (refusal !== undefined) return Promise.resolve(refusal);
    const fetching: Entry = entry ?? { doubtful: false, refused: false, askedAt: 0 };
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
    const result = await this.#options.request(credentials);
    if (!("type" in result)) {
      entry.token = result;
      entry.doubtful = !result.roles.includes(MAIL_SEND);
      entry.refused = false;
      return result;
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
  #remembered(key: string): EntraRefusal | undefined {
    const found = this.#refusals.get(key);
    if (found === undefined) return undefined;
    const age = this.#now() - found.at;
    if (age >= REMEMBER_REFUSAL) {
      this.#refusals.delete(key);
      return undefined;
    }
    const seconds = Math.round(age / 1000);
    const { detail } = found.refusal;
    return {
      ...found.refusal,
      detail: `${detail} (remembered: Entra ID said so ${seconds} s ago and was not asked again)`,
    };
  }

  /** Whether a token is to be used without asking Entra. */
  #fresh({ doubtful, refused, askedAt }: Entry, token: AccessToken): boolean {
    if (!this.#usable(token)) return false;
    return !(doubtful || refused) || this.#now() - askedAt < RETRY_DOUBTFUL;
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

  /** A token that may be used now, fetched when there is none. */
  token(): Promise<AccessToken | EntraRefusal> | AccessToken {
    return this.#source.get(this.#key, this.#credentials);
  }

  /**
   * Graph answered 401 or 403: the token is dropped. A new one is asked for at most once a minute,
   * so that neither a missing permission throttles the tenant nor an administrator who has just
   * granted it waits for the old token's end.
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
