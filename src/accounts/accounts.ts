// From credentials to an account: the username's form, the lookup table, then a token, which proves the
// secret. A client may also log in with a token of its own: see client_tokens.ts.

import type { Steps } from "../delivery/steps.ts";
import type { ClientCredentials } from "../entra/app_credentials.ts";
import type { TokenSource } from "../entra/tokens.ts";
import { REPLIES, reply, replyText } from "../smtp/reply.ts";
import type { Credentials } from "../smtp/sasl.ts";
import type { TokenCredentials } from "../smtp/sasl_bearer.ts";
import type { Account, Authorization, LoginFailure, LoginResult } from "./account.ts";
import type { BackendNames } from "../backend_name.ts";
import { type ClientTokens, entryMismatch, nameFor } from "./client_tokens.ts";
import type { Entries, EntryResult } from "./entries.ts";
import type { Entry } from "./entry.ts";
import { isDomain } from "./username.ts";
import { type Delimiter, parseUsername, type Username } from "./username.ts";

export interface AccountsOptions {
  readonly delimiter: Delimiter;
  readonly tokens: TokenSource;
  /** The mail service's scope: a login with a password is a request for a token of this scope. */
  readonly scope: string;
  /** The scope for an entry that names its own mail services; `scope` when left out. */
  readonly scopeOf?: (backends: BackendNames) => string;
  /** For clients that log in with a token; required where a mechanism for that is enabled. */
  readonly clientTokens?: ClientTokens;
  /** The lookup table. */
  readonly entries?: Entries;
  /** Logins by tenant and client require an entry, too. */
  readonly entryNeeded?: boolean;
  /** Credentials that may log in while Entra ID does not answer. */
  readonly known?: KnownCredentials;
  /** ALLOWED_TENANTS, as `parseTenant` writes them. */
  readonly allowedTenants?: ReadonlySet<string>;
}

/** Remembers credentials that Entra ID has verified. */
export interface KnownCredentials {
  /** Entra ID has verified them. Never fails. */
  succeeded(credentials: ClientCredentials): Promise<void>;
  /** Entra ID has refused them: they are forgotten. Never fails. */
  refused(credentials: ClientCredentials): Promise<void>;
  /** Whether they may log in without Entra ID. */
  isKnown(credentials: ClientCredentials): Promise<boolean>;
}

type Name = Exclude<Username, { readonly type: "invalid" }>;

/** The app that a token is requested for, and the entry that names it. */
interface Identity {
  readonly tenantId: string;
  readonly clientId: string;
  readonly entry: Entry | undefined;
}

export class Accounts {
  readonly #options: AccountsOptions;

  constructor(options: AccountsOptions) {
    this.#options = options;
  }

  /**
   * @param mayAskAgain whether Entra ID may be asked again about credentials that it has refused
   * @param steps where it notes what takes time
   */
  async login(
    credentials: Credentials,
    mayAskAgain?: () => boolean,
    steps?: Steps,
  ): Promise<LoginResult> {
    if ("token" in credentials) return await this.#loginWithToken(credentials);
    const { tokens, delimiter, entries, known } = this.#options;
    const { username, password } = credentials;
    const name = parseUsername(username, delimiter);
    if (name.type === "invalid") return refused(name.problem);
    if (password.reveal() === "") return refused("the password is empty");
    const identity = await this.#identify(name);
    if ("reply" in identity) return identity;
    const { tenantId, clientId } = identity;
    const scope = this.#scopeOf(identity);
    const checked = { tenantId, clientId, clientSecret: password };
    const authorization = tokens.login(checked);
    const pending = authorization.token(scope, mayAskAgain);
    const asked = pending instanceof Promise ? steps?.begin("token") : undefined;
    const token = await pending;
    asked?.("type" in token ? token.code : undefined);
    if ("type" in token) {
      const { type, reply, code } = token;
      if (type === "later" && await known?.isKnown(checked)) {
        return loggedIn(name, identity, authorization);
      }
      // The secret may be right, and the entry may name the wrong app.
      if (type === "refused") {
        entries?.doubt(name);
        void known?.refused(checked);
      }
      return { type, reply, detail: `${code}: ${token.detail}`, code };
    }
    void known?.succeeded(checked);
    return loggedIn(name, identity, authorization);
  }

  /**
   * The account as its entry in the lookup table is now: a session may last for days, and an entry that
   * is disabled meanwhile must count within a minute. A queued message may have come under other settings:
   * ALLOWED_TENANTS counts again, and AZURE_TABLES_FORCE_USAGE.
   *
   * @returns if the account no longer exists, a failure whose reply answers a message, not AUTH
   */
  async refresh(account: Account): Promise<Account | LoginFailure> {
    const { tenantId, clientId, entry } = account;
    const name: Name = entry?.foundBy === "id"
      ? { type: "lookup", id: entry.id }
      : { type: "direct", tenantId, clientId };
    const now = await this.#identify(name, false);
    if ("reply" in now) return duringSession(now);
    if (entry === undefined && now.entry === undefined) return account;
    if (now.tenantId === tenantId && now.clientId === clientId) return accountOf(name, now);
    return {
      type: "later",
      reply: reply(451, "4.7.0", "The lookup table's entry is of another app now: log in again"),
      detail: "the lookup table's entry has been given another tenant_id or client_id: " +
        "the client has to log in again",
    };
  }

  /** The entry of this username was found to be faulty: the next login reads it again. */
  readAgain(username: string): void {
    const name = parseUsername(username, this.#options.delimiter);
    if (name.type !== "invalid") this.#options.entries?.doubt(name);
  }

  /** Entra ID is not asked: it does not verify tokens for others. */
  async #loginWithToken({ username, token }: TokenCredentials): Promise<LoginResult> {
    const { clientTokens, delimiter, entries } = this.#options;
    if (clientTokens === undefined) throw new Error("a login with a token, but no client tokens");
    const clientToken = clientTokens.accept(token);
    if ("reply" in clientToken) return clientToken;
    const name = nameFor(username, clientToken, delimiter);
    if ("reply" in name) return name;
    const identity = await this.#identify(name);
    if ("reply" in identity) return identity;
    const mismatch = entryMismatch(identity, clientToken);
    if (mismatch !== undefined) entries?.doubt(name);
    return mismatch ?? loggedIn(name, identity, clientToken);
  }

  /**
   * The app of a username. An entry that says no is read again for the next login.
   *
   * @param login false for a message of a session
   */
  async #identify(name: Name, login = true): Promise<Identity | LoginFailure> {
    const found = await this.#find(name, login);
    if ("reply" in found && found.type === "refused") this.#options.entries?.doubt(name);
    return found;
  }

  async #find(name: Name, login: boolean): Promise<Identity | LoginFailure> {
    const { entries, entryNeeded, delimiter } = this.#options;
    if (name.type === "direct") {
      const { tenantId, clientId } = name;
      const foreign = this.#foreignTenant(tenantId);
      if (foreign !== undefined) return foreign;
      if (!entryNeeded) return { tenantId, clientId, entry: undefined };
      if (entries === undefined) throw new Error("entries are needed, but there is no table");
      const result = await entries.byTenantAndClient(tenantId, clientId, login);
      return this.#identityIn(result);
    }
    if (entries === undefined) {
      const problem = `usernames of the form id${delimiter}lookup need AZURE_TABLES_URL`;
      return { ...refused(problem), code: "NO_TABLE" };
    }
    return this.#identityIn(await entries.byId(name.id, login));
  }

  #identityIn(result: EntryResult): Identity | LoginFailure {
    if (result.type !== "entry") return result;
    const { entry } = result;
    const { tenantId, clientId } = entry;
    return this.#foreignTenant(tenantId) ?? { tenantId, clientId, entry };
  }

  #scopeOf({ entry }: Identity): string {
    const { scope, scopeOf } = this.#options;
    return entry?.backends === undefined ? scope : scopeOf?.(entry.backends) ?? scope;
  }

  #foreignTenant(tenantId: string): LoginFailure | undefined {
    const { allowedTenants } = this.#options;
    if (allowedTenants === undefined || allowedTenants.has(tenantId)) return undefined;
    const hint = isDomain(tenantId)
      ? "; a tenant that the lookup table names by a domain must be listed by that domain"
      : "";
    return {
      type: "refused",
      reply: reply(535, "5.7.8", "This tenant may not use the relay"),
      detail: `the tenant ${tenantId} is not in ALLOWED_TENANTS${hint}`,
      code: "TENANT_NOT_ALLOWED",
    };
  }
}

function loggedIn(name: Name, identity: Identity, authorization: Authorization): LoginResult {
  const account = accountOf(name, identity);
  return { type: "account", account, authorization, reply: REPLIES.authenticated };
}

function accountOf(name: Name, { tenantId, clientId, entry }: Identity): Account {
  if (entry === undefined) return { tenantId, clientId };
  const { id, fromEmail, fromName, allowedSenders, backends, device } = entry;
  return {
    tenantId,
    clientId,
    entry: { id, foundBy: name.type === "lookup" ? "id" : "client" },
    ...(fromEmail === undefined ? {} : { fromEmail }),
    ...(fromName === undefined ? {} : { fromName }),
    ...(allowedSenders === undefined ? {} : { allowedSenders }),
    ...(backends === undefined ? {} : { backends }),
    ...(device === undefined ? {} : { credential: device.credential }),
  };
}

/** The same in answer to a message, where the codes of AUTH have no place (RFC 4954 §6). */
function duringSession({ type, reply: refusal, detail }: LoginFailure): LoginFailure {
  const words = replyText(refusal);
  return {
    type,
    reply: type === "refused" ? reply(550, "5.7.1", words) : reply(451, "4.7.0", words),
    detail,
  };
}

function refused(problem: string): LoginFailure {
  return { type: "refused", reply: reply(535, "5.7.8", capitalized(problem)), detail: problem };
}

function capitalized(text: string): string {
  return text[0]!.toUpperCase() + text.slice(1);
}
