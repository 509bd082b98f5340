/** The simulated Entra ID: as strict as the real one, so that a relay that works here works there. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import {
  EXPIRED_SECRET,
  NO_PERMISSION,
  SandboxEntra,
  WRONG_SECRET,
} from "../../src/sandbox/entra.ts";
import { CLIENT, SCOPE, TENANT } from "../support/logins.ts";

const GOOD = {
  grant_type: "client_credentials",
  client_id: CLIENT,
  client_secret: "a secret",
  scope: SCOPE,
};

interface Ask {
  readonly tenant?: string;
  readonly form?: Readonly<Record<string, string>>;
  readonly type?: string;
  readonly body?: string;
}

async function ask(entra: SandboxEntra, { tenant = TENANT, form = {}, type, body }: Ask = {}) {
  const response = await entra.routes.request(`/${encodeURIComponent(tenant)}/oauth2/v2.0/token`, {
    method: "POST",
    headers: { "Content-Type": type ?? "application/x-www-form-urlencoded" },
    body: body ?? new URLSearchParams({ ...GOOD, ...form }).toString(),
  });
  return { response, json: await response.json() as Record<string, unknown> };
}

/** A token's claims (RFC 7519 §4). */
function claimsOf(token: unknown): Record<string, unknown> {
  const payload = String(token).split(".")[1] ?? "";
  return JSON.parse(Buffer.from(payload, "base64url").toString("utf8")) as Record<string, unknown>;
}

interface Refusal extends Ask {
  readonly what: string;
  readonly status: number;
  readonly error: string;
  readonly number: number;
}

const REFUSALS: readonly Refusal[] = [
  {
    what: "a body that is no form",
    type: "application/json",
    body: JSON.stringify(GOOD),
    status: 400,
    error: "invalid_request",
    number: 900144,
  },
  {
    what: "no content type",
    type: "",
    status: 400,
    error: "invalid_request",
    number: 900144,
  },
  {
    what: "another grant",
    form: { grant_type: "password" },
    status: 400,
    error: "unsupported_grant_type",
    number: 70003,
  },
  {
    what: "no grant",
    body: "client_id=x",
    status: 400,
    error: "unsupported_grant_type",
    number: 70003,
  },
  {
    what: "a tenant that is neither UUID nor domain",
    tenant: "my tenant",
    status: 400,
    error: "invalid_request",
    number: 900023,
  },
  {
    what: "the tenant common, which has no applications",
    tenant: "common",
    status: 400,
    error: "invalid_request",
    number: 900023,
  },
  {
    what: "a client id that is no UUID",
    form: { client_id: "my-app" },
    status: 400,
    error: "unauthorized_client",
    number: 700016,
  },
  {
    what: "a scope without .default",
    form: { scope: "https://graph.microsoft.com/Mail.Send" },
    status: 400,
    error: "invalid_scope",
    number: 70011,
  },
  {
    what: "several scopes",
    form: { scope: `${SCOPE} offline_access` },
    status: 400,
    error: "invalid_scope",
    number: 70011,
  },
  {
    what: "a scope that is no URL",
    form: { scope: "/.default" },
    status: 400,
    error: "invalid_scope",
    number: 70011,
  },
  {
    what: "no secret",
    form: { client_secret: "" },
    status: 401,
    error: "invalid_client",
    number: 7000218,
  },
  {
    what: "wrong-secret, as a wrong one",
    form: { client_secret: WRONG_SECRET },
    status: 401,
    error: "invalid_client",
    number: 7000215,
  },
  {
    what: "expired-secret, as one past its end",
    form: { client_secret: EXPIRED_SECRET },
    status: 401,
    error: "invalid_client",
    number: 7000222,
  },
];

describe("the simulated Entra ID", () => {
  it("issues a bearer token for an hour for any other secret (RFC 6749 §4.4.3)", async () => {
    const entra = new SandboxEntra();
    const { response, json } = await ask(entra);
    assert.equal(response.status, 200);
    assert.equal(response.headers.get("cache-control"), "no-store");
    assert.deepEqual([json["token_type"], json["expires_in"]], ["Bearer", 3599]);
    assert(!("refresh_token" in json));
    const issued = entra.verify(String(json["access_token"]));
    assert.deepEqual([issued?.tenant, issued?.client], [TENANT, CLIENT]);
    const lifetime = issued!.expiresAt - Date.now();
    assert(lifetime > 3_500_000 && lifetime <= 3_599_000);
  });

  it("puts audience, tenant, app, roles and expiry into the token, as Entra ID does", async () => {
    const { json } = await ask(new SandboxEntra());
    const { aud, tid, appid, roles, exp } = claimsOf(json["access_token"]);
    assert.deepEqual([aud, tid, appid], ["https://graph.microsoft.com", TENANT, CLIENT]);
    assert.deepEqual(roles, ["Mail.Send", "Mail.ReadWrite"]);
    assert(Number(exp) * 1000 > Date.now());
  });

  it("gives a client its configured roles", async () => {
    const entra = new SandboxEntra({ roles: (client) => client === CLIENT ? [] : ["Mail.Send"] });
    const mine = await ask(entra);
    assert.deepEqual(claimsOf(mine.json["access_token"])["roles"], []);
    const other = await ask(entra, { form: { client_id: TENANT } });
    assert.deepEqual(claimsOf(other.json["access_token"])["roles"], ["Mail.Send"]);
  });

  it("accepts a domain as tenant, as Entra ID does", async () => {
    const { response } = await ask(new SandboxEntra(), { tenant: "contoso.onmicrosoft.com" });
    assert.equal(response.status, 200);
  });

  for (const { what, status, error, number, ...asked } of REFUSALS) {
    it(`refuses ${what} with ${status} ${error} and AADSTS${number}`, async () => {
      const { response, json } = await ask(new SandboxEntra(), asked);
      assert.equal(response.status, status);
      assert.equal(json["error"], error);
      assert.deepEqual(json["error_codes"], [number]);
      assert.match(String(json["error_description"]), new RegExp(`^AADSTS${number}: `));
      for (const field of ["timestamp", "trace_id", "correlation_id", "error_uri"]) {
        assert.equal(typeof json[field], "string", field);
      }
      assert(!("access_token" in json));
    });
  }

  it("rejects tokens that it has not issued, or has revoked", async () => {
    const entra = new SandboxEntra();
    const token = String((await ask(entra)).json["access_token"]);
    assert.equal(entra.verify(`${token}x`), undefined);
    assert.equal(entra.verify(""), undefined);
    assert.equal(new SandboxEntra().verify(token), undefined);
    entra.revoke(token);
    assert.equal(entra.verify(token), undefined);
  });

  it("accepts its tokens for an hour", async () => {
    const entra = new SandboxEntra();
    const token = String((await ask(entra)).json["access_token"]);
    const { now } = Date;
    const verifiedIn = (seconds: number) => {
      Date.now = () => now() + seconds * 1000;
      try {
        return entra.verify(token) !== undefined;
      } finally {
        Date.now = now;
      }
    };
    assert.deepEqual([verifiedIn(3500), verifiedIn(3600)], [true, false]);
  });

  it("issues a token without roles for the secret no-permission alone", async () => {
    const entra = new SandboxEntra();
    const rolesFor = async (client_secret: string) => {
      const { json } = await ask(entra, { form: { client_secret } });
      return entra.verify(String(json["access_token"]))?.roles;
    };
    assert.deepEqual(await rolesFor(NO_PERMISSION), []);
    assert.deepEqual(await rolesFor("any-secret"), ["Mail.Send", "Mail.ReadWrite"]);
  });

  it("issues another token each time, and counts the requests of each app", async () => {
    const entra = new SandboxEntra();
    const tokens = [
      await ask(entra),
      await ask(entra),
      await ask(entra, { form: { client_secret: WRONG_SECRET } }),
    ];
    assert.equal(new Set(tokens.map(({ json }) => json["access_token"])).size, 3);
    assert.deepEqual([...entra.requests], [[`${TENANT}/${CLIENT}`, 3]]);
  });

  it("counts the requests of the 10,000 most recent apps", async () => {
    const entra = new SandboxEntra();
    // Refused early, but counted: it is the cheapest request there is.
    const form = (client: number) => ({ client_id: `${client}`, grant_type: "none" });
    for (let client = 0; client < 10_000; client++) await ask(entra, { form: form(client) });
    await ask(entra, { form: form(0) });
    await ask(entra, { form: form(10_000) });
    assert.equal(entra.requests.size, 10_000);
    assert.equal(entra.requests.get(`${TENANT}/0`), 2);
    assert.equal(entra.requests.has(`${TENANT}/1`), false);
    assert.equal(entra.requests.get(`${TENANT}/10000`), 1);
  });

  it("has no other endpoint: no discovery, no GET", async () => {
    const { routes } = new SandboxEntra();
    for (
      const path of [
        `/${TENANT}/v2.0/.well-known/openid-configuration`,
        `/${TENANT}/oauth2/v2.0/token`,
        "/",
      ]
    ) {
      assert.equal((await routes.request(path)).status, 404, path);
    }
  });
});

describe("the simulated authority's metadata (OpenID Connect Discovery 1.0 §4)", () => {
  it("names the token endpoint to all clients, without a login", async () => {
    const path = "/common/v2.0/.well-known/openid-configuration";
    const response = await new SandboxEntra().routes.request(`http://127.0.0.1:1${path}`);
    assert.equal(response.status, 200);
    const { issuer, token_endpoint } = await response.json() as Record<string, string>;
    assert.equal(issuer, "http://127.0.0.1:1/common/v2.0");
    assert.equal(token_endpoint, "http://127.0.0.1:1/common/oauth2/v2.0/token");
  });
});
