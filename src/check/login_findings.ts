// Judges a login with a username and a password, and the permissions that its token names.

import type { LoginFailure } from "../accounts/account.ts";
import { WRONG_LOGIN } from "../accounts/device_logins.ts";
import type { Username, UsernameError } from "../accounts/username.ts";
import { AADSTS } from "../entra/entra_errors.ts";
import { MAIL_SEND } from "../entra/token.ts";
import type { Code } from "./codes.ts";
import { type Finding, finding, lookupCommand } from "./finding.ts";

/** By Entra ID's numbers (src/entra/entra_errors.ts); temporary ones are `login.later` without a row. */
const BY_NUMBER: Readonly<Record<number, Code>> = {
  7000215: "login.secret-wrong",
  7000218: "login.secret-wrong",
  7000222: "login.secret-expired",
  700016: "login.app-unknown",
  700011: "login.app-unknown",
  70001: "login.app-unknown",
  7000112: "login.app-disabled",
  90002: "login.tenant-unknown",
  900023: "login.tenant-unknown",
  53003: "login.blocked",
  530032: "login.blocked",
  70011: "login.cloud",
  500011: "login.cloud",
};

/** By the relay's own codes (src/accounts/). */
const BY_CODE: Readonly<Record<string, Code>> = {
  NO_TABLE: "login.no-table",
  NO_ENTRY: "login.no-entry",
  ENTRY_DISABLED: "login.entry-disabled",
  ENTRY_MALFORMED: "login.entry-malformed",
  TENANT_NOT_ALLOWED: "login.tenant-not-allowed",
  WRONG_PASSWORD: "login.password-wrong",
  NO_PASSWORD_HASH: "login.no-password",
};

type Judged =
  & Pick<LoginFailure, "type" | "code" | "detail" | "entry" | "isPasswordRight">
  & Partial<Pick<LoginFailure, "reply">>;

const MAIL_READWRITE = "Mail.ReadWrite";

/**
 * Why the login was refused.
 *
 * @param username that was tried, where it could be parsed
 */
export function judgeRefusal(
  result: Judged,
  username?: Username | UsernameError,
): Finding {
  const { type, detail, code } = result;
  const number = Number(/^AADSTS(\d+)$/.exec(code ?? "")?.[1]);
  if (type === "later") {
    if (isOwn(result, number)) return finding("login.own-credential", detail);
    // Entra ID has responded where the code is one of its own, or an HTTP status.
    const answered = !Number.isNaN(number) || /^[a-z_]+$|^HTTP /.test(code ?? "");
    if (!answered) return finding("login.unreachable", detail);
    return finding("login.later", detail, NOT_ENTRA.test(code ?? "") ? ELSEWHERE : undefined);
  }
  if (code === undefined) {
    // The reply says whether the lookup was asked for an entry with this id.
    return finding("login.username", detail, result.reply === WRONG_LOGIN ? BARE_ID : undefined);
  }
  return finding(
    BY_NUMBER[number] ?? BY_CODE[code] ?? "login.refused",
    detail,
    entryFix(result, username),
  );
}

/**
 * Whether the relay's own login has failed, for a device whose password is right. Entra ID's number then has no
 * other meaning than for a client's secret, but the login may succeed later.
 */
function isOwn({ isPasswordRight, code = "" }: Judged, number: number): boolean {
  return isPasswordRight === true || /^(?:CREDENTIAL_UNSET|TOKEN_FILE|IDENTITY_\w+)$/.test(code) ||
    AADSTS[number]?.temporary === false;
}

/** Statuses that do not come from Entra ID. They are permanent, unlike a 429 or 503. */
const NOT_ENTRA = /^HTTP (?:[23]..|4(?!08|25|29)..)$/;
const ELSEWHERE =
  "correct AZURE_AUTHORITY_HOST, to which the tenant is appended; if it is right, a proxy or a " +
  "firewall answers in place of Entra ID";

const BARE_ID =
  "if it is an entry's id, correct it (smtp-oauth-relay lookup list shows all); otherwise make the " +
  "username with: smtp-oauth-relay username TENANT_ID CLIENT_ID";

/** What to do about an entry, where its id or its columns are known. */
function entryFix(
  { code, entry }: Pick<LoginFailure, "code" | "entry">,
  username: Username | UsernameError | undefined,
): string | undefined {
  if (code === "NO_ENTRY") {
    if (username?.type !== "direct") return undefined;
    const { tenantId, clientId } = username;
    const command = lookupCommand("set", "ID", `tenant_id=${tenantId}`, `client_id=${clientId}`);
    return `make an entry with these two ids, by an id of your choice: ${command}`;
  }
  // A login by tenant and client does not give its entry's id.
  if (entry === undefined) return undefined;
  const { id, column } = entry;
  if (code === "WRONG_PASSWORD") {
    return `enter it again; if it is lost, make a new one: ${lookupCommand("set-password", id)}`;
  }
  if (code === "NO_PASSWORD_HASH") {
    return `make a password for the device: ${lookupCommand("set-password", id)}`;
  }
  return column === undefined
    ? `enable it with: ${lookupCommand("set", id, "disabled=false")}`
    : `correct it with: ${lookupCommand("set", id, column)}`;
}

/** @param uploads whether large messages are sent as a draft with uploads, which needs Mail.ReadWrite */
export function judgeRoles(roles: readonly string[], uploads: boolean): readonly Finding[] {
  if (roles.length === 0) {
    const what =
      "names no permission: all is left to RBAC for Applications, or nothing is granted" +
      (uploads ? "; the same goes for Mail.ReadWrite, which large messages need" : "");
    return [finding("token.no-roles", what)];
  }
  const named = `names ${roles.join(", ")}`;
  if (!roles.includes(MAIL_SEND)) return [finding("token.no-mail-send", `${named}, no Mail.Send`)];
  if (uploads && !roles.includes(MAIL_READWRITE)) {
    return [finding("token.no-mail-readwrite", `${named}, no Mail.ReadWrite`)];
  }
  return [finding("token.ok", named)];
}
