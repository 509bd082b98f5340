// The login that a queued message is sent with: its account as it is now, and a secret that Entra ID accepts.

import type { Account, Authorization, LoginFailure } from "../accounts/account.ts";
import type { BackendNames } from "../backend_name.ts";
import type { Steps } from "../delivery/steps.ts";
import type { EntraRefusal } from "../entra/entra_errors.ts";
import type { Secret } from "../secret.ts";
import type { SessionFacts } from "../smtp/effects.ts";
import type { QueueRecord } from "./record.ts";
import type { Failure } from "./verdict.ts";

/** The accounts of queued messages. */
export interface QueuedAccounts {
  /** The account as it is now. */
  refresh(account: Account, facts: SessionFacts): Promise<Account | LoginFailure>;
  /** @param secret undefined for the relay's own credential, which the account names */
  authorize(account: Account, secret: Secret | undefined): Authorization;
  /** Entra ID refuses the secret: it may not log in without Entra ID any more. Never fails. */
  refused(account: Account, secret: Secret): Promise<void>;
  /** The secret that the account has logged in with last; undefined if it is not known. */
  latestSecret(account: Account): Promise<Secret | undefined>;
}

export interface QueuedLogin {
  readonly account: Account;
  readonly authorization: Authorization;
}

/** Why there is no login now (`later`), or none at all until an administrator does something (`refused`). */
export type LoginProblem = Failure & Pick<LoginFailure, "type">;

export interface QueuedLoginOptions {
  readonly accounts: QueuedAccounts;
  /** The scope of the tokens of the first of these back ends; undefined: of those of the settings. */
  readonly scopeOf: (names: BackendNames | undefined) => string;
  /** Whether an administrator has the message tried again. */
  readonly isRetried: boolean;
  /** Where the time of token requests is noted. */
  readonly steps: Steps;
}

export async function queuedLogin(
  record: Pick<QueueRecord, "account" | "facts" | "credential">,
  options: QueuedLoginOptions,
): Promise<QueuedLogin | LoginProblem> {
  const account = await options.accounts.refresh(record.account, record.facts);
  if ("reply" in account) {
    const { type, code = "LOOKUP_ENTRY", detail } = account;
    return { type, code, detail };
  }
  const authorization = await authorize(account, record, options);
  if (!("type" in authorization)) return { account, authorization };
  const { type, code, detail } = authorization;
  return { type, code, detail };
}

/**
 * The login that is good now: the message's own, or the last one of the account. The latter only if Entra ID
 * had verified the message's own when it came, or an administrator has decided so: otherwise a revoked
 * secret, with which one can log in while Entra ID is away, would send as if it were the new one.
 */
async function authorize(
  account: Account,
  { credential }: Pick<QueueRecord, "credential">,
  options: QueuedLoginOptions,
): Promise<Authorization | Failed> {
  // The account as it is now decides: its entry may have been given a password of its own since.
  if (account.credential !== undefined) return await authorizeWith(undefined, account, options);
  if (credential.type === "relay") return NO_PASSWORD_HASH;
  const { accounts, scopeOf, isRetried } = options;
  const { secret, verified } = credential;
  const token = await authorizeWith(secret, account, options);
  if (!("type" in token) || token.type === "later") return token;
  await accounts.refused(account, secret);
  if (!verified && !isRetried) return token;
  const latest = await accounts.latestSecret(account);
  if (latest === undefined || latest.reveal() === secret.reveal()) return token;
  const newer = accounts.authorize(account, latest);
  const newToken = await newer.token(scopeOf(account.backends));
  return "type" in newToken ? newToken : newer;
}

async function authorizeWith(
  secret: Secret | undefined,
  account: Account,
  { accounts, scopeOf, steps }: QueuedLoginOptions,
): Promise<Authorization | EntraRefusal> {
  const authorization = accounts.authorize(account, secret);
  const pending = authorization.token(scopeOf(account.backends));
  const asked = pending instanceof Promise ? steps.begin("token") : undefined;
  const token = await pending;
  asked?.("code" in token ? token.code : undefined);
  return "type" in token ? token : authorization;
}

type Failed = Pick<EntraRefusal, "type" | "code" | "detail">;

const NO_PASSWORD_HASH: Failed = {
  type: "refused",
  code: "NO_CREDENTIAL",
  detail: "the message came by a device's own password, and its entry in the lookup has no " +
    "password_hash any more, so that no credential of the relay may log in for it",
};
