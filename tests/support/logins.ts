/** Logins against the imitated Entra ID, wired as the relay wires them. */
import type { LoginResult } from "../../src/accounts/account.ts";
import { Accounts, type AccountsOptions } from "../../src/accounts/accounts.ts";
import type { Delimiter } from "../../src/accounts/username.ts";
import { credentialUnset } from "../../src/entra/entra_errors.ts";
import { requestToken } from "../../src/entra/msal.ts";
import type { TokenSourceOptions } from "../../src/entra/tokens.ts";
import { TokenSource } from "../../src/entra/tokens.ts";
import { HttpClient } from "../../src/http/client.ts";
import { Secret } from "../../src/secret.ts";

export const TENANT = "11111111-2222-4333-8444-555555555555";
export const CLIENT = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee";
export const USERNAME = `${TENANT}@${CLIENT}`;
export const SCOPE = "https://graph.microsoft.com/.default";

export interface LoginsOptions extends Partial<Omit<TokenSourceOptions, "request">> {
  readonly delimiter?: Delimiter;
  /** The lookup table, and the tenants that may log in. */
  readonly accounts?: Partial<Omit<AccountsOptions, "tokens" | "delimiter" | "scope">>;
  /** Milliseconds for a token request. */
  readonly timeout?: number;
}

export interface Logins {
  readonly accounts: Accounts;
  readonly tokens: TokenSource;
  readonly http: HttpClient;
  login(username: string, password: string): Promise<LoginResult>;
  close(): void;
}

/** @param authority what AZURE_AUTHORITY_HOST would be */
export function openLogins(authority: URL, options: LoginsOptions = {}): Logins {
  const { delimiter = "@", timeout = 10_000, maxAge = 3_600_000, accounts: more, ...rest } =
    options;
  const http = new HttpClient();
  const tokens = new TokenSource({
    ...rest,
    maxAge,
    request(credentials, scope) {
      if ("credential" in credentials) {
        return Promise.resolve(credentialUnset(credentials.credential));
      }
      const proof = { type: "secret", secret: credentials.clientSecret } as const;
      return requestToken(credentials, proof, { http, authorityHost: authority, scope, timeout });
    },
  });
  const accounts = new Accounts({ delimiter, tokens, scope: SCOPE, ...more });
  return {
    accounts,
    tokens,
    http,
    login: (username, password) =>
      accounts.login({ mechanism: "PLAIN", username, password: new Secret(password) }),
    close: () => http.close(),
  };
}
