// The relay's own identity: the SDK's `DefaultAzureCredential` uses the simulated Entra ID, over
// our own client. `AZURE_TOKEN_CREDENTIALS` is pinned in every test: nothing asks the machine.

import assert from "node:assert/strict";
import process from "node:process";
import { afterEach, beforeEach, describe, it } from "node:test";
import { azureCredential } from "../../src/azure/credential.ts";
import type { HttpClient, HttpRequest } from "../../src/http/client.ts";
import { WRONG_SECRET } from "../../src/sandbox/entra.ts";
import { Secret } from "../../src/secret.ts";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import { httpClient } from "../support/http.ts";

const TENANT = "11111111-1111-1111-1111-111111111111";
const CLIENT = "22222222-2222-2222-2222-222222222222";
const SCOPE = "https://storage.azure.com/.default";
const NAMES = [
  "AZURE_TOKEN_CREDENTIALS",
  "AZURE_TENANT_ID",
  "AZURE_CLIENT_ID",
  "AZURE_CLIENT_SECRET",
] as const;

describe("the relay's own identity", () => {
  let cloud: CloudServer;
  let http: HttpClient;
  let before: (string | undefined)[];
  beforeEach(async () => {
    before = NAMES.map((name) => process.env[name]);
    cloud = await startCloud();
    http = httpClient();
    setAll(["EnvironmentCredential", TENANT, CLIENT, undefined]);
  });
  afterEach(async () => {
    setAll(before);
    http.close();
    await cloud.close();
  });

  function setAll(values: readonly (string | undefined)[]): void {
    NAMES.forEach((name, index) => {
      if (values[index] === undefined) delete process.env[name];
      else process.env[name] = values[index];
    });
  }

  it("gets its token with the secret handed on to the SDK, and leaves none in the environment", async () => {
    const clientSecret = new Secret("from a file");
    const credential = await azureCredential({
      http,
      authorityHost: cloud.authority,
      clientSecret,
    });
    assert.equal(process.env["AZURE_CLIENT_SECRET"], undefined);
    const token = await credential.getToken(SCOPE);
    assert.equal(cloud.entra.verify(token!.token)?.client, CLIENT);
    assert.deepEqual(
      cloud.seen.map((line) => line.replace(/\?.*$/, "")),
      [`POST /entra/${TENANT}/oauth2/v2.0/token`],
      "one request",
    );
  });

  it("gets its token with the secret of the environment, and asks once for many", async () => {
    process.env["AZURE_CLIENT_SECRET"] = "in the environment";
    const credential = await azureCredential({ http, authorityHost: cloud.authority });
    assert.equal(process.env["AZURE_CLIENT_SECRET"], "in the environment");
    const first = await credential.getToken(SCOPE);
    assert.equal((await credential.getToken(SCOPE))!.token, first!.token);
    assert.equal(cloud.seen.length, 1);
  });

  it("reports Entra ID's response to a wrong secret, and not the secret", async () => {
    const clientSecret = new Secret(WRONG_SECRET);
    const credential = await azureCredential({
      http,
      authorityHost: cloud.authority,
      clientSecret,
    });
    await assert.rejects(
      async () => await credential.getToken(SCOPE),
      (error: Error) => /AADSTS7000215/.test(error.message) && !/wrong-secret/.test(error.message),
    );
  });

  it("names the missing variable if there is no secret", async () => {
    const credential = await azureCredential({ http, authorityHost: cloud.authority });
    await assert.rejects(async () => await credential.getToken(SCOPE), /EnvironmentCredential/);
    assert.deepEqual(cloud.seen, []);
  });

  it("refuses a value of AZURE_TOKEN_CREDENTIALS that the SDK does not know", async () => {
    process.env["AZURE_TOKEN_CREDENTIALS"] = "nonsense";
    await assert.rejects(
      azureCredential({ http, authorityHost: cloud.authority }),
      /AZURE_TOKEN_CREDENTIALS/,
    );
  });

  for (
    const authority of [
      "https://login.microsoftonline.com",
      "https://login.microsoftonline.us",
      "https://login.partner.microsoftonline.cn",
    ]
  ) {
    it(`asks ${authority} itself, with one request`, async () => {
      // Nothing leaves: the request is examined and answered here.
      const asked: string[] = [];
      const local = {
        request({ method, url }: HttpRequest) {
          asked.push(`${method} ${url}`);
          const body = JSON.stringify({
            token_type: "Bearer",
            expires_in: 3599,
            access_token: "a-token",
          });
          return Promise.resolve({
            type: "response" as const,
            status: 200,
            headers: new Map(),
            body: new TextEncoder().encode(body),
          });
        },
      };
      const credential = await azureCredential({
        http: local,
        authorityHost: new URL(authority),
        clientSecret: new Secret("s"),
      });
      assert.equal((await credential.getToken(SCOPE))!.token, "a-token");
      assert.deepEqual(asked.map((line) => line.replace(/\?.*$/, "")), [
        `POST ${authority}/${TENANT}/oauth2/v2.0/token`,
      ]);
    });
  }
});
