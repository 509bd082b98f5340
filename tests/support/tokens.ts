/** Clients' tokens: made up, or from the simulated Entra ID. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { CLIENT, TENANT } from "./logins.ts";

/** An unsigned JWT with these claims; undefined ones are left out. */
export function jwt(claims: Readonly<Record<string, unknown>>, signature = "c2lnbmVk"): string {
  const header = { typ: "JWT", alg: "RS256", nonce: "n", kid: "k" };
  const encoded = [header, claims].map((part) => {
    return Buffer.from(JSON.stringify(part)).toString("base64url");
  });
  return [...encoded, signature].join(".");
}

/** A token of the imitated Entra ID. @param scope of which service, `/.default` at its end */
export async function fetchToken(
  authority: URL,
  scope: string,
  { tenant = TENANT, client = CLIENT } = {},
): Promise<string> {
  const response = await fetch(`${authority.href}/${tenant}/oauth2/v2.0/token`, {
    method: "POST",
    body: new URLSearchParams({
      grant_type: "client_credentials",
      client_id: client,
      client_secret: "a secret",
      scope,
    }),
  });
  const { access_token } = await response.json() as { access_token?: unknown };
  assert(typeof access_token === "string");
  return access_token;
}
