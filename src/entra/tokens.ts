// The token cache: a login gets a cached token only for the same tenant, client, secret (or credential of the
// relay's own) and scope.

import type { Authorization } from "../accounts/account.ts";
import { BoundedMap } from "../bounded_map.ts";
import { type Clock, realClock } from "../clock.ts";
import { KeyedHash } from "../keyed_hash.ts";
import type { App, AppCredentials, CredentialName } from "./app_credentials.ts";
import type { EntraRefusal } from "./entra_errors.ts";
import { HeldValues } from "./held_values.ts";
import { RememberedRefusals } from "./remembered_refusals.ts";
import { type AccessToken, MAIL_SEND, SMTP_SEND } from "./token.ts";

export interface TokenSourceOptions {
  /**
   * One request to Entra ID.
   *
   * @param scope such as `https://graph.microsoft.com/.default`
   */
  request(credentials: AppCredentials, scope: string): Promise<AccessToken | EntraRefusal>;
  /** Milliseconds that a token is used at most, even if it is valid for longer. */
  readonly maxAge: number;
  /** Tokens remembered at most; the least recently used is forgotten. */
  readonly capacity?: number;
  readonly clock?: Pick<Clock, "now">;
}

/** Milliseconds before its end from which a token is not used any more. */
const RENEW_BEFORE = 300_000;
/** Milliseconds between two requests for a login whose token does not work. */
const RETRY_DOUBTFUL = 60_000;
/** Milliseconds that an app waits at most after a 429 of Entra ID; MSAL has the same. */
const LONGEST_WAIT = 3_600_000;
/** Throttled apps remembered at most. */
const MAX_THROTTLED = 10_000;
/** A token of one service has no role of the other. */
const SENDING = [MAIL_SEND, SMTP_SEND];

/** The token of one login for one scope. */
interface Entry {
  /** The login's key. */
  readonly login: string;
  token?: AccessToken;
  /** The request that is under way, shared by all callers that wait for it. */
  pending?: Promise<AccessToken | EntraRefusal>;
  /** Its roles do not allow sending mail. */
  doubtful: boolean;
  /** The service has refused a request with it: a permission that it lacks may be granted by now. */
  refused: boolean;
  /** When Entra ID was last asked. */
  askedAt: number;
  /** When it was last asked because of a refusal by the service. */
  refetchedAt: number;
}

/** Entra ID's refusal for a throttled app. */
interface Throttled {
  readonly refusal: EntraRefusal;
  /** When it may be asked again. */
  readonly until: number;
}

/**
 * Tokens by login and scope. The key includes the secret, as a {@link KeyedHash}: a caller with another
 * secret finds nothing, and a memory dump gives no secret away.
 */
export class TokenSource {
  readonly #options: TokenSourceOptions;
  readonly #hash = new KeyedHash();
  readonly #entries: BoundedMap<Entry>;
  /** The entry that a token was fetched for. */
  readonly #entryOf = new WeakMap<AccessToken, Entry>();
  readonly #refusals: RememberedRefusals;
  /** By tenant and client: Entra ID throttles these, whatever the secret and the scope. */
  readonly #throttled = new BoundedMap<Throttled>({ max: MAX_THROTTLED });
  readonly #held = new HeldValues<TokenLogin>();
  readonly #clock: Pick<Clock, "now">;

  constructor(options: TokenSourceOptions) {
    this.#options = options;
    this.#clock = options.clock ?? realClock;
    this.#refusals = new RememberedRefusals(this.#clock);
    this.#entries = new BoundedMap({ max: options.capacity ?? 10_000 });
  }

  /** The authorization of one login. */
  login(credentials: AppCredentials): TokenLogin {
    const { tenantId, clientId } = credentials;
    const proof = "credential" in credentials
      ? ["credential", credentials.credential]
      : ["secret", credentials.clientSecret.reveal()];
    return new TokenLogin(this, credentials, this.#hash.of(tenantId, clientId, ...proof));
  }

  /**
   * The login with the same credentials that is held already, if there is one: all sessions of an account
   * hold one, and not a copy of its secret each. Not for the relay's own credentials, with which
   * different devices log in.
   */
  held(login: TokenLogin): TokenLogin {
    return "credential" in login.credentials ? login : login.among(this.#held);
  }

  /** One of the relay's own credentials has been renewed: what Entra ID refused with the old one is asked again. */
  renewed(credential: CredentialName): void {
    this.#refusals.renewed(credential);
  }

  /** @internal @param key of the login */
  get(
    key: string,
    credentials: AppCredentials,
    scope: string,
    mayAskAgain?: () => boolean,
  ): Promise<AccessToken | EntraRefusal> | AccessToken {
    const entry = this.#entries.get(scoped(key, scope));
    const token = entry?.token;
    // Every caller that was refused with the old token gets the new one.
    if (entry?.refused && entry.pending !== undefined) return entry.pending;
    if (entry !== undefined && token !== undefined && this.#fresh(entry, token)) return token;
    if (entry?.pending !== undefined) return entry.pending;
    const refusal = this.#refusals.find([key, scoped(key, scope)], credentials, mayAskAgain);
    if (refusal !== undefined) return Promise.resolve(refusal);
    const throttled = this.#throttledNow(credentials);
    if (throttled !== undefined) {
      return token !== undefined && this.#usable(token) ? token : Promise.resolve(throttled);
    }
    const fetching: Entry = entry ??
      { login: key, doubtful: false, refused: false, askedAt: 0, refetchedAt: -Infinity };
    if (entry === undefined) this.#entries.set(scoped(key, scope), fetching);
    return fetching.pending = this.#fetch(key, fetching, credentials, scope).finally(() => {
      delete fetching.pending;
    });
  }

  /** @internal @param key of the login */
  reject(key: string, token: AccessToken): void {
    const entry = this.#entryOf.get(token);
    if (entry?.login === key && entry.token === token) entry.refused = true;
  }

  /** @internal @param key of the login */
  confirm(key: string, token: AccessToken): void {
    const entry = this.#entryOf.get(token);
    if (entry?.login === key && entry.token === token) entry.doubtful = false;
  }

  /** @internal */
  isUsable(token: AccessToken): boolean {
    return this.#usable(token);
  }

  async #fetch(
    key: string,
    entry: Entry,
    credentials: AppCredentials,
    scope: string,
  ): Promise<AccessToken | EntraRefusal> {
    entry.askedAt = this.#clock.now();
    if (entry.refused) entry.refetchedAt = entry.askedAt;
    const renewals = this.#refusals.renewalsOf(credentials);
    const result = await this.#options.request(credentials, scope);
    if (!("type" in result)) {
      entry.token = result;
      entry.doubtful = !SENDING.some((role) => result.roles.includes(role));
      entry.refused = false;
      this.#entryOf.set(result, entry);
      this.#refusals.delete(key);
      this.#refusals.delete(scoped(key, scope));
      return result;
    }
    const { retryAfter } = result;
    if (retryAfter !== undefined) {
      const until = this.#clock.now() + Math.min(retryAfter, LONGEST_WAIT);
      this.#throttled.set(appOf(credentials), { refusal: result, until });
    }
    // While Entra ID cannot tell, a token that is only doubtful is used.
    const { token } = entry;
    if (result.type === "later" && token !== undefined && this.#usable(token)) return token;
    const name = scoped(key, scope);
    if (this.#entries.peek(name) === entry) this.#entries.delete(name);
    // A temporary failure is not remembered: the next login asks again.
    if (result.type === "refused" || result.credential !== undefined) {
      this.#refusals.add(result.ofScope ? name : key, result, renewals);
    }
    return result;
  }

  /** The refusal of a throttled app, until its Retry-After is over. */
  #throttledNow(credentials: AppCredentials): EntraRefusal | undefined {
    const found = this.#throttled.get(appOf(credentials));
    if (found === undefined) return undefined;
    const left = found.until - this.#clock.now();
    if (left <= 0) return undefined;
    const { detail } = found.refusal;
    const seconds = Math.ceil(left / 1000);
    return {
      ...found.refusal,
      detail: `${detail} (remembered: Entra ID is asked again in ${seconds} s, as it has asked)`,
    };
  }

  /** Whether a token is to be used without asking Entra ID. */
  #fresh({ doubtful, refused, askedAt, refetchedAt }: Entry, token: AccessToken): boolean {
    if (!this.#usable(token)) return false;
    const now = this.#clock.now();
    if (refused && now - refetchedAt >= RETRY_DOUBTFUL) return false;
    return !doubtful || now - askedAt < RETRY_DOUBTFUL;
  }

  #usable(token: AccessToken): boolean {
    const now = this.#clock.now();
    if (now - token.fetchedAt >= this.#options.maxAge) return false;
    // Short-lived tokens (tests, unusual policies) are renewed half-way.
    const margin = Math.min(RENEW_BEFORE, (token.expiresAt - token.fetchedAt) / 2);
    return now < token.expiresAt - margin;
  }
}

function scoped(key: string, scope: string): string {
  return `${key} ${scope}`;
}

function appOf({ tenantId, clientId }: App): string {
  return `${tenantId} ${clientId}`;
}

/** One login's access to its tokens. Once it has one, Entra ID has verified its secret. */
export class TokenLogin implements Authorization {
  readonly #source: TokenSource;
  readonly #credentials: AppCredentials;
  readonly #key: string;
  #token: AccessToken | undefined;

  constructor(source: TokenSource, credentials: AppCredentials, key: string) {
    this.#source = source;
    this.#credentials = credentials;
    this.#key = key;
  }

  /** What it logs in with. */
  get credentials(): AppCredentials {
    return this.#credentials;
  }

  /** Whether Entra ID has verified it lately: it got a token that still may be used. */
  get isVerified(): boolean {
    return this.#token !== undefined && this.#source.isUsable(this.#token);
  }

  /**
   * A token that may be used now, fetched if there is none.
   *
   * @param mayAskAgain whether Entra ID may be asked again about a secret that it has refused, once the
   *   time is over in which it is not asked; left out, it may
   */
  token(
    scope: string,
    mayAskAgain?: () => boolean,
  ): Promise<AccessToken | EntraRefusal> | AccessToken {
    const result = this.#source.get(this.#key, this.#credentials, scope, mayAskAgain);
    return result instanceof Promise
      ? result.then((token) => this.#seen(token))
      : this.#seen(result);
  }

  /**
   * Drops the token, so that a new one is requested at once: it may have been revoked, or a permission
   * granted since. Refusals of the new one lead to one request a minute at most, so that a missing
   * permission does not get the tenant throttled.
   */
  reject(token: AccessToken): void {
    this.#source.reject(this.#key, token);
  }

  /**
   * The token works, even without the role. It may still lack a right that the service refused
   * before: for another mailbox, or for large messages.
   */
  confirm(token: AccessToken): void {
    this.#source.confirm(this.#key, token);
  }

  /**
   * @internal The one of those that are held which has the same credentials, or this one. Entra ID has
   * verified this one just now.
   */
  among(held: HeldValues<TokenLogin>): TokenLogin {
    const one = held.of(this.#key, this);
    one.#token = this.#token;
    return one;
  }

  unverified(): undefined {
    return undefined;
  }

  expiry(): undefined {
    return undefined;
  }

  #seen<T extends AccessToken | EntraRefusal>(result: T): T {
    if (!("type" in result)) this.#token = result;
    return result;
  }
}
