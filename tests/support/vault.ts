/**
 * A simulated Azure Key Vault on the loopback, strict: the challenge before the token, the token's
 * audience, the API version, the real error bodies.
 * https://learn.microsoft.com/rest/api/keyvault/secrets/get-secret/get-secret
 */
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Chain } from "./chains.ts";
import type { CloudServer } from "./cloud.ts";
import { makePkcs12, type Pkcs12Wishes } from "./pkcs12.ts";

export const VAULT_TENANT = "33333333-3333-3333-3333-333333333333";
export const VAULT_CLIENT = "44444444-4444-4444-4444-444444444444";
/** Needs no escaping, so that it is found wherever it is printed. */
export const VAULT_SECRET = "Vault-secret-that-must-not-show";

const RESOURCE = "https://vault.azure.net";
const PKCS12 = "application/x-pkcs12";
const PEM = "application/x-pem-file";

/** A response of the vault instead of its content. */
export type VaultFault =
  | "forbidden by role"
  | "forbidden by policy"
  | "forbidden by firewall"
  | "throttled"
  | "broken"
  | "hangs up";

export interface StoredSecret {
  readonly version: string;
  readonly contentType: string | undefined;
  readonly value: string;
  enabled: boolean;
}

export interface Vault {
  /** What AZURE_KEY_VAULT_URL would be. */
  readonly url: string;
  /** What has been asked for and what was answered, `GET /secrets/name 200`, without queries. */
  readonly seen: readonly string[];
  /** Tokens that it has been given. */
  readonly tokens: ReadonlySet<string>;
  /** What has ever been put there, as it is handed out. */
  readonly values: ReadonlySet<string>;
  /** A new version of a certificate. @returns the version */
  putPkcs12(
    name: string,
    chain: Pick<Chain, "certificates" | "privateKey">,
    wishes?: Partial<Pkcs12Wishes>,
  ): string;
  /** The same as PEM: key and certificates in Key Vault's order, unless `text` says otherwise. */
  putPem(name: string, chain: Pick<Chain, "certificates" | "privateKey">, text?: string): string;
  /** Any new version. */
  put(name: string, value: string, contentType?: string): string;
  /** The current version is disabled, or enabled again. */
  setEnabled(name: string, enabled: boolean): void;
  /** From now on; undefined for none. */
  fault: VaultFault | undefined;
  /** Resolves with the next request that has been answered. */
  answered(): Promise<void>;
  /** The settings of a relay that takes this certificate, its own identity included. */
  environment(name: string): Record<string, string>;
  close(): Promise<void>;
}

/** @param cloud whose Entra ID gives the tokens */
export async function startVault(
  cloud: Pick<CloudServer, "entra" | "authority">,
): Promise<Vault> {
  const secrets = new Map<string, StoredSecret>();
  const seen: string[] = [];
  const tokens = new Set<string>();
  const values = new Set<string>();
  let waiting: (() => void)[] = [];
  const server = createServer((request, response) => {
    request.resume();
    response.on("close", () => {
      seen.push(`${request.method} ${request.url?.replace(/\?.*$/, "")} ${response.statusCode}`);
      for (const resolve of waiting.splice(0)) resolve();
    });
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  function answer(request: IncomingMessage, response: ServerResponse): void {
    const send = (status: number, body: unknown) => {
      response.writeHead(status, { "Content-Type": "application/json; charset=utf-8" });
      response.end(JSON.stringify(body));
    };
    const refuse = (status: number, code: string, message: string, inner?: string) =>
      send(status, {
        error: { code, message, ...(inner === undefined ? {} : { innererror: { code: inner } }) },
      });
    if (vault.fault === "hangs up") return void request.socket.destroy();
    if (vault.fault === "broken") {
      return refuse(500, "InternalError", "An internal error occurred.");
    }
    const { searchParams, pathname } = new URL(request.url!, url);
    const version = searchParams.get("api-version");
    if (version === null || !/^(7\.[0-6]|20\d\d-\d\d-\d\d)$/.test(version)) {
      return refuse(400, "BadParameter", "The api-version parameter is missing or not supported.");
    }
    const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? "")?.[1];
    if (token === undefined || !good(token)) {
      response.setHeader(
        "WWW-Authenticate",
        `Bearer authorization="https://login.microsoftonline.com/${VAULT_TENANT}", ` +
          `resource="${RESOURCE}"`,
      );
      return refuse(
        401,
        "Unauthorized",
        token === undefined
          ? "AKV10000: Request is missing a Bearer or PoP token."
          : "AKV10022: Invalid audience or token.",
      );
    }
    tokens.add(token);
    switch (vault.fault) {
      case "forbidden by role":
        return refuse(
          403,
          "Forbidden",
          "Caller is not authorized to perform action on resource.\r\nAction: " +
            "'Microsoft.KeyVault/vaults/secrets/getSecret/action'\r\nAssignment: (not found)\r\n",
          "ForbiddenByRbac",
        );
      case "forbidden by policy":
        return refuse(
          403,
          "Forbidden",
          "The user, group or application does not have secrets get permission on key vault.",
          "AccessDenied",
        );
      case "forbidden by firewall":
        return refuse(
          403,
          "Forbidden",
          "Client address is not authorized and caller is not a trusted service.",
          "ForbiddenByFirewall",
        );
      case "throttled":
        return refuse(
          429,
          "Throttled",
          "Request was not processed because too many were received.",
        );
    }
    const [, name] = /^\/secrets\/([0-9A-Za-z-]{1,127})\/?$/.exec(pathname) ?? [];
    if (request.method !== "GET" || name === undefined) {
      return refuse(405, "NotAllowed", "The operation is not imitated here.");
    }
    const secret = secrets.get(name.toLowerCase());
    if (secret === undefined) {
      return refuse(
        404,
        "SecretNotFound",
        `A secret with (name/id) ${name} was not found in this key vault. If you recently ` +
          "deleted this secret you may be able to recover it using the correct recovery command.",
      );
    }
    if (!secret.enabled) {
      return refuse(
        403,
        "Forbidden",
        "Operation get is not allowed on a disabled secret.",
        "SecretDisabled",
      );
    }
    send(200, {
      value: secret.value,
      contentType: secret.contentType,
      id: `${url}/secrets/${name}/${secret.version}`,
      managed: true,
      attributes: { enabled: true, created: 1_700_000_000, updated: 1_700_000_000 },
      kid: `${url}/keys/${name}/${secret.version}`,
    });
  }

  function good(token: string): boolean {
    if (cloud.entra.verify(token) === undefined) return false;
    const payload = Buffer.from(token.split(".")[1] ?? "", "base64url").toString();
    return (JSON.parse(payload) as { aud?: string }).aud === RESOURCE;
  }

  const vault: Vault = {
    url,
    seen,
    tokens,
    values,
    putPkcs12(name, { certificates, privateKey }, wishes = {}) {
      const pfx = makePkcs12({ certificates, privateKey, ...wishes });
      return vault.put(name, pfx.toString("base64"), PKCS12);
    },
    putPem: (name, { certificates, privateKey }, text) =>
      vault.put(name, text ?? `${privateKey}${certificates.join("\n")}\n`, PEM),
    put(name, value, contentType) {
      const version = randomBytes(16).toString("hex");
      values.add(value);
      secrets.set(name.toLowerCase(), { version, contentType, value, enabled: true });
      return version;
    },
    setEnabled(name, enabled) {
      secrets.get(name.toLowerCase())!.enabled = enabled;
    },
    fault: undefined,
    answered: () => new Promise<void>((resolve) => waiting.push(resolve)),
    environment: (name) => ({
      TLS_SOURCE: "keyvault",
      AZURE_KEY_VAULT_URL: url,
      AZURE_KEY_VAULT_CERT_NAME: name,
      AZURE_AUTHORITY_HOST: cloud.authority.href,
      AZURE_TOKEN_CREDENTIALS: "EnvironmentCredential",
      AZURE_TENANT_ID: VAULT_TENANT,
      AZURE_CLIENT_ID: VAULT_CLIENT,
      AZURE_CLIENT_SECRET: VAULT_SECRET,
    }),
    close() {
      waiting = [];
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      return closed;
    },
  };
  return vault;
}
