// One token request through MSAL, with our own HTTP under it.
//
// MSAL's cache key does not include the secret, so an application object that is used again would give a
// cached token to a caller with a wrong secret. After a 429 it also sends no request for as long as its
// own clock says. So each request has a new object (13 µs), which keeps nothing: `TokenSource` caches and
// waits. How long a token is valid is told by the machine's clock, which MSAL reads.

import { Buffer } from "node:buffer";
import {
  ConfidentialClientApplication,
  type INetworkModule,
  type NetworkRequestOptions,
  type NetworkResponse,
  type NodeAuthOptions,
} from "@azure/msal-node";
import { type Clock, realClock } from "../clock.ts";
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
import type { App, AppProof } from "./app_credentials.ts";
import { asBuffer } from "../octets.ts";

export interface MsalOptions {
  readonly http: Pick<HttpClient, "request">;
  /** Such as `https://login.microsoftonline.com`; http and a path are for loopback tests. */
  readonly authorityHost: URL;
  /** Such as `https://graph.microsoft.com/.default`. */
  readonly scope: string;
  /** Milliseconds. */
  readonly timeout: number;
  /** Of the token's times. Default: the machine's. */
  readonly clock?: Pick<Clock, "now">;
}

/** MSAL accepts only https and a bare host. It knows this one, so it needs no discovery. */
const PSEUDO_HOST = "login.microsoftonline.com";

export async function requestToken(
  app: App,
  proof: AppProof,
  options: MsalOptions,
): Promise<AccessToken | EntraRefusal> {
  const endpoint = new TokenEndpoint(app, proof, options);
  const { clock = realClock } = options;
  const fetchedAt = clock.now();
  try {
    const application = applicationOf(app, proof, endpoint, endpoint.url.href);
    const result = await application.acquireTokenByClientCredential({ scopes: [options.scope] });
    if (endpoint.refused !== undefined) return refusalFor(endpoint.refused);
    if (result === null || !result.accessToken || result.expiresOn === null) {
      return unreachable("no_token", "the answer holds no token");
    }
    const lifetime = result.expiresOn.getTime() - Date.now();
    // MSAL makes an invalid date of a number that is malformed or too large.
    if (Number.isNaN(lifetime)) return unreachable("no_token", "the token has no valid expires_in");
    return {
      value: new Secret(result.accessToken),
      fetchedAt,
      expiresAt: clock.now() + lifetime,
      roles: rolesOf(result.accessToken),
    };
  } catch (error) {
    const { failure, refused } = endpoint;
    // The service's own response counts, not MSAL's wording of it.
    if (failure !== undefined) return unreachable(failure.code, failure.message);
    if (refused !== undefined) return refusalFor(refused);
    // With a 200, MSAL quotes the part of the response that it rejects.
    const words = serviceWords(error instanceof Error ? error.message : String(error), [
      ...endpoint.sent,
    ]);
    return unreachable("msal", words?.slice(0, 200) ?? "MSAL does not say why");
  }
}

/** @param tokenEndpoint the audience of an assertion that MSAL signs */
function applicationOf(
  { tenantId, clientId }: App,
  proof: AppProof,
  networkClient: INetworkModule,
  tokenEndpoint: string,
): ConfidentialClientApplication {
  const authority = `https://${PSEUDO_HOST}/${encodeURIComponent(tenantId)}`;
  return new ConfidentialClientApplication({
    auth: {
      clientId,
      ...authOf(proof),
      authority,
      knownAuthorities: [PSEUDO_HOST],
      authorityMetadata: JSON.stringify({
        token_endpoint: tokenEndpoint,
        authorization_endpoint: `${authority}/oauth2/v2.0/authorize`,
        issuer: `${authority}/v2.0`,
        jwks_uri: `${authority}/discovery/v2.0/keys`,
      }),
    },
    system: { networkClient },
  });
}

function authOf(
  proof: AppProof,
): Pick<NodeAuthOptions, "clientSecret" | "clientCertificate" | "clientAssertion"> {
  switch (proof.type) {
    case "secret":
      return { clientSecret: proof.secret.reveal() };
    case "certificate":
      return {
        clientCertificate: { thumbprintSha256: proof.thumbprint, privateKey: proof.key.reveal() },
      };
    case "assertion":
      return { clientAssertion: proof.assertion.reveal() };
  }
}

/** What no text may quote. */
function secretIn(proof: AppProof): Secret {
  switch (proof.type) {
    case "secret":
      return proof.secret;
    case "certificate":
      return proof.key;
    case "assertion":
      return proof.assertion;
  }
}

/** Sends MSAL's request to a tenant's token endpoint, and remembers how it failed. */
class TokenEndpoint implements INetworkModule {
  readonly #options: MsalOptions;
  readonly url: URL;
  /** Why there is no response. */
  failure: HttpFailure | undefined;
  /** The service's error. */
  refused: EntraError | undefined;
  /** Credentials of the request, which a response may echo. */
  readonly sent: string[];

  constructor({ tenantId }: App, proof: AppProof, options: MsalOptions) {
    const base = options.authorityHost.href.replace(/(?<!\/)\/+$/, "");
    this.#options = options;
    this.url = new URL(`${base}/${encodeURIComponent(tenantId)}/oauth2/v2.0/token`);
    this.sent = [secretIn(proof).reveal()];
  }

  sendGetRequestAsync<T>(): Promise<NetworkResponse<T>> {
    throw new Error("no discovery request is needed");
  }

  async sendPostRequestAsync<T>(
    // Not used: MSAL rewrites paths and hosts.
    _url: string,
    options?: NetworkRequestOptions,
  ): Promise<NetworkResponse<T>> {
    const form = options?.body ?? "";
    const body = Buffer.from(form, "utf8");
    // MSAL makes it out of a certificate's key.
    const assertion = new URLSearchParams(form).get("client_assertion");
    if (assertion !== null) this.sent.push(assertion);
    const result = await this.#options.http.request({
      method: "POST",
      url: this.url,
      headers: { ...options?.headers, Accept: "application/json" },
      body: { length: body.length, parts: () => [body] },
      timeout: this.#options.timeout,
    });
    if (result.type === "failure") {
      this.failure = result;
      throw new Error(result.message);
    }
    const json = parseJson(result.body);
    if (result.status !== 200 || json === undefined) {
      this.refused = {
        ...readEntraError(result.status, json, this.sent),
        retryAfter: retryAfter(result.headers, Date.now()),
      };
    }
    return {
      headers: Object.fromEntries(result.headers),
      body: (json ?? {}) as T,
      status: result.status,
    };
  }
}

function parseJson(body: Uint8Array): unknown {
  try {
    return JSON.parse(asBuffer(body).toString("utf8"));
  } catch {
    return undefined;
  }
}
