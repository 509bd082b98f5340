// Where Entra ID and Microsoft Graph are in each cloud.
// https://learn.microsoft.com/graph/deployments

import type { Settings } from "./schema.ts";

export interface Cloud {
  readonly authorityHost: URL;
  readonly graphEndpoint: URL;
}

const CLOUDS: Readonly<Record<Settings["AZURE_CLOUD"], { authority: string; graph: string }>> = {
  public: { authority: "https://login.microsoftonline.com", graph: "https://graph.microsoft.com" },
  usgov: { authority: "https://login.microsoftonline.us", graph: "https://graph.microsoft.us" },
  "usgov-dod": {
    authority: "https://login.microsoftonline.us",
    graph: "https://dod-graph.microsoft.us",
  },
  china: {
    authority: "https://login.partner.microsoftonline.cn",
    graph: "https://microsoftgraph.chinacloudapi.cn",
  },
};

/** The endpoints in force: the cloud's, unless they are set one by one. */
export function cloudOf(
  settings: Pick<Settings, "AZURE_CLOUD" | "AZURE_AUTHORITY_HOST" | "GRAPH_ENDPOINT">,
): Cloud {
  const { authority, graph } = CLOUDS[settings.AZURE_CLOUD];
  return {
    authorityHost: settings.AZURE_AUTHORITY_HOST ?? new URL(authority),
    graphEndpoint: settings.GRAPH_ENDPOINT ?? new URL(graph),
  };
}
