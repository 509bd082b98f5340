// From credentials to an account: the username's form, then a token that proves the secret.

import type { EntraRefusal } from "../entra/answers.ts";
import type { AccessToken } from "../entra/token.ts";
import type { TokenLogin, TokenSource } from "../entra/tokens.ts";
import { REPLIES, type Reply, reply } from "../smtp/reply.ts";
import type { Credentials } from "../smtp/sasl.ts";
import { type Delimiter, parseUsername } from "./username.ts";

/** Who a session sends mail as. */
export interface Account {
  readonly tenantId: string;
  readonly clientId: string;
  /** The mailbox to send from, whatever the message says, and the display name for it. */
  readonly fromEmail?: string;
  readonly fromName?: string;
  token(): Promise<AccessToken | EntraRefusal> | AccessToken;
  /** See {@link TokenLogin.reject}. */
  reject(token: AccessToken): void;
  /** See {@link TokenLogin.confirm}. */
  confirm(token: AccessToken): void;
}

export type LoginResult =
  | { readonly type: "account"; readonly account: Account; readonly reply: Reply }
  | {
    readonly type: "refused" | "later";
    readonly reply: Reply;
    /** For the log; never holds the password. */
    readonly detail: string;
    /** Entra ID's own code, or the network's, where it comes from there. */
    readonly code?: string;
  };

export interface AccountsOptions {
  readonly delimiter: Delimiter;
  readonly tokens: TokenSource;
}

export class Accounts {
  readonly #options: AccountsOptions;

  constructor(options: AccountsOptions) {
    this.#options = options;
  }

  async login({ username, password }: Credentials): Promise<LoginResult> {
    const name = parseUsername(username, this.#options.delimiter);
    if (name.type === "invalid") return refused(name.problem);
    if (name.type === "lookup") {
      const detail = "usernames of the form id" + this.#options.delimiter +
        "lookup need a lookup table, which this version does not have yet";
      return { type: "later", reply: reply(454, "4.7.0", capitalized(detail)), detail };
    }
    if (password.reveal() === "") return refused("the password is empty");
    const { tenantId, clientId } = name;
    const login = this.#options.tokens.login({ tenantId, clientId, clientSecret: password });
    const token = await login.token();
    if ("type" in token) {
      const { type, reply, code } = token;
      return { type, reply, detail: `${code}: ${token.detail}`, code };
    }
    return {
      type: "account",
      account: accountOf(tenantId, clientId, login),
      reply: REPLIES.authenticated,
    };
  }
}

function accountOf(tenantId: string, clientId: string, login: TokenLogin): Account {
  return {
    tenantId,
    clientId,
    token: () => login.token(),
    reject: (token) => login.reject(token),
    confirm: (token) => login.confirm(token),
  };
}

function refused(problem: string): LoginResult {
  return { type: "refused", reply: reply(535, "5.7.8", capitalized(problem)), detail: problem };
}

function capitalized(text: string): string {
  return text[0]!.toUpperCase() + text.slice(1);
}
