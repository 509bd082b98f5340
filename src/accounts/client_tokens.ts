// Logins with a token that the client brings: what Graph has made of it, and how long it lasts. The
// relay can neither verify such a token nor get another, so it is a claim until Graph takes it.

import { LRUCache } from "lru-cache";
import type { EntraRefusal } from "../entra/answers.ts";
import { type Claims, CLOCK_SKEW, expired, readClaims, type TokenFault } from "../entra/claims.ts";
import { type AccessToken, rolesOf } from "../entra/token.ts";
import { KeyedHash } from "../keyed_hash.ts";
import { isAddress } from "../message/addresses.ts";
import type { Secret } from "../secret.ts";
import { type Reply, reply } from "../smtp/reply.ts";
import type { NoAccount } from "./accounts.ts";
import { type Delimiter, parseUsername, type Username } from "./username.ts";

export interface BroughtTokensOptions {
  /** What Graph is called in the tokens of this cloud. */
  readonly audiences: ReadonlySet<string>;
  /** Tokens whose verdict is remembered, of each kind; the least recently used is forgotten. */
  readonly capacity?: number;
  /** Milliseconds of Unix time. */
  now?(): number;
}

/**
 * The tokens that clients have brought, by what Graph said to them. What is kept of a token is its
 * {@link KeyedHash}.
 */
export class BroughtTokens {
  readonly #audiences: ReadonlySet<string>;
  readonly #now: () => number;
  readonly #hash = new KeyedHash();
  readonly #capacity: number;
  #verdicts: Record<"proved" | "refused", LRUCache<string, true>> | undefined;

  constructor({ audiences, capacity = 10_000, now = Date.now }: BroughtTokensOptions) {
    this.#audiences = audiences;
    this.#now = now;
    this.#capacity = capacity;
  }

  get #proved(): LRUCache<string, true> {
    return this.#kept.proved;
  }

  /** Apart, so that forged tokens push out no verdict on a good one. */
  get #refused(): LRUCache<string, true> {
    return this.#kept.refused;
  }

  /** Made with the first token: they take their whole room at once, and few relays see one. */
  get #kept() {
    const max = this.#capacity;
    return this.#verdicts ??= { proved: new LRUCache({ max }), refused: new LRUCache({ max }) };
  }

  /** Looks at a token before anything is done with it. Asks nobody. */
  take(token: Secret): BroughtToken | NoAccount {
    const claims = readClaims(token.reveal(), this.#audiences, this.#now());
    if ("code" in claims) return refusedFor(claims);
    const brought = new BroughtToken(this, token, claims, this.#hash.of(token.reveal()));
    return this.#refused.has(brought.key) ? refusedFor(REFUSED) : brought;
  }

  /** @internal */
  get now(): number {
    return this.#now();
  }

  /** @internal */
  isProved(key: string): boolean {
    return this.#proved.get(key) !== undefined;
  }

  /** @internal */
  isRefused(key: string): boolean {
    return this.#refused.get(key) !== undefined;
  }

  /** @internal */
  judge(key: string, good: boolean): void {
    (good ? this.#refused : this.#proved).delete(key);
    (good ? this.#proved : this.#refused).set(key, true);
  }
}

/** One login's token, with what an account needs of it. */
export class BroughtToken {
  readonly tenantId: string;
  readonly clientId: string;
  /** @internal */
  readonly key: string;
  readonly #tokens: BroughtTokens;
  readonly #token: AccessToken;
  /** Milliseconds of Unix time: what the token itself counts by. */
  readonly #end: number;

  constructor(tokens: BroughtTokens, value: Secret, claims: Claims, key: string) {
    this.tenantId = claims.tenantId;
    this.clientId = claims.clientId;
    this.key = key;
    this.#tokens = tokens;
    this.#end = claims.expiresAt;
    const fetchedAt = performance.now();
    const expiresAt = fetchedAt + claims.expiresAt - tokens.now;
    this.#token = { value, fetchedAt, expiresAt, roles: rolesOf(value.reveal()) };
  }

  /**
   * The token that was brought, up to its end. One that Graph has refused is handed out on, so that a
   * delivery which tries again sees that there is no other, and tells what Graph said.
   */
  token(): Promise<EntraRefusal> | AccessToken {
    const fault = this.#expiry();
    if (fault === undefined) return this.#token;
    return Promise.resolve({ type: "later", reply: laterFor(fault), ...fault });
  }

  /** Graph answered 401: it is not good, or not any more. A 403 is about the mailbox. */
  reject(_token: AccessToken, status: number): void {
    if (status === 401) this.#tokens.judge(this.key, false);
  }

  /** Graph took a message with it. */
  confirm(): void {
    this.#tokens.judge(this.key, true);
  }

  /** See `Account.unproved`. */
  unproved(): string | undefined {
    return this.#tokens.isProved(this.key) ? undefined : this.key;
  }

  /** See `Account.ended`. */
  ended(): Reply | undefined {
    const fault = this.#tokens.isRefused(this.key) ? REFUSED : this.#expiry();
    return fault && laterFor(fault);
  }

  #expiry(): TokenFault | undefined {
    return this.#tokens.now < this.#end + CLOCK_SKEW ? undefined : expired(this.#end);
  }
}

const REFUSED: TokenFault = {
  code: "TOKEN_REFUSED",
  detail: "Graph has refused this token: log in with a new one",
};

/**
 * Which account a login with a token is about. A username of the relay's own form must agree with the
 * token; a mail address, or none, leaves it to the token.
 */
export function nameFor(
  username: string,
  { tenantId, clientId }: Pick<BroughtToken, "tenantId" | "clientId">,
  delimiter: Delimiter,
): Exclude<Username, { readonly type: "invalid" }> | NoAccount {
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
    detail: `the username is no mail address, and not one of the relay's own: ${name.problem}`,
  };
}

/** Why an entry of the lookup table is not the token's. */
export function entryMismatch(
  identity: { readonly tenantId: string; readonly clientId: string },
  { tenantId, clientId }: Pick<BroughtToken, "tenantId" | "clientId">,
): NoAccount | undefined {
  if (identity.clientId === clientId && identity.tenantId === tenantId) return undefined;
  // Whose domain it is, only Entra ID knows, and it is not asked.
  if (identity.clientId === clientId && identity.tenantId.includes(".")) {
    return mismatch(
      "the lookup table's entry has a domain as its tenant_id: logins with a token need the " +
        "tenant's id there",
    );
  }
  return mismatch("the lookup table's entry is of another tenant or app than the token");
}

function mismatch(detail: string): NoAccount {
  return refusedFor({ code: "TOKEN_MISMATCH", detail });
}

function refusedFor({ code, detail }: TokenFault): NoAccount {
  return {
    type: "refused",
    reply: reply(535, "5.7.8", `Authentication failed: ${code}: ${detail}`),
    detail: `${code}: ${detail}`,
    code,
  };
}

/** In answer to a message: it may be sent, once the client has logged in again (RFC 4954 §6). */
function laterFor({ code, detail }: TokenFault): Reply {
  return reply(451, "4.7.0", `${code}: ${detail}`);
}
