// Where Entra ID, Microsoft Graph and Exchange Online are in each cloud.
// https://learn.microsoft.com/graph/deployments
//
// Table and vault need no row: their URLs are settings of their own. The table's tokens have one
// audience in every cloud (https://storage.azure.com), and a vault names its own when it is asked.

import type { Settings } from "./schema.ts";

export interface Cloud {
  readonly authorityHost: URL;
  readonly graphEndpoint: URL;
  /** The scope of a token for Graph. It follows the endpoint, not the cloud. */
  readonly graphScope: string;
  /** The audience of a token for Graph, in all spellings that Entra ID uses. */
  readonly graphAudiences: ReadonlySet<string>;
  /** The scope of a token for Exchange Online's SMTP, which is never good for Graph. */
  readonly exchangeScope: string;
  /** The audience of such a token, in all spellings that Entra ID uses. */
  readonly exchangeAudiences: ReadonlySet<string>;
  /** The audience of the tokens of managed identities that an app trusts by a federated credential. */
  readonly exchangeAudience: string;
}

/** Graph's application id, in every cloud. */
const GRAPH_APP_ID = "00000003-0000-0000-c000-000000000000";

/** Exchange Online's application id, in every cloud. */
const EXCHANGE_APP_ID = "00000002-0000-0ff1-ce00-000000000000";

interface CloudRow {
  readonly authority: string;
  readonly graph: string;
  readonly outlook: string;
  /** https://learn.microsoft.com/entra/workload-id/workload-identity-federation-config-app-trust-managed-identity */
  readonly exchange: string;
}

const CLOUDS: Readonly<Record<Settings["AZURE_CLOUD"], CloudRow>> = {
  public: {
    authority: "https://login.microsoftonline.com",
    graph: "https://graph.microsoft.com",
    outlook: "https://outlook.office365.com",
    exchange: "api://AzureADTokenExchange",
  },
  usgov: {
    authority: "https://login.microsoftonline.us",
    graph: "https://graph.microsoft.us",
    outlook: "https://outlook.office365.us",
    exchange: "api://AzureADTokenExchangeUSGov",
  },
  "usgov-dod": {
    authority: "https://login.microsoftonline.us",
    graph: "https://dod-graph.microsoft.us",
    outlook: "https://outlook-dod.office365.us",
    exchange: "api://AzureADTokenExchangeUSGov",
  },
  china: {
    authority: "https://login.partner.microsoftonline.cn",
    graph: "https://microsoftgraph.chinacloudapi.cn",
    outlook: "https://partner.outlook.cn",
    exchange: "api://AzureADTokenExchangeChina",
  },
};

/** The endpoints: the cloud's, unless they are set one by one. */
export function cloudOf(
  settings: Pick<Settings, "AZURE_CLOUD" | "AZURE_AUTHORITY_HOST" | "GRAPH_ENDPOINT">,
): Cloud {
  const { authority, graph, outlook, exchange } = CLOUDS[settings.AZURE_CLOUD];
  const graphEndpoint = settings.GRAPH_ENDPOINT ?? new URL(graph);
  return {
    authorityHost: settings.AZURE_AUTHORITY_HOST ?? new URL(authority),
    graphEndpoint,
    graphScope: `${graphEndpoint.origin}/.default`,
    graphAudiences: new Set([graphEndpoint.origin, `${graphEndpoint.origin}/`, GRAPH_APP_ID]),
    exchangeScope: `${outlook}/.default`,
    exchangeAudiences: new Set([
      ...[outlook, `${outlook}/`, EXCHANGE_APP_ID],
      // Of users' tokens for mail programs.
      ...(outlook === CLOUDS.public.outlook ? ["https://outlook.office.com"] : []),
    ]),
    exchangeAudience: exchange,
  };
}
