// Tokens of the app, by its secret or its certificate, as the relay asks for them; and token requests whose
// answer is what a case is about.

import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import type { AppProof } from "../../src/entra/app_credentials.ts";
import { requestToken } from "../../src/entra/msal.ts";
import { Secret } from "../../src/secret.ts";
import type { Answer, Reach } from "./reach.ts";
import type { RealSettings } from "./settings.ts";

export interface AppToken {
  readonly value: string;
  readonly roles: readonly string[];
}

export function proofOf({ app }: RealSettings): AppProof {
  if ("secret" in app) return { type: "secret", secret: new Secret(app.secret) };
  const { fingerprint256 } = new X509Certificate(readFileSync(app.certificate));
  return {
    type: "certificate",
    thumbprint: fingerprint256.replaceAll(":", ""),
    key: new Secret(readFileSync(app.key, "utf8")),
  };
}

/** @throws Error with Entra ID's code */
export async function tokenFor(
  settings: RealSettings,
  authorityHost: URL,
  scope: string,
  reach: Reach,
): Promise<AppToken> {
  const app = { tenantId: settings.tenant, clientId: settings.app.clientId };
  const options = { http: reach.http, authorityHost, scope, timeout: 60_000 };
  const token = await requestToken(app, proofOf(settings), options);
  if ("value" in token) return { value: token.value.reveal(), roles: token.roles };
  throw new Error(`no token for ${scope}: ${token.code}`);
}

/** A token request as it is, by a secret. */
export function askForToken(
  reach: Reach,
  authorityHost: URL,
  { tenant, clientId, secret, scope }: {
    readonly tenant: string;
    readonly clientId: string;
    readonly secret: string;
    readonly scope: string;
  },
): Promise<Answer> {
  const base = authorityHost.href.replace(/\/$/, "");
  return reach.ask(`${base}/${tenant}/oauth2/v2.0/token`, {
    method: "POST",
    headers: { "Content-Type": "application/x-www-form-urlencoded" },
    body: new URLSearchParams({
      grant_type: "client_credentials",
      client_id: clientId,
      client_secret: secret,
      scope,
    }).toString(),
  });
}
