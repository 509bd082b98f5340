// From credentials to an account: the username's form, the lookup table, then a token that proves
// the secret. A client may bring its token, too: see bearer.ts.

import type { EntraRefusal } from "../entra/answers.ts";
import type { AccessToken } from "../entra/token.ts";
import type { TokenSource } from "../entra/tokens.ts";
import type { SenderList } from "./sender_list.ts";
import { REPLIES, type Reply, reply } from "../smtp/reply.ts";
import type { Credentials } from "../smtp/sasl.ts";
import type { TokenCredentials } from "../smtp/sasl_bearer.ts";
import { type BroughtTokens, entryMismatch, nameFor } from "./client_tokens.ts";
import type { Entries, EntryResult } from "./entries.ts";
import type { Culprit, Entry } from "./entry.ts";
import { senderRefusal } from "./senders.ts";
import { isDomain } from "./tenant.ts";
import { type Delimiter, parseUsername, type Username } from "./username.ts";

/** Who a session sends mail as. */
export interface Account {
  /** UUID in lower case, or a domain of the tenant where the lookup table has one. */
  readonly tenantId: string;
  readonly clientId: string;
  /** The RowKey of its entry in the lookup table, where it has one. */
  readonly entry?: string;
  /** The mailbox to send from, whatever the message says, and the display name for it. */
  readonly fromEmail?: string;
  readonly fromName?: string;
  /** The list of its entry, as written there. */
  readonly allowedSenders?: string;
  /** Why it may not send as this address; undefined where it may. Left out where it may be anybody. */
  refusesSender?(address: string): Reply | undefined;
  token(): Promise<AccessToken | EntraRefusal> | AccessToken;
  /** Graph answered 401 or 403. See `TokenLogin.reject`. */
  reject(token: AccessToken, status: number): void;
  /** Graph took a message. See `TokenLogin.confirm`. */
  confirm(token: AccessToken): void;
  /**
   * A name for this login's token, while nobody has verified it: what is counted or limited by tenant
   * and client must not take its word for them. Undefined once Graph has taken a message with it; left
   * out where Entra ID has proved the login.
   */
  unproved?(): string | undefined;
  /** Why it cannot send any more until the client logs in again; left out where that cannot be. */
  ended?(): Reply | undefined;
  /**
   * The account as its entry is now: a session may last for days, and an entry that is disabled
   * meanwhile must count within a minute. Left out where there is no entry.
   */
  renewed?(): Promise<Account | NoAccount>;
}

/** Why there is no account. */
export type LoginFailure = NoAccount;

export interface NoAccount {
  readonly type: "refused" | "later";
  readonly reply: Reply;
  /** For the log; never holds the password. */
  readonly detail: string;
  /**
   * Entra ID's own code, the table's or the network's; or the relay's own, such as `NO_ENTRY`. Left
   * out where the username or the password has no form that could be asked about.
   */
  readonly code?: string;
  /** Where it is an entry of the lookup table that says no. */
  readonly culprit?: Culprit;
}

/** What gives an account its token. */
type AccountToken = Pick<Account, "token" | "reject" | "confirm" | "unproved" | "ended">;

/** An account may be `unproved`: then the login is no proof that the credentials are good. */
export type LoginResult =
  | { readonly type: "account"; readonly account: Account; readonly reply: Reply }
  | NoAccount;

export interface AccountsOptions {
  readonly delimiter: Delimiter;
  readonly tokens: TokenSource;
  /** For clients that bring a token; needed where a mechanism for that is enabled. */
  readonly brought?: BroughtTokens;
  /** The lookup table. */
  readonly entries?: Entries;
  /** Logins by tenant and client need an entry, too. */
  readonly entryNeeded?: boolean;
  /** ALLOWED_TENANTS, as `parseTenant` writes them. */
  readonly allowedTenants?: ReadonlySet<string>;
  /** ALLOWED_SENDERS. */
  readonly allowedSenders?: SenderList;
}

type Name = Exclude<Username, { readonly type: "invalid" }>;

/** Whose token is needed, and the entry that says so. */
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

  /** @param mayAskAgain whether Entra ID may be asked again about what it has refused */
  async login(credentials: Credentials, mayAskAgain?: () => boolean): Promise<LoginResult> {
    if ("token" in credentials) return await this.#loginWithToken(credentials);
    const { username, password } = credentials;
    const name = parseUsername(username, this.#options.delimiter);
    if (name.type === "invalid") return refused(name.problem);
    if (password.reveal() === "") return refused("the password is empty");
    const identity = await this.#identify(name);
    if ("reply" in identity) return identity;
    const { tenantId, clientId } = identity;
    const login = this.#options.tokens.login({ tenantId, clientId, clientSecret: password });
    const token = await login.token(mayAskAgain);
    if ("type" in token) {
      const { type, reply, code } = token;
      // The secret may be right, and the entry of another app.
      if (type === "refused") this.#options.entries?.doubt(name);
      return { type, reply, detail: `${code}: ${token.detail}`, code };
    }
    const account = this.#accountOf(name, identity, login);
    return { type: "account", account, reply: REPLIES.authenticated };
  }

  /** The entry of this username has been found at fault: it is read again for the next login. */
  readAgain(username: string): void {
    const name = parseUsername(username, this.#options.delimiter);
    if (name.type !== "invalid") this.#options.entries?.doubt(name);
  }

  /** Entra ID is not asked: there is nothing that it could say of a token. */
  async #loginWithToken({ username, token }: TokenCredentials): Promise<LoginResult> {
    const { brought: tokens, delimiter, entries } = this.#options;
    if (tokens === undefined) throw new Error("a token was brought, but nobody can look at it");
    const brought = tokens.take(token);
    if ("reply" in brought) return brought;
    const name = nameFor(username, brought, delimiter);
    if ("reply" in name) return name;
    const identity = await this.#identify(name);
    if ("reply" in identity) return identity;
    const mismatch = entryMismatch(identity, brought);
    if (mismatch !== undefined) entries?.doubt(name);
    const account = this.#accountOf(name, identity, brought);
    return mismatch ?? { type: "account", account, reply: REPLIES.authenticated };
  }

  /**
   * Whose token is needed. An entry that says no is read again for the next login.
   *
   * @param login false for a message of a session
   */
  async #identify(name: Name, login = true): Promise<Identity | NoAccount> {
    const found = await this.#find(name, login);
    if ("reply" in found && found.type === "refused") this.#options.entries?.doubt(name);
    return found;
  }

  async #find(name: Name, login: boolean): Promise<Identity | NoAccount> {
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

  #identityIn(result: EntryResult): Identity | NoAccount {
    if (result.type !== "entry") return result;
    const { entry } = result;
    const { tenantId, clientId } = entry;
    return this.#foreignTenant(tenantId) ?? { tenantId, clientId, entry };
  }

  #foreignTenant(tenantId: string): NoAccount | undefined {
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

  #accountOf(name: Name, identity: Identity, login: AccountToken): Account {
    const { tenantId, clientId, entry } = identity;
    const { allowedSenders: allowed } = this.#options;
    const lists = { allowed, ofEntry: entry?.allowedSenders };
    const anybody = lists.allowed === undefined && lists.ofEntry === undefined;
    return {
      tenantId,
      clientId,
      ...(entry?.fromEmail === undefined ? {} : { fromEmail: entry.fromEmail }),
      ...(entry?.fromName === undefined ? {} : { fromName: entry.fromName }),
      ...(entry?.allowedSenders === undefined ? {} : { allowedSenders: entry.allowedSenders.text }),
      ...(anybody ? {} : { refusesSender: (address) => senderRefusal(address, lists) }),
      token: () => login.token(),
      reject: (token, status) => login.reject(token, status),
      confirm: (token) => login.confirm(token),
      ...(login.unproved === undefined ? {} : { unproved: () => login.unproved?.() }),
      ...(login.ended === undefined ? {} : { ended: () => login.ended?.() }),
      ...(entry === undefined ? {} : {
        entry: entry.id,
        renewed: () => this.#renewed(name, identity, login),
      }),
    };
  }

  async #renewed(name: Name, before: Identity, login: AccountToken): Promise<Account | NoAccount> {
    const now = await this.#identify(name, false);
    if ("reply" in now) return duringSession(now);
    const same = now.tenantId === before.tenantId && now.clientId === before.clientId;
    if (same) return this.#accountOf(name, now, login);
    return {
      type: "later",
      reply: reply(451, "4.7.0", "The lookup table's entry is of another app now: log in again"),
      detail: "the lookup table's entry has been given another tenant_id or client_id: " +
        "the client has to log in again",
    };
  }
}

/** The same in answer to a message, where the codes of AUTH have no place (RFC 4954 §6). */
function duringSession({ type, reply: { text }, detail }: NoAccount): NoAccount {
  const words = typeof text === "string" ? text : text.join(" ");
  return {
    type,
    reply: type === "refused" ? reply(550, "5.7.1", words) : reply(451, "4.7.0", words),
    detail,
  };
}

function refused(problem: string): NoAccount {
  return { type: "refused", reply: reply(535, "5.7.8", capitalized(problem)), detail: problem };
}

function capitalized(text: string): string {
  return text[0]!.toUpperCase() + text.slice(1);
}
