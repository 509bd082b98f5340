// The relay's own identity for the table and the vault: what `DefaultAzureCredential` finds, over the
// relay's HTTP client. https://learn.microsoft.com/azure/developer/javascript/sdk/authentication/credential-chains

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
  /** Entra ID's base URL; http and a path are for the loopback. */
  readonly authorityHost: URL;
  /** AZURE_CLIENT_SECRET, from the environment or a file. */
  readonly clientSecret?: Secret | undefined;
}

/** The identity cannot be created: one of the SDK's variables has a value that it does not accept. */
export class IdentityError extends Error {
  override readonly name = "IdentityError";

  /** @param reason the SDK's message */
  constructor(reason: unknown) {
    const words = reason instanceof Error ? reason.message : String(reason);
    super(`the relay's own identity cannot be made: ${words.replace(/\s+/g, " ").trim()}`);
  }
}

/** Entra ID's hosts in the clouds. MSAL knows them: a token takes one request, without discovery. */
const KNOWN_HOSTS = new Set([
  "https://login.microsoftonline.com",
  "https://login.microsoftonline.us",
  "https://login.partner.microsoftonline.cn",
  "https://login.chinacloudapi.cn",
]);
const STAND_IN = "https://login.microsoftonline.com";

/**
 * One for each process: it caches its tokens. The first token decides which identity it is, from the
 * SDK's own variables (`AZURE_TENANT_ID`, `AZURE_CLIENT_ID`, `AZURE_FEDERATED_TOKEN_FILE`,
 * `AZURE_TOKEN_CREDENTIALS` …) or from the machine that the relay runs on.
 *
 * @throws IdentityError if `AZURE_TOKEN_CREDENTIALS` has a value that the SDK does not know
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
 * Redirects requests for the stand-in host to another authority. The SDK requires https and a bare host,
 * and would ask an unknown host for its metadata before each token.
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
        // The pipeline sends the same object again when it retries.
        Object.assign(request, { url, allowInsecureConnection });
      }
    },
  };
}

/**
 * The SDK reads the secret only from the environment, while it creates its credentials. The variable
 * exists only for that time, so that no child process inherits a secret that came from a file.
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
