/** Client assertions at the imitated Entra ID: verified as the real one does, with its codes. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { before, describe, it } from "node:test";
import type { RegisteredApp } from "../../src/sandbox/client_assertion.ts";
import { SandboxEntra } from "../../src/sandbox/entra.ts";
import { clientAssertion, EXCHANGE, makeIssuer } from "../support/assertions.ts";
import { type Chain, issueChain } from "../support/chains.ts";
import { CLIENT, SCOPE, TENANT } from "../support/logins.ts";

const PATH = `/${TENANT}/oauth2/v2.0/token`;
/** Of the requests that these tests make without a server. */
const ENDPOINT = `http://localhost${PATH}`;
const TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const NOW = Math.floor(Date.now() / 1000);

async function ask(entra: SandboxEntra, form: Readonly<Record<string, string>>) {
  const response = await entra.routes.request(PATH, {
    method: "POST",
    headers: { "Content-Type": "application/x-www-form-urlencoded" },
    body: new URLSearchParams({
      grant_type: "client_credentials",
      client_id: CLIENT,
      scope: SCOPE,
      client_assertion_type: TYPE,
      ...form,
    }).toString(),
  });
  const json = await response.json() as {
    access_token?: string;
    error?: string;
    error_codes?: number[];
  };
  return { status: response.status, token: json.access_token, number: json.error_codes?.[0] };
}

let registered: Chain;
let other: Chain;
before(async () => {
  [registered, other] = await Promise.all([issueChain({ key: "RSA" }), issueChain({ key: "RSA" })]);
});

function entraWith(app: RegisteredApp): SandboxEntra {
  return new SandboxEntra({ app: (client) => client === CLIENT ? app : undefined });
}

const GOOD = { aud: ENDPOINT, iss: CLIENT, sub: CLIENT };

describe("an assertion that the app's certificate signs", () => {
  const entra = () => entraWith({ certificates: [registered.certificates[0]] });
  const tried = (claims: object, header: object = {}, chain = registered) =>
    ask(entra(), {
      client_assertion: clientAssertion(chain, { ...GOOD, ...claims }, { ...header }),
    });

  it("gets a token (RFC 7523 §2.2)", async () => {
    const { status, token } = await tried({});
    assert.equal(status, 200);
    assert(token);
  });

  it("is for the token endpoint of the tenant, or for its issuer", async () => {
    const issuer = ENDPOINT.replace("/oauth2/v2.0/token", "/v2.0");
    assert.equal((await tried({ aud: issuer })).status, 200);
  });

  it("may be signed by RS256, and name the certificate by SHA-1", async () => {
    const x5t = createHash("sha1").update(registered.leaf.raw).digest("base64url");
    const header = { alg: "RS256", "x5t#S256": undefined, x5t };
    assert.equal((await tried({}, header)).status, 200);
  });

  const faults:
    readonly (readonly [what: string, number: number, claims: object, header?: object])[] = [
      ["is for another tenant", 700023, { aud: ENDPOINT.replace(TENANT, CLIENT) }],
      ["is for the real Entra ID", 700023, { aud: `https://login.microsoftonline.com${PATH}` }],
      ["has no audience", 700023, { aud: undefined }],
      ["is of another app as subject", 700021, { sub: TENANT }],
      ["has ended", 700024, { nbf: NOW - 2000, exp: NOW - 1000 }],
      ["has not begun", 700024, { nbf: NOW + 1000, exp: NOW + 1600 }],
      ["has no end", 700024, { exp: undefined }],
      ["is good for a day", 700024, { exp: NOW + 86_400 }],
      ["has no jti", 50027, { jti: undefined }],
      ["is signed by no algorithm", 700027, {}, { alg: "none" }],
      ["names no certificate", 700027, {}, { "x5t#S256": undefined }],
    ];
  for (const [what, number, claims, header] of faults) {
    it(`gets AADSTS${number} if it ${what}`, async () => {
      assert.deepEqual(await tried(claims, header), { status: 401, token: undefined, number });
    });
  }

  it("gets AADSTS700027 if its certificate is not the app's", async () => {
    assert.equal((await tried({}, {}, other)).number, 700027);
  });

  it("gets AADSTS700027 if another key has signed it", async () => {
    const forged = { leaf: registered.leaf, privateKey: other.privateKey } as Chain;
    assert.equal((await tried({}, {}, forged)).number, 700027);
  });

  it("gets AADSTS700027 if its certificate has ended", async () => {
    const ended = await issueChain({ key: "RSA", from: -10, until: -1 });
    const client_assertion = clientAssertion(ended, GOOD);
    const { number } = await ask(entraWith({ certificates: [ended.certificates[0]] }), {
      client_assertion,
    });
    assert.equal(number, 700027);
  });

  it("works once (RFC 7523 §3, jti)", async () => {
    const once = entra();
    const form = { client_assertion: clientAssertion(registered, GOOD) };
    assert.equal((await ask(once, form)).status, 200);
    assert.equal((await ask(once, form)).number, 50027);
  });

  it("has its type, and no secret beside it", async () => {
    const client_assertion = clientAssertion(registered, GOOD);
    assert.equal(
      (await ask(entra(), { client_assertion, client_assertion_type: "x" })).number,
      50027,
    );
    const both = await ask(entra(), { client_assertion, client_secret: "a secret" });
    assert.deepEqual([both.status, both.number], [400, 90023]);
  });

  it("is a JWT", async () => {
    for (const client_assertion of ["", "x", "a.b", "a.b.c", "e30.e30.e30"]) {
      const { number } = await ask(entra(), { client_assertion });
      assert.equal(number, client_assertion === "e30.e30.e30" ? 700027 : 50027, client_assertion);
    }
  });
});

describe("a token of another issuer as assertion", () => {
  const issuer = makeIssuer("https://cluster.example/");
  const foreign = makeIssuer("https://cluster.example/");
  const subject = "system:serviceaccount:mail:relay";
  const credential = issuer.credential(subject);
  const tried = (token: string, app: RegisteredApp = { federated: [credential] }) =>
    ask(entraWith(app), { client_assertion: token });

  it("gets a token if a federated credential has its issuer, subject and audience", async () => {
    const entra = entraWith({ federated: [credential] });
    const form = { client_assertion: issuer.token({ sub: subject }) };
    assert.equal((await ask(entra, form)).status, 200);
    // It is not made for one request.
    assert.equal((await ask(entra, form)).status, 200);
    assert.equal((await tried(issuer.token({ sub: subject, aud: [EXCHANGE] }))).status, 200);
  });

  const none = { certificates: [] };
  const faults: readonly (readonly [
    what: string,
    number: number,
    token: () => string,
    app?: RegisteredApp,
  ])[] = [
    ["the app has no federated credential", 70021, () => issuer.token({ sub: subject }), none],
    ["the issuer is another", 700211, () => issuer.token({ sub: subject, iss: "https://x/" })],
    ["the audience is another", 700212, () => issuer.token({ sub: subject, aud: "api://x" })],
    ["the subject is another", 700213, () => issuer.token({ sub: `${subject}2` })],
    ["it has ended", 700024, () => issuer.token({ sub: subject, exp: NOW - 1000 })],
    ["another key has signed it", 50013, () => foreign.token({ sub: subject })],
  ];
  for (const [what, number, token, app] of faults) {
    it(`gets AADSTS${number} if ${what}`, async () => {
      assert.deepEqual(await tried(token(), app), { status: 401, token: undefined, number });
    });
  }
});
