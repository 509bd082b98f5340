// The SDKs' own clients for table and vault, with the relay's identity, as the settings want it:
// through the proxy, with a certificate of one's own authority, in every cloud. Nothing of it leaves
// this machine: the names are under .test (RFC 6761 §6.2), and those of the clouds are only compared.

import assert from "node:assert/strict";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import type { AccessToken, TokenCredential } from "@azure/core-auth";
import { TableClient } from "@azure/data-tables";
import { SecretClient } from "@azure/keyvault-secrets";
import { azureCredential } from "../../src/azure/credential.ts";
import { azureClientOptions } from "../../src/azure/transport.ts";
import { outgoingClient } from "../../src/relay/http_client.ts";
import type { HttpClient, HttpRequest } from "../../src/http/client.ts";
import { currentRuntime } from "../../src/runtime/current.ts";
import { cloudOf } from "../../src/settings/clouds.ts";
import { createAuthority } from "../support/authority.ts";
import { type ProxyServer, startProxy } from "../support/proxy.ts";
import { settingsOf } from "../support/settings.ts";

const TENANT = "11111111-1111-1111-1111-111111111111";
const CLIENT = "22222222-2222-2222-2222-222222222222";

describe("table and vault behind a proxy, with a certificate of a private authority", () => {
  let service: Server;
  let proxy: ProxyServer;
  let authority: string;
  const names = { AZURE_TENANT_ID: TENANT, AZURE_CLIENT_ID: CLIENT } as const;
  const earlier = { ...process.env };
  /** What has been asked, and with which token. */
  const seen: string[] = [];
  before(async () => {
    Object.assign(process.env, names, {
      AZURE_TOKEN_CREDENTIALS: "EnvironmentCredential",
      // Not a URL for the SDKs: they must not parse it.
      HTTPS_PROXY: "10.0.0.1:3128",
    });
    const company = await createAuthority("a company's authority");
    authority = company.certificate;
    const { certificate, privateKey } = await company.issue({
      names: ["login.relay.test", "account.table.relay.test", "relay.vault.relay.test"],
    });
    service = createServer({ cert: certificate, key: privateKey }, (request, response) => {
      const { host, authorization = "" } = request.headers;
      const path = request.url!.replace(/\?.*/, "");
      seen.push(`${request.method} ${host}${path} ${authorization}`.trim());
      let body = "";
      request.setEncoding("utf8").on("data", (text: string) => body += text);
      request.on("end", () => {
        const json = (value: object) =>
          response.writeHead(200, { "Content-Type": "application/json" })
            .end(JSON.stringify(value));
        if (host === "login.relay.test") {
          const scope = new URLSearchParams(body).get("scope")!;
          json({ token_type: "Bearer", expires_in: 3599, access_token: `for ${scope}` });
        } else if (host!.includes("vault") && authorization === "") {
          // https://learn.microsoft.com/azure/key-vault/general/authentication-requests-and-responses
          response.writeHead(401, {
            "WWW-Authenticate": `Bearer authorization="https://login.relay.test/${TENANT}", ` +
              `resource="https://vault.relay.test"`,
          }).end();
        } else if (host!.includes("vault")) {
          json({ value: "a secret", id: `https://${host}/secrets/relay/1`, attributes: {} });
        } else json({ PartitionKey: "user", RowKey: "printer", tenant_id: TENANT });
      });
    });
    await new Promise<void>((resolve) => service.listen(0, "127.0.0.1", resolve));
    const { port } = service.address() as AddressInfo;
    proxy = await startProxy({ route: () => port });
  });
  after(async () => {
    for (const name of [...Object.keys(names), "AZURE_TOKEN_CREDENTIALS", "HTTPS_PROXY"]) {
      if (earlier[name] === undefined) delete process.env[name];
      else process.env[name] = earlier[name];
    }
    await proxy.close();
    service.closeAllConnections();
    await new Promise((resolve) => service.close(resolve));
  });

  it("are reached, and so is Entra ID for the relay's own identity", async () => {
    const settings = settingsOf({
      HTTPS_PROXY: proxy.url,
      AZURE_AUTHORITY_HOST: "https://login.relay.test",
      AZURE_CLIENT_SECRET: "own-secret",
    });
    const http = outgoingClient(settings, await currentRuntime(), [authority]);
    const credential = await azureCredential({
      http,
      authorityHost: cloudOf(settings).authorityHost,
      clientSecret: settings.AZURE_CLIENT_SECRET,
    });
    const options = azureClientOptions(http);
    const table = new TableClient(
      "https://account.table.relay.test",
      "users",
      credential,
      options,
    );
    const entity = await table.getEntity("user", "printer");
    assert.equal(entity["tenant_id"], TENANT);
    const vault = new SecretClient("https://relay.vault.relay.test", credential, options);
    assert.equal((await vault.getSecret("relay")).value, "a secret");
    http.close();

    const token = `POST login.relay.test/${TENANT}/oauth2/v2.0/token`;
    assert.deepEqual(seen, [
      token,
      "GET account.table.relay.test/users(PartitionKey='user',RowKey='printer') " +
      "Bearer for https://storage.azure.com/.default",
      "GET relay.vault.relay.test/secrets/relay/",
      token,
      "GET relay.vault.relay.test/secrets/relay/ Bearer for https://vault.relay.test/.default",
    ]);
    assert.deepEqual(proxy.requests.map((head) => head.split(" ")[1]).sort(), [
      "account.table.relay.test:443",
      "login.relay.test:443",
      "relay.vault.relay.test:443",
    ], "one connection each");
  });
});

describe("the audience of the relay's own token", () => {
  /** Answers every request here, and notes the scopes that tokens are asked for. */
  function pretend(response: (request: HttpRequest) => { status: number; challenge?: string }) {
    const scopes: string[] = [];
    const credential: TokenCredential = {
      getToken(scope): Promise<AccessToken> {
        scopes.push(...[scope].flat());
        return Promise.resolve({ token: "t", expiresOnTimestamp: Date.now() + 3_600_000 });
      },
    };
    const http: Pick<HttpClient, "request"> = {
      request(request) {
        const { status, challenge } = response(request);
        const headers = new Map([["content-type", "application/json"]]);
        if (challenge !== undefined) headers.set("www-authenticate", challenge);
        const body = new TextEncoder().encode(
          '{"id":"https://a.test/secrets/x/1","attributes":{}}',
        );
        return Promise.resolve({ type: "response", status, headers, body });
      },
    };
    return { scopes, credential, options: azureClientOptions(http) };
  }

  for (const domain of ["windows.net", "usgovcloudapi.net", "chinacloudapi.cn"]) {
    it(`is one for the tables of all clouds: core.${domain}`, async () => {
      const { scopes, credential, options } = pretend(() => ({ status: 200 }));
      const url = `https://account.table.core.${domain}`;
      await new TableClient(url, "users", credential, options).getEntity("user", "x");
      assert.deepEqual(scopes, ["https://storage.azure.com/.default"]);
    });
  }

  const VAULTS: readonly (readonly [string, string])[] = [
    ["vault.azure.net", "login.microsoftonline.com"],
    ["vault.usgovcloudapi.net", "login.microsoftonline.us"],
    ["vault.azure.cn", "login.partner.microsoftonline.cn"],
  ];
  for (const [domain, login] of VAULTS) {
    it(`is the vault's own, under ${domain}`, async () => {
      const { scopes, credential, options } = pretend(({ headers }) =>
        Object.keys(headers).some((name) => /^authorization$/i.test(name)) ? { status: 200 } : {
          status: 401,
          challenge: `Bearer authorization="https://${login}/${TENANT}", ` +
            `resource="https://${domain}"`,
        }
      );
      await new SecretClient(`https://relay.${domain}`, credential, options).getSecret("x");
      assert.deepEqual(scopes, [`https://${domain}/.default`]);
    });
  }

  it("is never another service's, whatever a vault sends", async () => {
    const { scopes, credential, options } = pretend(() => ({
      status: 401,
      challenge: 'Bearer authorization="https://login.microsoftonline.com/x", ' +
        'resource="https://graph.microsoft.com"',
    }));
    const vault = new SecretClient("https://relay.vault.azure.net", credential, options);
    await assert.rejects(vault.getSecret("x"), /does not match the requested domain/);
    assert.deepEqual(scopes, []);
  });
});
