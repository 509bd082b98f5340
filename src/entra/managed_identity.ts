// The credential `managed-identity`: a token of a user-assigned managed identity, which the apps trust by a
// federated credential. It comes from an endpoint of the machine that the relay runs on.
// https://learn.microsoft.com/entra/workload-id/workload-identity-federation-config-app-trust-managed-identity
//
// Two small protocols, and not MSAL's or the Azure SDK's: both keep the endpoint, and the HTTP client of
// the first request, for the whole process (docs/decisions.md).

import type { Clock } from "../clock.ts";
import type { HttpClient, HttpResponse } from "../http/client.ts";
import { asBuffer } from "../octets.ts";
import { Secret } from "../secret.ts";
import { serviceCode, serviceWords } from "../service_text.ts";
import type { AssertionProof } from "./app_credentials.ts";
import { assertionFacts } from "./assertion_claims.ts";
import { type EntraRefusal, unasked } from "./entra_errors.ts";
import type { CredentialFacts, ProofSource } from "./proof_source.ts";

export interface ManagedIdentityOptions {
  readonly http: Pick<HttpClient, "request">;
  /** MANAGED_IDENTITY_CLIENT_ID. */
  readonly clientId: string;
  /** The audience of federated credentials in this cloud, such as `api://AzureADTokenExchange`. */
  readonly audience: string;
  readonly endpoint: IdentityEndpoint;
  readonly clock: Pick<Clock, "now" | "date">;
  /** Milliseconds for one request; 10 s when left out. */
  readonly timeout?: number;
}

/** Where the machine's identities are asked for, and how. */
export interface IdentityEndpoint {
  /** With its version, without resource and identity. */
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
}

/** The service of virtual machines and of most others, which is not reached through a proxy. */
const INSTANCE_METADATA = "http://169.254.169.254";

/**
 * App Service, Functions and Container Apps name their endpoint
 * (https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference);
 * elsewhere it is the instance metadata service
 * (https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token).
 *
 * @param variables of the process
 */
export function identityEndpoint(
  variables: Readonly<Record<string, string | undefined>>,
): IdentityEndpoint {
  const { IDENTITY_ENDPOINT: endpoint = "", IDENTITY_HEADER: header = "" } = variables;
  if (URL.canParse(endpoint) && header !== "") {
    const url = new URL(endpoint);
    url.searchParams.set("api-version", "2019-08-01");
    return { url, headers: { "X-IDENTITY-HEADER": header } };
  }
  const { AZURE_POD_IDENTITY_AUTHORITY_HOST: host = "" } = variables;
  const base = URL.canParse(host) ? host : INSTANCE_METADATA;
  const url = new URL("/metadata/identity/oauth2/token?api-version=2018-02-01", base);
  return { url, headers: { Metadata: "true" } };
}

/** Milliseconds for one request: a login waits meanwhile. */
const TIMEOUT = 10_000;
/** Milliseconds before its end from which an assertion is renewed; the old one serves if that fails. */
const RENEW_BEFORE = 3_600_000;
/** Milliseconds before its end from which an assertion is not used. */
const MARGIN = 60_000;
/** Milliseconds between two tries to renew an assertion that is still good. */
const RETRY = 30_000;
/** … and to get the first one: the endpoint throttles too. */
const RETRY_WITHOUT = 5_000;
/** Octets of a response. */
const MAX_RESPONSE = 256 * 1024;

interface Cached {
  readonly proof: AssertionProof;
  /** By the clock's `now`. */
  readonly renewAt: number;
  readonly endsAt: number;
}

export class ManagedIdentity implements ProofSource {
  readonly #options: ManagedIdentityOptions;
  #facts: CredentialFacts = { name: "managed-identity", source: "identity" };
  #cached: Cached | undefined;
  /** The request that is under way, shared by all that wait for it. */
  #pending: Promise<AssertionProof | EntraRefusal> | undefined;
  /** Why there was no assertion last, and when. */
  #failure: { readonly refusal: EntraRefusal; readonly at: number } | undefined;

  constructor(options: ManagedIdentityOptions) {
    this.#options = options;
  }

  get facts(): CredentialFacts {
    return this.#facts;
  }

  async proof(): Promise<AssertionProof | EntraRefusal> {
    const now = this.#options.clock.now();
    const cached = this.#cached !== undefined && now < this.#cached.endsAt
      ? this.#cached
      : undefined;
    const failure = this.#failure;
    const failedFor = failure === undefined ? Infinity : now - failure.at;
    if (cached !== undefined && (now < cached.renewAt || failedFor < RETRY)) return cached.proof;
    if (failure !== undefined && cached === undefined && failedFor < RETRY_WITHOUT) {
      return failure.refusal;
    }
    const result = await (this.#pending ??= this.#request().finally(() => {
      this.#pending = undefined;
    }));
    return "reply" in result && cached !== undefined ? cached.proof : result;
  }

  /** The next request asks for a new assertion; if that fails, the old one is used. */
  refresh(): Promise<void> {
    if (this.#cached !== undefined) this.#cached = { ...this.#cached, renewAt: -Infinity };
    this.#failure = undefined;
    return Promise.resolve();
  }

  close(): void {}

  async #request(): Promise<AssertionProof | EntraRefusal> {
    const { http, clientId, audience, endpoint, timeout = TIMEOUT } = this.#options;
    const url = new URL(endpoint.url);
    url.searchParams.set("resource", audience);
    url.searchParams.set("client_id", clientId);
    const result = await http.request({
      method: "GET",
      url,
      headers: { ...endpoint.headers, Accept: "application/json" },
      timeout,
      maxResponse: MAX_RESPONSE,
    });
    if (result.type === "failure") {
      const { code, message } = result;
      return this.#failed(code, `the endpoint ${url.origin} cannot be reached: ${message}`);
    }
    return this.#read(result, url);
  }

  #read(response: HttpResponse, { origin }: URL): AssertionProof | EntraRefusal {
    const { clock, audience, endpoint } = this.#options;
    const body = objectIn(response);
    const { access_token: token, expires_on: end } = body;
    if (response.status !== 200) {
      const { error, error_description, message } = body;
      const sent = Object.values(endpoint.headers).filter((value) => value !== "true");
      const code = serviceCode(error, sent);
      const words = serviceWords(error_description ?? message, sent) ?? code ?? "without words";
      return this.#failed(`IDENTITY_${response.status}`, `the endpoint ${origin} says: ${words}`);
    }
    const facts = typeof token === "string" ? assertionFacts(token, audience) : undefined;
    if (typeof token !== "string" || facts === undefined) {
      return this.#failed("IDENTITY_ANSWER", `the endpoint ${origin} gives no token`);
    }
    const claimed = Number(end) * 1000;
    const left = (claimed > 0 ? claimed : facts.notAfter) - clock.date();
    const now = clock.now();
    this.#facts = { ...this.#facts, assertion: facts };
    this.#failure = undefined;
    const proof = { type: "assertion", assertion: new Secret(token) } as const;
    // By a clock that is wrong it may have ended already: Entra ID decides.
    this.#cached = {
      proof,
      renewAt: now + left - Math.min(RENEW_BEFORE, left / 2),
      endsAt: now + left - Math.min(MARGIN, left / 4),
    };
    return proof;
  }

  #failed(code: string, what: string): EntraRefusal {
    const { clock, clientId } = this.#options;
    const refusal = unasked(
      code,
      `the relay's own credential "managed-identity" (MANAGED_IDENTITY_CLIENT_ID ${clientId}): ${what}`,
    );
    this.#failure = { refusal, at: clock.now() };
    return refusal;
  }
}

function objectIn({ body }: HttpResponse): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(asBuffer(body).toString("utf8"));
    return typeof value === "object" && value !== null ? value as Record<string, unknown> : {};
  } catch {
    return {};
  }
}
