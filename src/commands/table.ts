// The lookup table that the settings name.

import { LookupTable } from "../accounts/table.ts";
import type { HttpClient } from "../http/client.ts";
import { cloudOf } from "../settings/clouds.ts";
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

/** Undefined where no table is set. The Azure SDK is loaded here, and nowhere before. */
export async function openTable(
  settings: TableSettings,
  http: HttpClient,
): Promise<LookupTable | undefined> {
  const { AZURE_TABLES_URL: url, AZURE_TABLES_CONNECTION_STRING: access } = settings;
  if (url === undefined) return undefined;
  const { azureClientOptions } = await import("../azure/transport.ts");
  return new LookupTable({
    url,
    partitionKey: settings.AZURE_TABLES_PARTITION_KEY,
    client: azureClientOptions(http),
    access: access ?? (async () => {
      const { azureCredential } = await import("../azure/credential.ts");
      const { authorityHost } = cloudOf(settings);
      return await azureCredential({
        http,
        authorityHost,
        clientSecret: settings.AZURE_CLIENT_SECRET,
      });
    }),
  });
}
