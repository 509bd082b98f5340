// One token request through MSAL, with our own HTTP under it.
//
// MSAL's cache key does not include the secret, so an application object that is used again would give a
// cached token to a caller with a wrong secret. After a 429 it also sends no request for as long as its
// own clock says. So each request has a new object (13 µs), which keeps nothing: `TokenSource` caches and
// waits. The clock is the machine's, because MSAL reads it, too.

import { Buffer } from "node:buffer";
import { ConfidentialClientApplication, type INetworkModule } from "@azure/msal-node";
import type { HttpClient, HttpFailure } from "../http/client.ts";
import { retryAfter } from "../retry_after.ts";
import { Secret } from "../secret.ts";
import { serviceWords } from "../service_text.ts";
import {
  type EntraError,
  type EntraRefusal,
  readEntraError,
  refusalFor,
  unreachable,
} from "./entra_errors.ts";
import { type AccessToken, rolesOf } from "./token.ts";
import type { ClientCredentials } from "./tokens.ts";
import { asBuffer } from "../octets.ts";

export interface MsalOptions {
  readonly http: Pick<HttpClient, "request">;
  /** Such as `https://login.microsoftonline.com`; http and a path are for loopback tests. */
  readonly authorityHost: URL;
  /** Such as `https://graph.microsoft.com/.default`. */
  readonly scope: string;
  /** Milliseconds. */
  readonly timeout: number;
}

/** MSAL accepts only https and a bare host. It knows this one, so it needs no discovery. */
const PSEUDO_HOST = "login.microsoftonline.com";

export async function requestToken(
  credentials: ClientCredentials,
  { http, authorityHost, scope, timeout }: MsalOptions,
): Promise<AccessToken | EntraRefusal> {
  const base = authorityHost.href.replace(/(?<!\/)\/+$/, "");
  const tenant = encodeURIComponent(credentials.tenantId);
  const endpoint = new URL(`${base}/${tenant}/oauth2/v2.0/token`);
  let failure: HttpFailure | undefined;
  let refused: EntraError | undefined;

  const networkClient: INetworkModule = {
    sendGetRequestAsync() {
      throw new Error("no discovery request is needed");
    },
    async sendPostRequestAsync<T>(
      // Not used: MSAL rewrites paths and hosts.
      _url: string,
      options?: { headers?: Record<string, string>; body?: string },
    ) {
      const body = Buffer.from(options?.body ?? "", "utf8");
      const result = await http.request({
        method: "POST",
        url: endpoint,
        headers: { ...options?.headers, Accept: "application/json" },
        body: { length: body.length, parts: () => [body] },
        timeout,
      });
      if (result.type === "failure") {
        failure = result;
        throw new Error(result.message);
      }
      const json = parseJson(result.body);
      if (result.status !== 200 || json === undefined) {
        refused = {
          ...readEntraError(result.status, json, [credentials.clientSecret.reveal()]),
          retryAfter: retryAfter(result.headers, Date.now()),
        };
      }
      return {
        headers: Object.fromEntries(result.headers),
        body: (json ?? {}) as T,
        status: result.status,
      };
    },
  };

  const fetchedAt = performance.now();
  try {
    const application = new ConfidentialClientApplication({
      auth: {
        clientId: credentials.clientId,
        clientSecret: credentials.clientSecret.reveal(),
        authority: `https://${PSEUDO_HOST}/${tenant}`,
        knownAuthorities: [PSEUDO_HOST],
        authorityMetadata: JSON.stringify({
          token_endpoint: `https://${PSEUDO_HOST}/${tenant}/oauth2/v2.0/token`,
          authorization_endpoint: `https://${PSEUDO_HOST}/${tenant}/oauth2/v2.0/authorize`,
          issuer: `https://${PSEUDO_HOST}/${tenant}/v2.0`,
          jwks_uri: `https://${PSEUDO_HOST}/${tenant}/discovery/v2.0/keys`,
        }),
      },
      system: { networkClient },
    });
    const result = await application.acquireTokenByClientCredential({ scopes: [scope] });
    if (refused !== undefined) return refusalFor(refused);
    if (result === null || !result.accessToken || result.expiresOn === null) {
      return unreachable("no_token", "the answer holds no token");
    }
    const lifetime = result.expiresOn.getTime() - Date.now();
    // MSAL makes an invalid date of a number that is malformed or too large.
    if (Number.isNaN(lifetime)) return unreachable("no_token", "the token has no valid expires_in");
    return {
      value: new Secret(result.accessToken),
      fetchedAt,
      expiresAt: performance.now() + lifetime,
      roles: rolesOf(result.accessToken),
    };
  } catch (error) {
    // The service's own response counts, not MSAL's wording of it.
    if (failure !== undefined) return unreachable(failure.code, failure.message);
    if (refused !== undefined) return refusalFor(refused);
    // With a 200, MSAL quotes the part of the response that it rejects.
    const words = serviceWords(error instanceof Error ? error.message : String(error), [
      credentials.clientSecret.reveal(),
    ]);
    return unreachable("msal", words?.slice(0, 200) ?? "MSAL does not say why");
  }
}

function parseJson(body: Uint8Array): unknown {
  try {
    return JSON.parse(asBuffer(body).toString("utf8"));
  } catch {
    return undefined;
  }
}
