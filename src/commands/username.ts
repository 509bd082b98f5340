// `username`: prints the SMTP username of two ids in both forms, or the ids of a username.

import { isTableKey } from "../accounts/entry.ts";
import { parseId, parseUsername, shortId } from "../accounts/username.ts";
import { lengthShown, looksLikeSecret, withoutSecrets } from "../secret.ts";
import { settingFor } from "../settings/environment.ts";
import { CommandError, EXIT } from "../exit.ts";

/** The ids of a tenant and an app (lower case), and the usernames made of them. */
export interface DirectUsername {
  readonly type: "direct";
  readonly tenantId: string;
  readonly clientId: string;
  readonly long: string;
  readonly short: string;
}

export type ReadUsername = DirectUsername | { readonly type: "lookup"; readonly id: string };

/**
 * The username of two ids, each in any form that a username may have.
 *
 * @throws CommandError 2 if one of them is no id
 */
export function makeUsername(
  tenant: string,
  client: string,
  envFile: string | undefined,
): DirectUsername {
  const delimiter = settingFor("USERNAME_DELIMITER", envFile);
  return direct(idOrError("TENANT_ID", tenant), idOrError("CLIENT_ID", client), delimiter);
}

/**
 * Parses a username as the relay does: long, short, mixed, a lookup, or where there is one, an id alone.
 *
 * @throws CommandError 2 if it cannot be read with the delimiter that is set
 */
export function readUsername(text: string, envFile: string | undefined): ReadUsername {
  const delimiter = settingFor("USERNAME_DELIMITER", envFile);
  if (parseId(text) !== undefined) {
    throw new CommandError(EXIT.usage, [
      "this is one id: give TENANT_ID and CLIENT_ID, or a whole username",
    ]);
  }
  const username = parseUsername(text, delimiter);
  if (username.type === "invalid") {
    const { bareId: id } = username;
    if (id !== undefined && isTableKey(id) && hasLookup(envFile)) return { type: "lookup", id };
    // The text is not quoted: it may be long, or have a secret in it.
    throw new CommandError(EXIT.usage, [
      `${username.problem} (USERNAME_DELIMITER is "${delimiter}")`,
    ]);
  }
  if (username.type === "lookup") {
    if (isTableKey(username.id)) return username;
    throw new CommandError(EXIT.usage, [
      "the id before the delimiter cannot be a key of the lookup table: / \\ # ? and control " +
      "characters are not allowed, nor more than 1 KiB",
    ]);
  }
  return direct(username.tenantId, username.clientId, delimiter);
}

/** The parts of a username, for people. */
export function linesOf(username: ReadUsername): string[] {
  if (username.type === "lookup") {
    return [
      `lookup id  ${
        withoutSecrets(username.id)
      } (of an entry of the lookup; in a table, its RowKey)`,
    ];
  }
  return [`tenant id  ${username.tenantId}`, `client id  ${username.clientId}`];
}

function hasLookup(envFile: string | undefined): boolean {
  return settingFor("LOOKUP_FILE", envFile) !== undefined ||
    settingFor("AZURE_TABLES_URL", envFile) !== undefined;
}

function direct(tenantId: string, clientId: string, delimiter: string): DirectUsername {
  return {
    type: "direct",
    tenantId,
    clientId,
    long: `${tenantId}${delimiter}${clientId}`,
    short: `${shortId(tenantId)}${delimiter}${shortId(clientId)}`,
  };
}

function idOrError(name: string, text: string): string {
  const id = parseId(text);
  if (id === undefined) {
    // The text is not quoted: it may be the client secret.
    const hint = looksLikeSecret(text) ? "; this looks like a client secret" : "";
    throw new CommandError(EXIT.usage, [
      `${name} (${lengthShown(text)}) must be a UUID, such as ` +
      `12345678-1234-1234-1234-123456789abc${hint}`,
    ]);
  }
  return id;
}
