// What of a username may be written out. A client's two fields are easily swapped, and then the username
// is a secret: what is no valid username is never shown, and of a lookup's id only what is one for sure.

import { isAddress } from "../message/addresses.ts";
import { lengthShown, looksLikeSecret } from "../secret.ts";
import type { Credentials } from "../smtp/sasl.ts";
import type { LoginResult } from "./accounts.ts";
import { type Delimiter, parseUsername } from "./username.ts";

/**
 * A username as log and messages may have it: without a domain that nothing is made of, and its length
 * in place of what may be a secret.
 *
 * @param exists whether the lookup table is known to have its entry
 */
export function shownUsername(text: string, delimiter: Delimiter, exists = false): string {
  const name = parseUsername(text, delimiter);
  if (name.type === "invalid") return hidden(text);
  if (name.type === "direct") return text.replace(/\..*$/s, "");
  const id = exists || isPlainName(name.id) ? name.id : hidden(name.id);
  return `${id}${delimiter}lookup`;
}

/** Credentials by a name that the log may have. */
export function shownCredentials(
  credentials: Credentials,
  result: LoginResult,
  delimiter: Delimiter,
): Credentials {
  const { username } = credentials;
  return { ...credentials, username: shownLogin(credentials, result, delimiter) ?? username };
}

/** @returns undefined for one that may be shown as it is */
function shownLogin(
  credentials: Credentials,
  result: LoginResult,
  delimiter: Delimiter,
): string | undefined {
  const { username } = credentials;
  // A client that brings a token may give a mail address, or nothing.
  const free = "token" in credentials &&
    (username === "" || isAddress(username) && !looksLikeSecret(username));
  return free ? undefined : shownUsername(username, delimiter, foundEntry(result));
}

/** Whether the login has come as far as to an entry of the lookup table. */
function foundEntry(result: LoginResult): boolean {
  if (result.type === "account") return result.account.entry !== undefined;
  return result.culprit !== undefined || AFTER_ENTRY.test(result.code ?? "");
}

/** Codes that only a login gets whose entry was found. */
const AFTER_ENTRY = /^(?:AADSTS\d+|TENANT_NOT_ALLOWED)$/;

const MAX_NAME = 64;
const MAX_WORD = 16;
/** Letters with a number before or behind them: no secret that was made by chance looks so. */
const WORD = /^\d{0,4}(?:\p{Lu}?\p{Ll}+(?:\p{Lu}\p{Ll}+)*|\p{Lu}+)?\d{0,4}$/u;

/** Whether a lookup's id can be nothing but a name, such as `scanner-2.floor3`. */
function isPlainName(id: string): boolean {
  return id.length <= MAX_NAME &&
    id.split(/[._@+ -]/).every((word) => word.length <= MAX_WORD && WORD.test(word));
}

function hidden(text: string): string {
  return text === "" ? "" : `(${lengthShown(text)}, not shown)`;
}
