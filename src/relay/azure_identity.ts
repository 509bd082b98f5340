// The relay's own identity for the table and the vault, made from the settings. Imported only
// together with the Azure SDK.

import type { TokenCredential } from "@azure/core-auth";
import { azureCredential, IdentityError } from "../azure/credential.ts";
import type { HttpClient } from "../http/client.ts";
import { cloudOf } from "../settings/clouds.ts";
import type { Settings } from "../settings/schema.ts";
import { CommandError, EXIT } from "../exit.ts";

export type IdentitySettings = Pick<
  Settings,
  "AZURE_CLIENT_SECRET" | "AZURE_CLOUD" | "AZURE_AUTHORITY_HOST" | "GRAPH_ENDPOINT"
>;

/** @throws CommandError 78 if it cannot be made, as with an invalid AZURE_TOKEN_CREDENTIALS */
export async function ownIdentity(
  settings: IdentitySettings,
  http: HttpClient,
): Promise<TokenCredential> {
  try {
    return await azureCredential({
      http,
      authorityHost: cloudOf(settings).authorityHost,
      clientSecret: settings.AZURE_CLIENT_SECRET,
    });
  } catch (error) {
    if (!(error instanceof IdentityError)) throw error;
    throw new CommandError(EXIT.config, [error.message]);
  }
}
