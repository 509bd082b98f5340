// The account that a session sends mail as. It is data and can be stored; the right to send as it
// is live.

import type { Steps } from "../delivery/steps.ts";
import type { CredentialName } from "../entra/app_credentials.ts";
import type { EntraRefusal } from "../entra/entra_errors.ts";
import type { AccessToken } from "../entra/token.ts";
import type { Reply } from "../smtp/reply.ts";
import type { BackendNames } from "../backend_name.ts";
import type { EntryReference } from "./entry.ts";

/** Plain data that survives JSON. Holds no secret. */
export interface Account {
  /** UUID in lower case, or a domain of the tenant if the lookup table has one. */
  readonly tenantId: string;
  /** UUID in lower case. */
  readonly clientId: string;
  /** The entry of the lookup table that the account comes from, where there is one. */
  readonly entry?: AccountEntry;
  /** The mailbox to send from instead of the message's, and its display name. */
  readonly fromEmail?: string;
  readonly fromName?: string;
  /** The entry's `allowed_senders`, as written there. Left out if the entry allows any sender. */
  readonly allowedSenders?: string;
  /** The mail services that its entry names, in place of BACKEND. */
  readonly backends?: BackendNames;
  /** Which of the relay's own credentials logs in for it. Left out where the client's secret does. */
  readonly credential?: CredentialName;
}

export interface AccountEntry {
  /** Its RowKey. */
  readonly id: string;
  /** How it is read again: by its id, or by tenant and client (AZURE_TABLES_FORCE_USAGE). */
  readonly foundBy: "id" | "client";
}

/** The right to send as an account: held by its session, and never stored. */
export interface Authorization {
  /**
   * A token for a service.
   *
   * @param scope such as `https://graph.microsoft.com/.default`
   */
  token(scope: string): Promise<AccessToken | EntraRefusal> | AccessToken;
  /** The service answered 401 or 403 to this token. */
  reject(token: AccessToken, status: number): void;
  /** The service accepted a message with this token. */
  confirm(token: AccessToken): void;
  /**
   * A name for the client's own token while no service has verified it. Until then it only claims
   * to be of the account, so limits and caches must keep it apart. Undefined if Entra ID or the
   * mail service has verified the login.
   */
  unverified(): string | undefined;
  /** Why it gets no token until the client logs in again; undefined if it does. */
  expiry(): Reply | undefined;
}

/** The result of a login. A login whose authorization is `unverified` does not prove the credentials. */
export type LoginResult =
  | {
    readonly type: "account";
    readonly account: Account;
    readonly authorization: Authorization;
    readonly reply: Reply;
  }
  | LoginFailure;

/** Why there is no account. */
export interface LoginFailure {
  /** `later`: the same login may succeed later. */
  readonly type: "refused" | "later";
  readonly reply: Reply;
  /** For the log; never holds the password. */
  readonly detail: string;
  /**
   * The code of Entra ID, the table service or the network; or the relay's own, such as `NO_ENTRY`. Left
   * out where the username or the password is malformed.
   */
  readonly code?: string;
  /** The entry of the lookup table that is the reason, where one is. */
  readonly entry?: EntryReference;
  /** `true`: the relay has verified the device's own password. The reason is another one. */
  readonly isPasswordRight?: true;
}

/** What a login may need besides its credentials. */
export interface LoginContext {
  /** The client's address or network (`clientKey`): clients take turns where a check is costly. */
  readonly client?: string;
  /** Whether Entra ID may be asked again about credentials that it has refused. */
  mayAskAgain?(): boolean;
  /** Where the login notes what takes time. */
  readonly steps?: Steps | undefined;
}

type KeyParts = Pick<Account, "tenantId" | "clientId" | "entry">;

/** A key for everything that is counted or limited per account: its entry, or its tenant and client. */
export function accountKey(
  account: KeyParts,
  authorization?: Pick<Authorization, "unverified">,
): string {
  const name = nameOf(account);
  const token = authorization?.unverified();
  return token === undefined ? name : `${name} ${token}`;
}

/** Asked for several times a message. Made anew, each would be copied and hashed for its lookup. */
const names = new WeakMap<KeyParts, string>();

function nameOf(account: KeyParts): string {
  let name = names.get(account);
  if (name !== undefined) return name;
  const { tenantId, clientId, entry } = account;
  name = entry === undefined ? `${tenantId} ${clientId}` : `entry ${entry.id}`;
  names.set(account, name);
  return name;
}
