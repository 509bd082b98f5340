// The part of a username that may be logged. A client's two fields are easily swapped, and then the
// username is a secret: an invalid username is never shown, and a lookup's id only where it cannot be a
// secret.

import { isAddress } from "../message/addresses.ts";
import { lengthShown, looksLikeSecret } from "../secret.ts";
import type { Credentials } from "../smtp/sasl.ts";
import type { LoginResult } from "./account.ts";
import { type Delimiter, parseUsername } from "./username.ts";

/**
 * A username for the log and messages: without a domain that has no effect, and with its length in place
 * of a possible secret.
 *
 * @param exists whether its entry in the lookup table is known to exist
 */
export function shownUsername(text: string, delimiter: Delimiter, exists = false): string {
  const name = parseUsername(text, delimiter);
  // A bare id may be a password in the wrong field, and a word at that: only the lookup can tell.
  if (name.type === "invalid") return exists && name.bareId !== undefined ? text : hidden(text);
  if (name.type === "direct") return text.replace(/\..*$/s, "");
  const id = exists || isPlainName(name.id) ? name.id : hidden(name.id);
  return `${id}${delimiter}lookup`;
}

/** Credentials with a username that may be logged. */
export function shownCredentials(
  credentials: Credentials,
  result: LoginResult,
  delimiter: Delimiter,
): Credentials {
  const { username } = credentials;
  return { ...credentials, username: shownLogin(credentials, result, delimiter) ?? username };
}

/** @returns undefined for a username that may be shown as it is */
function shownLogin(
  credentials: Credentials,
  result: LoginResult,
  delimiter: Delimiter,
): string | undefined {
  const { username } = credentials;
  // A client with a token may give a mail address, or nothing.
  const free = "token" in credentials &&
    (username === "" || isAddress(username) && !looksLikeSecret(username));
  return free ? undefined : shownUsername(username, delimiter, foundEntry(result));
}

/** Whether the login has found an entry of the lookup table. */
function foundEntry(result: LoginResult): boolean {
  if (result.type === "account") return result.account.entry !== undefined;
  return result.entry !== undefined || result.isPasswordRight === true ||
    AFTER_ENTRY.test(result.code ?? "");
}

/** Codes that only a login whose entry was found can have. */
const AFTER_ENTRY = /^(?:AADSTS\d+|TENANT_NOT_ALLOWED)$/;

const MAX_NAME = 64;
const MAX_WORD = 16;
/** Letters with a number before or after them: no random secret looks like this. */
const WORD = /^\d{0,4}(?:\p{Lu}?\p{Ll}+(?:\p{Lu}\p{Ll}+)*|\p{Lu}+)?\d{0,4}$/u;

/** Whether a lookup's id can only be a name, such as `scanner-2.floor3`. */
function isPlainName(id: string): boolean {
  return id.length <= MAX_NAME &&
    id.split(/[._@+ -]/).every((word) => word.length <= MAX_WORD && WORD.test(word));
}

function hidden(text: string): string {
  return text === "" ? "" : `(${lengthShown(text)}, not shown)`;
}
