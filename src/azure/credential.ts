// The relay's own identity towards table and vault: what `DefaultAzureCredential` finds, over our
// own HTTP. https://learn.microsoft.com/azure/developer/javascript/sdk/authentication/credential-chains

import process from "node:process";
import type { TokenCredential } from "@azure/core-auth";
import type {
  HttpClient as PipelineClient,
  PipelineRequest,
  PipelineResponse,
} from "@azure/core-rest-pipeline";
import type { HttpClient } from "../http/client.ts";
import type { Secret } from "../secret.ts";
import { azureClientOptions } from "./transport.ts";

export interface AzureCredentialOptions {
  readonly http: Pick<HttpClient, "request">;
  /** Where Entra ID is; http and a path are for the loopback. */
  readonly authorityHost: URL;
  /** AZURE_CLIENT_SECRET, wherever it came from. */
  readonly clientSecret?: Secret | undefined;
}

/** The identity cannot even be made: a variable of the SDK has a value that it does not take. */
export class IdentityError extends Error {
  override readonly name = "IdentityError";

  /** @param reason the SDK's words */
  constructor(reason: unknown) {
    const words = reason instanceof Error ? reason.message : String(reason);
    super(`the relay's own identity cannot be made: ${words.replace(/\s+/g, " ").trim()}`);
  }
}

/** Where Entra ID is in the clouds. MSAL knows these hosts: no discovery, one request for a token. */
const KNOWN_HOSTS = new Set([
  "https://login.microsoftonline.com",
  "https://login.microsoftonline.us",
  "https://login.partner.microsoftonline.cn",
  "https://login.chinacloudapi.cn",
]);
const STAND_IN = "https://login.microsoftonline.com";

/**
 * One for each process: it caches its tokens. Who it is, is read from the SDK's own variables
 * (`AZURE_TENANT_ID`, `AZURE_CLIENT_ID`, `AZURE_FEDERATED_TOKEN_FILE`, `AZURE_TOKEN_CREDENTIALS` …)
 * or asked of the machine it runs on, with the first token.
 *
 * @throws IdentityError where `AZURE_TOKEN_CREDENTIALS` has no value that the SDK knows
 */
export async function azureCredential(
  { http, authorityHost, clientSecret }: AzureCredentialOptions,
): Promise<TokenCredential> {
  const { DefaultAzureCredential } = await import("@azure/identity");
  const known = KNOWN_HOSTS.has(authorityHost.href.replace(/(?<!\/)\/+$/, ""));
  const options = azureClientOptions(http);
  try {
    return withClientSecret(clientSecret, () =>
      new DefaultAzureCredential({
        ...options,
        authorityHost: known ? authorityHost.origin : STAND_IN,
        httpClient: known ? options.httpClient : redirected(options.httpClient, authorityHost),
      }));
  } catch (error) {
    throw new IdentityError(error);
  }
}

/**
 * Sends what is meant for the stand-in to another authority. The SDK wants https and a bare host, and
 * would ask a host that it does not know for its metadata before each token.
 */
function redirected(transport: PipelineClient, authorityHost: URL): PipelineClient {
  const base = authorityHost.href.replace(/(?<!\/)\/+$/, "");
  return {
    async sendRequest(request: PipelineRequest): Promise<PipelineResponse> {
      const { url, allowInsecureConnection } = request;
      if (!url.startsWith(`${STAND_IN}/`)) return await transport.sendRequest(request);
      request.url = base + url.slice(STAND_IN.length);
      request.allowInsecureConnection = authorityHost.protocol === "http:";
      try {
        return await transport.sendRequest(request);
      } finally {
        // The same object is sent again when the pipeline repeats it.
        Object.assign(request, { url, allowInsecureConnection });
      }
    },
  };
}

/**
 * The SDK reads the secret from the environment and nowhere else, while it makes its credentials. It
 * is there for that long only, so that no child process inherits what came from a file.
 */
function withClientSecret<T>(secret: Secret | undefined, make: () => T): T {
  const before = process.env["AZURE_CLIENT_SECRET"];
  if (secret === undefined || before) return make();
  process.env["AZURE_CLIENT_SECRET"] = secret.reveal();
  try {
    return make();
  } finally {
    delete process.env["AZURE_CLIENT_SECRET"];
  }
}
