// Opens the lookup table of the settings.

import process from "node:process";
import { LookupTable } from "../accounts/lookup_table.ts";
import type { HttpClient } from "../http/client.ts";
import type { Settings } from "../settings/schema.ts";

export type TableSettings = Pick<
  Settings,
  | "AZURE_TABLES_URL"
  | "AZURE_TABLES_PARTITION_KEY"
  | "AZURE_TABLES_CONNECTION_STRING"
  | "AZURE_CLIENT_SECRET"
  | "AZURE_CLOUD"
  | "AZURE_AUTHORITY_HOST"
  | "GRAPH_ENDPOINT"
>;

/**
 * Undefined if no table is set. Loads the Azure SDK.
 *
 * @throws CommandError 78 if the relay's own identity is needed and cannot be made
 */
export async function openTable(
  settings: TableSettings,
  http: HttpClient,
): Promise<LookupTable | undefined> {
  const { AZURE_TABLES_URL: url, AZURE_TABLES_CONNECTION_STRING: access } = settings;
  if (url === undefined) return undefined;
  const { azureClientOptions } = await import("../azure/transport.ts");
  const identity = async () =>
    await (await import("./azure_identity.ts")).ownIdentity(settings, http);
  // Its value can be checked now instead of at the first login.
  const named = access === undefined && (process.env["AZURE_TOKEN_CREDENTIALS"] ?? "") !== "";
  const made = named ? await identity() : undefined;
  return new LookupTable({
    url,
    partitionKey: settings.AZURE_TABLES_PARTITION_KEY,
    client: azureClientOptions(http, url.origin),
    access: access ?? (made === undefined ? identity : () => Promise.resolve(made)),
  });
}
