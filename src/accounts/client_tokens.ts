// Logins with a token of the client's own: whether Graph has accepted it, and how long it is valid.
// The relay can neither verify such a token nor get another one, so it is a claim until Graph
// accepts it.

import { BoundedMap } from "../bounded_map.ts";
import { type Clock, realClock } from "../clock.ts";
import {
  type Claims,
  CLOCK_SKEW,
  expired,
  readClaims,
  type TokenFault,
  wrongAudience,
} from "../entra/claims.ts";
import type { EntraRefusal } from "../entra/entra_errors.ts";
import { type AccessToken, rolesOf } from "../entra/token.ts";
import { KeyedHash } from "../keyed_hash.ts";
import { isAddress } from "../message/addresses.ts";
import type { Secret } from "../secret.ts";
import { type Reply, reply } from "../smtp/reply.ts";
import type { Authorization, LoginFailure } from "./account.ts";
import { type Delimiter, parseUsername, type Username } from "./username.ts";

export interface ClientTokensOptions {
  /** The names of Graph in the tokens of this cloud. */
  readonly audiences: ReadonlySet<string>;
  /** Of which a user's token must have one; Graph's when left out. */
  readonly scopes?: readonly string[];
  /** Tokens remembered at most, verified and refused ones each. */
  readonly capacity?: number;
  readonly clock?: Pick<Clock, "now" | "date">;
}

/**
 * Whether Graph has accepted the tokens that clients have logged in with. Only the {@link
 * KeyedHash} of a token is kept.
 */
export class ClientTokens {
  readonly #audiences: ReadonlySet<string>;
  readonly #scopes: readonly string[] | undefined;
  readonly #clock: Pick<Clock, "now" | "date">;
  readonly #hash = new KeyedHash();
  readonly #verified: BoundedMap<true>;
  /** Separate, so that forged tokens do not push out verified ones. */
  readonly #refused: BoundedMap<true>;

  constructor(options: ClientTokensOptions) {
    const { audiences, scopes, capacity: max = 10_000, clock = realClock } = options;
    this.#audiences = audiences;
    this.#scopes = scopes;
    this.#clock = clock;
    this.#verified = new BoundedMap({ max });
    this.#refused = new BoundedMap({ max });
  }

  /** Makes all checks of a token that need no service. */
  accept(token: Secret): ClientToken | LoginFailure {
    const claims = readClaims(token.reveal(), this.#audiences, this.#clock.date(), this.#scopes);
    if ("code" in claims) return refusedFor(claims);
    const key = this.#hash.of(token.reveal());
    if (this.#refused.has(key)) return refusedFor(REFUSED);
    return new ClientToken(this, token, claims, key);
  }

  /** @internal */
  get clock(): Pick<Clock, "now" | "date"> {
    return this.#clock;
  }

  /** @internal @param scope `<audience>/.default` */
  areFor(scope: string): boolean {
    return scope.endsWith(DEFAULT) && this.#audiences.has(scope.slice(0, -DEFAULT.length));
  }

  /** @internal */
  isVerified(key: string): boolean {
    return this.#verified.get(key) !== undefined;
  }

  /** @internal */
  isRefused(key: string): boolean {
    return this.#refused.get(key) !== undefined;
  }

  /** @internal Graph has accepted or refused the token. */
  judge(key: string, good: boolean): void {
    (good ? this.#refused : this.#verified).delete(key);
    (good ? this.#verified : this.#refused).set(key, true);
  }
}

const DEFAULT = "/.default";

/** The token of one login. */
export class ClientToken implements Authorization {
  readonly tenantId: string;
  readonly clientId: string;
  readonly #key: string;
  readonly #tokens: ClientTokens;
  readonly #token: AccessToken;
  /** Milliseconds of Unix time, by which the token itself counts. */
  readonly #end: number;

  constructor(tokens: ClientTokens, value: Secret, claims: Claims, key: string) {
    this.tenantId = claims.tenantId;
    this.clientId = claims.clientId;
    this.#key = key;
    this.#tokens = tokens;
    this.#end = claims.expiresAt;
    const { clock } = tokens;
    const fetchedAt = clock.now();
    const expiresAt = fetchedAt + claims.expiresAt - clock.date();
    this.#token = { value, fetchedAt, expiresAt, roles: rolesOf(value.reveal()) };
  }

  /**
   * The client's token until it expires, only for Graph. A token that Graph has refused is still
   * returned: a delivery that tries again then sees that there is no other, and reports Graph's
   * refusal.
   */
  token(scope: string): Promise<EntraRefusal> | AccessToken {
    const fault = this.#tokens.areFor(scope) ? this.#expiryFault() : wrongAudience(scope);
    if (fault === undefined) return this.#token;
    return Promise.resolve({ type: "later", reply: laterFor(fault), ...fault });
  }

  /** Only a 401 means that the token is not valid. A 403 concerns the mailbox. */
  reject(_token: AccessToken, status: number): void {
    if (status === 401) this.#tokens.judge(this.#key, false);
  }

  confirm(): void {
    this.#tokens.judge(this.#key, true);
  }

  unverified(): string | undefined {
    return this.#tokens.isVerified(this.#key) ? undefined : this.#key;
  }

  expiry(): Reply | undefined {
    const fault = this.#tokens.isRefused(this.#key) ? REFUSED : this.#expiryFault();
    return fault && laterFor(fault);
  }

  #expiryFault(): TokenFault | undefined {
    return this.#tokens.clock.date() < this.#end + CLOCK_SKEW ? undefined : expired(this.#end);
  }
}

const REFUSED: TokenFault = {
  code: "TOKEN_REFUSED",
  detail: "Graph has refused this token: log in with a new one",
};

/**
 * The name of the account that a client with a token logs in to. A username in a form of the relay's own
 * must agree with the token; with a mail address or an empty username, the token decides.
 */
export function nameFor(
  username: string,
  { tenantId, clientId }: Pick<ClientToken, "tenantId" | "clientId">,
  delimiter: Delimiter,
): Exclude<Username, { readonly type: "invalid" }> | LoginFailure {
  const itself = { type: "direct", tenantId, clientId } as const;
  if (username === "") return itself;
  const name = parseUsername(username, delimiter);
  if (name.type === "lookup") return name;
  if (name.type === "direct") {
    const same = name.tenantId === tenantId && name.clientId === clientId;
    return same ? name : mismatch("the username is of another tenant or app than the token");
  }
  if (isAddress(username)) return itself;
  return {
    type: "refused",
    reply: reply(
      535,
      "5.7.8",
      "The username is neither a mail address nor one of the relay's forms",
    ),
    detail: `the username is neither a mail address nor one of the relay's forms: ${name.problem}`,
  };
}

/** Why the token is not for the app of the lookup's entry; undefined if it is. */
export function entryMismatch(
  identity: { readonly tenantId: string; readonly clientId: string },
  { tenantId, clientId }: Pick<ClientToken, "tenantId" | "clientId">,
): LoginFailure | undefined {
  if (identity.clientId === clientId && identity.tenantId === tenantId) return undefined;
  // Only Entra ID knows which tenant a domain belongs to, and it is not asked.
  if (identity.clientId === clientId && identity.tenantId.includes(".")) {
    return mismatch(
      "the lookup's entry has a domain as its tenant_id: logins with a token need the " +
        "tenant's id there",
    );
  }
  return mismatch("the lookup's entry is of another tenant or app than the token");
}

function mismatch(detail: string): LoginFailure {
  return refusedFor({ code: "TOKEN_MISMATCH", detail });
}

function refusedFor({ code, detail }: TokenFault): LoginFailure {
  return {
    type: "refused",
    reply: reply(535, "5.7.8", `Authentication failed: ${code}: ${detail}`),
    detail: `${code}: ${detail}`,
    code,
  };
}

/** The reply to a message, which can be sent once the client has logged in again (RFC 4954 §6). */
function laterFor({ code, detail }: TokenFault): Reply {
  return reply(451, "4.7.0", `${code}: ${detail}`);
}
