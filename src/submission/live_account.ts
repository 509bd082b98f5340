// Throwaway: an account with its authorization in one live object, as delivery/, graph/ and observe/
// still take it. It goes with the last of them.

import type { Account, Authorization, LoginFailure } from "../accounts/account.ts";
import type { SenderPolicy } from "../accounts/senders.ts";
import type { EntraRefusal } from "../entra/entra_errors.ts";
import type { AccessToken } from "../entra/token.ts";
import type { Reply } from "../smtp/reply.ts";

export interface LiveAccount {
  readonly tenantId: string;
  readonly clientId: string;
  /** The id of its entry. */
  readonly entry?: string;
  readonly fromEmail?: string;
  readonly fromName?: string;
  refusesSender?(address: string): Reply | undefined;
  token(): Promise<AccessToken | EntraRefusal> | AccessToken;
  reject(token: AccessToken, status: number): void;
  confirm(token: AccessToken): void;
  unproved?(): string | undefined;
  ended?(): Reply | undefined;
  renewed?(): Promise<LiveAccount | LoginFailure>;
}

/** The same with the new parts. */
export interface SessionAccount extends LiveAccount {
  readonly account: Account;
  readonly authorization: Authorization;
  renewed(): Promise<SessionAccount | LoginFailure>;
}

export type LiveLoginResult =
  | { readonly type: "account"; readonly account: LiveAccount; readonly reply: Reply }
  | LoginFailure;

export interface LiveParts {
  readonly policy: SenderPolicy;
  readonly scope: string;
  refresh(account: Account): Promise<Account | LoginFailure>;
}

export function liveAccount(
  account: Account,
  authorization: Authorization,
  parts: LiveParts,
): SessionAccount {
  const { policy, scope, refresh } = parts;
  const { tenantId, clientId, entry, fromEmail, fromName } = account;
  return {
    tenantId,
    clientId,
    ...(entry === undefined ? {} : { entry: entry.id }),
    ...(fromEmail === undefined ? {} : { fromEmail }),
    ...(fromName === undefined ? {} : { fromName }),
    ...(policy.restricts(account)
      ? { refusesSender: (address) => policy.refusal(account, address) }
      : {}),
    token: () => authorization.token(scope),
    reject: (token, status) => authorization.reject(token, status),
    confirm: (token) => authorization.confirm(token),
    unproved: () => authorization.unverified(),
    ended: () => authorization.expiry(),
    async renewed() {
      const now = await refresh(account);
      return "reply" in now ? now : liveAccount(now, authorization, parts);
    },
    account,
    authorization,
  };
}
