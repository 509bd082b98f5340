// `username`: the SMTP username of a tenant and a client, in both forms.

import { parseId, shortId } from "../accounts/username.ts";
import { settingFor } from "./environment.ts";
import { CommandError, EXIT } from "./exit.ts";

/** The long form and the short one. */
export function usernames(
  tenant: string,
  client: string,
  envFile: string | undefined,
): [long: string, short: string] {
  const delimiter = settingFor("USERNAME_DELIMITER", envFile);
  const tenantId = idOrError("TENANT_ID", tenant);
  const clientId = idOrError("CLIENT_ID", client);
  return [
    `${tenantId}${delimiter}${clientId}`,
    `${shortId(tenantId)}${delimiter}${shortId(clientId)}`,
  ];
}

function idOrError(name: string, text: string): string {
  const id = parseId(text);
  if (id === undefined) {
    throw new CommandError(EXIT.usage, [
      `${name} "${text}" must be a UUID, such as 12345678-1234-1234-1234-123456789abc`,
    ]);
  }
  return id;
}
