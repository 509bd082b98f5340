// An imitation of Entra ID's token endpoint, strict about what the real one refuses.
// https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow

import { Buffer } from "node:buffer";
import { randomBytes, randomUUID } from "node:crypto";
import { type Context, Hono } from "hono";
import { LRUCache } from "lru-cache";
import { ClientAssertions, type RegisteredApp } from "./client_assertion.ts";
import { faultResponse } from "./fault_responses.ts";
import type { Fault, Faults } from "./faults.ts";
import { discardBody } from "./graph/body.ts";

/** Secrets that are refused, as Entra refuses a wrong and an expired one. */
export const WRONG_SECRET = "wrong-secret";
export const EXPIRED_SECRET = "expired-secret";
/** A secret that gets a token without roles, as an app without permissions does. */
export const NO_PERMISSION = "no-permission";

const UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i;
const DOMAIN = /^[a-z0-9-]+(?:\.[a-z0-9-]+)+$/i;
const LIFETIME_S = 3599;
/** Tokens that are remembered; one that has been dropped is refused like an unknown one. */
const MAX_TOKENS = 20_000;
/** Apps whose requests are counted. */
const MAX_COUNTED = 10_000;

export interface IssuedToken {
  readonly tenant: string;
  readonly client: string;
  /** The service that it is for, from the scope. */
  readonly audience: string;
  readonly roles: readonly string[];
  /** Unix time, milliseconds. */
  readonly expiresAt: number;
}

export interface EntraOptions {
  /**
   * The application permissions of a client for a service; when left out, Mail.Send and Mail.ReadWrite for
   * Graph, SMTP.SendAsApp for Exchange.
   */
  readonly roles?: (client: string, audience: string) => readonly string[];
  /** What the app with this client ID trusts besides secrets; nothing when left out. */
  readonly app?: (client: string) => RegisteredApp | undefined;
  /** Responds instead of the imitation, to rehearse failures. */
  readonly intercept?: (context: Context) => Response | undefined | Promise<Response | undefined>;
  /** Faults that are scripted; none when left out. */
  readonly faults?: Faults;
}

export class SandboxEntra {
  readonly routes = new Hono();
  readonly #tokens = new LRUCache<string, IssuedToken>({ max: MAX_TOKENS });
  readonly #options: EntraOptions;
  readonly #requests = new Map<string, number>();
  readonly #assertions = new ClientAssertions();

  constructor(options: EntraOptions = {}) {
    this.#options = options;
    this.routes.post("/:tenant/oauth2/v2.0/token", async (context) => {
      const fault = options.faults?.take("token");
      if (fault !== undefined && fault.after !== "take") {
        if (fault.after !== "head") await discardBody(context);
        return await faultResponse(context, fault, entraError);
      }
      const response = await options.intercept?.(context) ?? await this.#token(context);
      return fault !== undefined && response.ok
        ? await faultResponse(context, fault, entraError)
        : response;
    });
    // OpenID Connect Discovery 1.0 §4 for the authority, to check that it is there. There is none for a
    // tenant: logins must not need discovery.
    this.routes.get("/common/v2.0/.well-known/openid-configuration", (context) => {
      const here = context.req.url.replace(/\/v2\.0\/\.well-known\/.*$/, "");
      return context.json({
        issuer: `${here}/v2.0`,
        token_endpoint: `${here}/oauth2/v2.0/token`,
        token_endpoint_auth_methods_supported: ["client_secret_post", "private_key_jwt"],
        jwks_uri: `${here}/discovery/v2.0/keys`,
        authorization_endpoint: `${here}/oauth2/v2.0/authorize`,
      });
    });
    this.routes.notFound((context) => context.text("not found", 404));
  }

  /** Token requests seen, by `tenant/client`, for the apps that asked most recently. */
  get requests(): ReadonlyMap<string, number> {
    return this.#requests;
  }

  /** The token's claims while it is valid. */
  verify(token: string): IssuedToken | undefined {
    const issued = this.#tokens.get(token);
    return issued !== undefined && issued.expiresAt > Date.now() ? issued : undefined;
  }

  /** Revokes a token before it expires. */
  revoke(token: string): void {
    this.#tokens.delete(token);
  }

  async #token(context: Context): Promise<Response> {
    const tenant = context.req.param("tenant") ?? "";
    const form = await readForm(context);
    if (form === undefined) return refuse(context, REFUSALS.notForm);
    const client = form.get("client_id") ?? "";
    this.#count(`${tenant}/${client}`.toLowerCase());
    const refusal = refusalOf(tenant, form) ?? this.#proofRefusal(client, form, context.req.url);
    if (refusal !== undefined) return refuse(context, refusal);
    const scope = form.get("scope") ?? "";
    const secret = form.get("client_secret") ?? "";
    return context.json(
      {
        token_type: "Bearer",
        expires_in: LIFETIME_S,
        ext_expires_in: LIFETIME_S,
        access_token: this.#issue(tenant, client, scope, this.#rolesOf(client, secret, scope)),
      },
      200,
      { "Cache-Control": "no-store" },
    );
  }

  /** Secret or assertion, and not both (RFC 6749 §2.3). */
  #proofRefusal(client: string, form: URLSearchParams, url: string): Refusal | undefined {
    if (!form.has("client_assertion")) return secretRefusal(form.get("client_secret") ?? "");
    if (form.has("client_secret")) return REFUSALS.twoProofs;
    const endpoint = url.replace(/\?.*$/, "");
    const app = this.#options.app?.(client.toLowerCase()) ?? {};
    const fault = this.#assertions.faultOf({ form, client, endpoint, app });
    return fault === undefined ? undefined : [401, "invalid_client", ...fault];
  }

  #count(key: string): void {
    const before = this.#requests.get(key) ?? 0;
    // Inserted again, so that the app that has not asked for the longest time comes first.
    this.#requests.delete(key);
    this.#requests.set(key, before + 1);
    if (this.#requests.size > MAX_COUNTED) {
      for (const [oldest] of this.#requests) {
        this.#requests.delete(oldest);
        break;
      }
    }
  }

  #rolesOf(client: string, secret: string, scope: string): readonly string[] {
    if (secret === NO_PERMISSION) return [];
    const audience = audienceOf(scope);
    const usual = new URL(audience).hostname.startsWith("outlook.")
      ? ["SMTP.SendAsApp"]
      : ["Mail.Send", "Mail.ReadWrite"];
    return this.#options.roles?.(client, audience) ?? usual;
  }

  #issue(tenant: string, client: string, scope: string, roles: readonly string[]): string {
    const expiresAt = Date.now() + LIFETIME_S * 1000;
    const now = Math.floor(Date.now() / 1000);
    const audience = audienceOf(scope);
    const token = [
      { typ: "JWT", alg: "none", sandbox: true },
      {
        aud: audience,
        iss: `https://sts.windows.net/${tenant}/`,
        iat: now,
        nbf: now,
        tid: tenant,
        appid: client,
        roles,
        exp: Math.floor(expiresAt / 1000),
        jti: randomUUID(),
      },
    ].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".") +
      "." + randomBytes(32).toString("base64url");
    this.#tokens.set(token, { tenant, client, audience, roles, expiresAt });
    return token;
  }
}

function audienceOf(scope: string): string {
  return scope.slice(0, -"/.default".length);
}

async function readForm(context: Context): Promise<URLSearchParams | undefined> {
  const type = context.req.header("content-type") ?? "";
  if (!/^application\/x-www-form-urlencoded\b/i.test(type)) return undefined;
  return new URLSearchParams(await context.req.text());
}

/** Status, error, number of the AADSTS code, description. */
type Refusal = readonly [status: 400 | 401, error: string, number: number, description: string];

const REFUSALS = {
  notForm: [400, "invalid_request", 900144, "The request body must be form-encoded."],
  grantType: [400, "unsupported_grant_type", 70003, "The grant type is not supported."],
  tenant: [
    400,
    "invalid_request",
    900023,
    "Specified tenant identifier is neither a valid DNS name nor a GUID.",
  ],
  client: [400, "unauthorized_client", 700016, "Application was not found in the directory."],
  scope: [400, "invalid_scope", 70011, "The provided value for scope is not valid."],
  twoProofs: [400, "invalid_request", 90023, "The request has a secret and an assertion."],
  noSecret: [401, "invalid_client", 7000218, "The request must contain client_secret."],
  wrongSecret: [401, "invalid_client", 7000215, "Invalid client secret provided."],
  expiredSecret: [401, "invalid_client", 7000222, "The provided client secret keys are expired."],
} as const satisfies Readonly<Record<string, Refusal>>;

/** The first thing that is wrong with a token request, apart from its secret or assertion. */
function refusalOf(tenant: string, form: URLSearchParams): Refusal | undefined {
  if (form.get("grant_type") !== "client_credentials") return REFUSALS.grantType;
  if (!UUID.test(tenant) && !DOMAIN.test(tenant)) return REFUSALS.tenant;
  if (!UUID.test(form.get("client_id") ?? "")) return REFUSALS.client;
  const scope = form.get("scope") ?? "";
  if (!scope.endsWith("/.default") || !URL.canParse(scope)) return REFUSALS.scope;
  return undefined;
}

function secretRefusal(secret: string): Refusal | undefined {
  switch (secret) {
    case "":
      return REFUSALS.noSecret;
    case WRONG_SECRET:
      return REFUSALS.wrongSecret;
    case EXPIRED_SECRET:
      return REFUSALS.expiredSecret;
  }
  return undefined;
}

function refuse(context: Context, [status, error, number, description]: Refusal): Response {
  return context.json(errorBody(error, number, description, randomUUID()), status);
}

function entraError(
  { code = "temporarily_unavailable", number = 90033, message = "A scripted fault." }: Fault,
  id: string,
): object {
  return errorBody(code, number, message, id);
}

function errorBody(error: string, number: number, description: string, id: string): object {
  return {
    error,
    error_description: `AADSTS${number}: ${description} Trace ID: ${id}`,
    error_codes: [number],
    timestamp: new Date().toISOString(),
    trace_id: id,
    correlation_id: id,
    error_uri: `https://login.microsoftonline.com/error?code=${number}`,
  };
}
