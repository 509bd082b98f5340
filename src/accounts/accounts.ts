// From credentials to an account: the username's form, the lookup table, then a token, which proves the
// secret. A device may have a password of its own, which the relay verifies (device_logins.ts); the token then is for
// the relay's own credential. A client may also log in with a token of its own: see client_tokens.ts.

import type { ClientCredentials, CredentialName } from "../entra/app_credentials.ts";
import type { EntraRefusal } from "../entra/entra_errors.ts";
import type { TokenLogin, TokenSource } from "../entra/tokens.ts";
import type { Secret } from "../secret.ts";
import { REPLIES, reply } from "../smtp/reply.ts";
import type { Credentials } from "../smtp/sasl.ts";
import type { TokenCredentials } from "../smtp/sasl_bearer.ts";
import type { Account, Authorization, LoginContext, LoginFailure, LoginResult } from "./account.ts";
import type { BackendNames } from "../backend_name.ts";
import { type ClientTokens, entryMismatch, nameFor } from "./client_tokens.ts";
import {
  DeviceLogins,
  type IdName,
  madeForDevice,
  tellsNothing,
  tokenRefusal,
} from "./device_logins.ts";
import { DevicePasswords } from "./device_passwords.ts";
import type { Entries } from "./entries.ts";
import { type Entry, isTableKey } from "./entry.ts";
import { isMade } from "./made_password.ts";
import { appProblem, duringSession, loginProblem } from "./session_account.ts";
import { isDomain } from "./username.ts";
import { type Delimiter, parseUsername, type Username, type UsernameError } from "./username.ts";

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
  /** Checks the passwords of entries that have one; needed with `entries`. */
  readonly passwords?: DevicePasswords;
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

type DirectName = Extract<Username, { readonly type: "direct" }>;
type Name = DirectName | IdName;

/** The app that a token is requested for, and the entry that names it. */
interface Identity {
  readonly tenantId: string;
  readonly clientId: string;
  readonly entry: Entry | undefined;
}

export class Accounts {
  readonly #options: AccountsOptions;
  readonly #devices: DeviceLogins | undefined;
  /** The hash that a device's password has matched at its login. */
  readonly #hashOf = new WeakMap<Authorization, string>();

  constructor(options: AccountsOptions) {
    const { entries, passwords } = options;
    this.#options = options;
    this.#devices = entries && new DeviceLogins(entries, passwords ?? new DevicePasswords());
  }

  async login(credentials: Credentials, context: LoginContext = {}): Promise<LoginResult> {
    if ("token" in credentials) return await this.#loginWithToken(credentials);
    const { username, password } = credentials;
    const name = this.#nameIn(username);
    if (name.type === "invalid") return refused(name.problem);
    if (password.reveal() === "") return refused("the password is empty");
    const devices = this.#devices;
    if (name.type === "direct" || devices === undefined) {
      return await this.#loginWithSecret(name, await this.#identify(name), password, context);
    }
    const found = await devices.find({ name, password, client: context.client ?? "" });
    if (found.type !== "found") return found;
    const { entry, hash } = found;
    const identity = this.#identityOf(entry);
    if ("reply" in identity) this.#options.entries?.doubt(name);
    if (entry.device === undefined || hash === undefined) {
      return await this.#loginWithSecret(name, identity, password, context);
    }
    if ("reply" in identity) return { ...identity, isPasswordRight: true };
    return await this.#loginOfDevice(name, identity, { ...entry.device, hash }, context);
  }

  /**
   * The account as its entry in the lookup table is now: a session may last for days, and an entry that
   * is disabled meanwhile must count within a minute. A queued message may have come under other settings:
   * ALLOWED_TENANTS counts again, and AZURE_TABLES_FORCE_USAGE.
   *
   * @param authorization of a session: what it has logged in with must still be good. What is queued stays good
   *   after a change of the device's password
   * @returns if the account no longer exists, a failure whose reply answers a message, not AUTH
   */
  async refresh(account: Account, authorization?: Authorization): Promise<Account | LoginFailure> {
    const { tenantId, clientId, entry } = account;
    const name: Name = entry?.foundBy === "id"
      ? { type: "lookup", id: entry.id }
      : { type: "direct", tenantId, clientId };
    const now = await this.#identify(name, false);
    if ("reply" in now) return duringSession(now);
    if (entry === undefined && now.entry === undefined) return account;
    const problem = appProblem(account, now) ??
      (authorization && loginProblem(account, now.entry, this.#hashOf.get(authorization)));
    return problem ?? accountOf(name, now);
  }

  /** The entry of this username was found to be faulty: the next login reads it again. */
  readAgain(username: string): void {
    const name = this.#nameIn(username);
    if (name.type !== "invalid") this.#options.entries?.doubt(name);
  }

  /** Where there is a lookup, a text of no other form may be the id of an entry. */
  #nameIn(username: string): Name | UsernameError {
    const { delimiter } = this.#options;
    const name = parseUsername(username, delimiter);
    if (name.type !== "invalid" || this.#devices === undefined) return name;
    const { bareId: id, problem: bare } = name;
    return id === undefined || !isTableKey(id) ? name : { type: "lookup", id, bare };
  }

  /** With the client's secret, which Entra ID verifies. */
  async #loginWithSecret(
    name: Name,
    identity: Identity | LoginFailure,
    clientSecret: Secret,
    context: LoginContext,
  ): Promise<LoginResult> {
    if ("reply" in identity) return identity;
    const { tokens, entries, known } = this.#options;
    if (entries !== undefined && isMade(clientSecret.reveal())) {
      entries.doubt(name);
      return madeForDevice(name.type === "lookup" ? identity.entry : undefined);
    }
    const { tenantId, clientId } = identity;
    const checked = { tenantId, clientId, clientSecret };
    const authorization = tokens.login(checked);
    const refusal = await this.#refusalOf(authorization, identity, context);
    if (refusal === undefined) {
      void known?.succeeded(checked);
      return loggedIn(name, identity, tokens.held(authorization));
    }
    const { type, reply, code } = refusal;
    if (type === "later" && await known?.isKnown(checked)) {
      return loggedIn(name, identity, authorization);
    }
    // The secret may be right, and the entry may name the wrong app.
    if (type === "refused") {
      entries?.doubt(name);
      void known?.refused(checked);
    }
    return { type, reply, detail: `${code}: ${refusal.detail}`, code };
  }

  /**
   * With the relay's own credential, for a device whose password is right. A fault of that credential is not
   * the device's.
   */
  async #loginOfDevice(
    name: IdName,
    identity: Identity,
    { credential, hash }: { readonly credential: CredentialName; readonly hash: string },
    { steps }: LoginContext,
  ): Promise<LoginResult> {
    const { tokens, known } = this.#options;
    const { tenantId, clientId } = identity;
    const authorization = tokens.login({ tenantId, clientId, credential });
    this.#hashOf.set(authorization, hash);
    const refusal = await this.#refusalOf(authorization, identity, { steps });
    // A queue takes mail while Entra ID does not answer.
    if (refusal === undefined || known !== undefined && isUnanswered(refusal)) {
      return loggedIn(name, identity, authorization);
    }
    const { type, code } = refusal;
    const detail = `${code}: ${refusal.detail}`;
    return {
      type: "later",
      reply: type === "later"
        ? refusal.reply
        : reply(454, "4.7.0", `Temporary authentication failure: ${detail}`),
      detail,
      code,
      isPasswordRight: true,
    };
  }

  /** Gets a token. @returns undefined if there is one */
  async #refusalOf(
    authorization: TokenLogin,
    identity: Identity,
    { mayAskAgain, steps }: LoginContext,
  ): Promise<EntraRefusal | undefined> {
    const pending = authorization.token(this.#scopeOf(identity), mayAskAgain);
    const asked = pending instanceof Promise ? steps?.begin("token") : undefined;
    const token = await pending;
    asked?.("type" in token ? token.code : undefined);
    return "type" in token ? token : undefined;
  }

  /** Entra ID is not asked: it does not verify tokens for others. */
  async #loginWithToken({ username, token }: TokenCredentials): Promise<LoginResult> {
    const { clientTokens, delimiter, entries } = this.#options;
    if (clientTokens === undefined) throw new Error("a login with a token, but no client tokens");
    const clientToken = clientTokens.accept(token);
    if ("reply" in clientToken) return clientToken;
    const name = nameFor(username, clientToken, delimiter);
    if ("reply" in name) return name;
    const identity = name.type === "lookup" && entries !== undefined
      ? await this.#identifyForToken(name, entries)
      : await this.#identify(name);
    if ("reply" in identity) return identity;
    const mismatch = entryMismatch(identity, clientToken);
    if (mismatch !== undefined) entries?.doubt(name);
    return mismatch ?? loggedIn(name, identity, clientToken);
  }

  /** Anybody can write a token, so that it must not tell which ids exist either. */
  async #identifyForToken(name: IdName, entries: Entries): Promise<Identity | LoginFailure> {
    const found = await entries.byId(name.id);
    if (found.type !== "entry" && tellsNothing(found, name)) return found;
    const refusal = tokenRefusal(found);
    const identity = found.type === "entry" ? this.#identityOf(found.entry) : found;
    if (refusal !== undefined || "reply" in identity) entries.doubt(name);
    if (refusal !== undefined) await entries.beforeRefusal(name.id);
    return refusal ?? identity;
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
      return result.type === "entry" ? this.#identityOf(result.entry) : result;
    }
    if (entries === undefined) {
      const problem =
        `usernames of the form id${delimiter}lookup need LOOKUP_FILE or AZURE_TABLES_URL`;
      return { ...refused(problem), code: "NO_TABLE" };
    }
    const result = await entries.byId(name.id, login);
    return result.type === "entry" ? this.#identityOf(result.entry) : result;
  }

  #identityOf(entry: Entry): Identity | LoginFailure {
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
      ? "; a tenant that the lookup names by a domain must be listed by that domain"
      : "";
    return {
      type: "refused",
      reply: reply(535, "5.7.8", "This tenant may not use the relay"),
      detail: `the tenant ${tenantId} is not in ALLOWED_TENANTS${hint}`,
      code: "TENANT_NOT_ALLOWED",
    };
  }
}

/** Whether the relay's own credential could not be tried, and may be good: nothing was wrong with it. */
function isUnanswered({ type, code, credential }: EntraRefusal): boolean {
  return type === "later" && credential === undefined && !code.startsWith("CREDENTIAL_");
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

function refused(problem: string): LoginFailure {
  return { type: "refused", reply: reply(535, "5.7.8", capitalized(problem)), detail: problem };
}

function capitalized(text: string): string {
  return text[0]!.toUpperCase() + text.slice(1);
}
