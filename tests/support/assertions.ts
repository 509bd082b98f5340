/** Issuers of tokens that apps trust by federated credentials, and the endpoint of managed identities. */
import { Buffer } from "node:buffer";
import { constants, createHash, generateKeyPairSync, randomUUID, sign } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { FederatedCredential } from "../../src/sandbox/client_assertion.ts";
import type { Chain } from "./chains.ts";

export const EXCHANGE = "api://AzureADTokenExchange";

export interface Issuer {
  readonly issuer: string;
  /** A token that is good for an hour, unless the claims say otherwise. */
  token(claims: Readonly<Record<string, unknown>>): string;
  /** What an app registers, to trust it. */
  credential(subject: string, audience?: string): FederatedCredential;
}

export function makeIssuer(issuer: string): Issuer {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const issuerKey = publicKey.export({ format: "pem", type: "spki" }).toString();
  return {
    issuer,
    token(claims) {
      const now = Math.floor(Date.now() / 1000);
      const payload = {
        iss: issuer,
        aud: EXCHANGE,
        iat: now,
        nbf: now,
        exp: now + 3600,
        ...claims,
      };
      const signed = `${encoded({ typ: "JWT", alg: "RS256" })}.${encoded(payload)}`;
      return `${signed}.${sign("sha256", Buffer.from(signed), privateKey).toString("base64url")}`;
    },
    credential: (subject, audience = EXCHANGE) => ({ issuer, subject, audience, issuerKey }),
  };
}

/** A client assertion as MSAL makes it, except for what is given. */
export function clientAssertion(
  { leaf, privateKey }: Pick<Chain, "leaf" | "privateKey">,
  claims: Readonly<Record<string, unknown>>,
  header: Readonly<Record<string, unknown>> = {},
): string {
  const now = Math.floor(Date.now() / 1000);
  const thumbprint = createHash("sha256").update(leaf.raw).digest("base64url");
  const payload = { nbf: now, iat: now, exp: now + 600, jti: randomUUID(), ...claims };
  const signed = `${encoded({ alg: "PS256", typ: "JWT", "x5t#S256": thumbprint, ...header })}.${
    encoded(payload)
  }`;
  const padding = header["alg"] === "RS256"
    ? { padding: constants.RSA_PKCS1_PADDING }
    : { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 };
  const signature = sign("sha256", Buffer.from(signed), { key: privateKey, ...padding });
  return `${signed}.${signature.toString("base64url")}`;
}

function encoded(part: object): string {
  return Buffer.from(JSON.stringify(part)).toString("base64url");
}

export interface IdentityServer {
  /** What App Service sets. */
  readonly variables: Readonly<Record<string, string>>;
  /** Queries so far: resource and identity. */
  readonly seen: readonly { readonly resource: string; readonly client: string }[];
  /** Responds instead; undefined for the token. */
  respond: ((response: ServerResponse) => void) | undefined;
  /** Seconds that its tokens are good for. */
  lifetime: number;
  close(): Promise<void>;
}

/**
 * Imitates App Service's endpoint of managed identities, version 2019-08-01.
 * https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference
 *
 * @param identities the subject of each identity's tokens, by client ID
 */
export async function startIdentity(
  issuer: Issuer,
  identities: Readonly<Record<string, string>>,
): Promise<IdentityServer> {
  const header = randomUUID();
  const seen: { resource: string; client: string }[] = [];
  const answer = (request: IncomingMessage, response: ServerResponse) => {
    const { searchParams: query } = new URL(request.url!, "http://127.0.0.1");
    const resource = query.get("resource") ?? "";
    const client = query.get("client_id") ?? "";
    seen.push({ resource, client });
    if (identity.respond !== undefined) return identity.respond(response);
    const send = (status: number, body: object) => {
      response.writeHead(status, { "Content-Type": "application/json" });
      response.end(JSON.stringify(body));
    };
    if (request.headers["x-identity-header"] !== header) {
      return send(401, { statusCode: 401, message: "The header is missing." });
    }
    if (request.method !== "GET" || query.get("api-version") !== "2019-08-01") {
      return send(400, { statusCode: 400, message: "The version is not supported." });
    }
    const subject = identities[client];
    if (subject === undefined) {
      return send(400, { statusCode: 400, message: "No User Assigned Identity found." });
    }
    const end = Math.floor(Date.now() / 1000) + identity.lifetime;
    const token = issuer.token({ sub: subject, aud: resource, exp: end, jti: randomUUID() });
    send(200, {
      access_token: token,
      expires_on: String(end),
      resource,
      token_type: "Bearer",
      client_id: client,
    });
  };
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const identity: IdentityServer = {
    variables: {
      IDENTITY_ENDPOINT: `http://127.0.0.1:${port}/msi/token`,
      IDENTITY_HEADER: header,
    },
    seen,
    respond: undefined,
    lifetime: 86_400,
    close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      return closed;
    },
  };
  return identity;
}
