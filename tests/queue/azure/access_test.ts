/**
 * Ways to a storage account with the queue, against Azurite: an account key, a shared access signature, an
 * identity's token over https; and what an administrator reads where there is none.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import {
  AccountSASPermissions,
  generateAccountSASQueryParameters,
  SASProtocol,
  StorageSharedKeyCredential,
} from "@azure/storage-blob";
import { azureCredential } from "../../../src/azure/credential.ts";
import type { HttpClient } from "../../../src/http/client.ts";
import type { HttpRequest } from "../../../src/http/types.ts";
import { openAzureAdministration, openAzureQueue } from "../../../src/queue/azure/open.ts";
import { StoreError } from "../../../src/queue/store.ts";
import { type StorageAccess, storageAccess } from "../../../src/settings/storage_access.ts";
import { createAuthority } from "../../support/authority.ts";
import { ACCOUNT, ACCOUNT_KEY } from "../../support/azurite.ts";
import { AzureQueue, DAY, KEY, newMessage, NOBODY, octetsOf } from "../../support/azure_queue.ts";
import { type AzuriteStorage, startAzuriteStorage } from "../../support/azurite_storage.ts";
import { type CloudServer, startCloud } from "../../support/cloud.ts";
import { httpClient } from "../../support/http.ts";

/** What a queue does from end to end. */
async function tryAll(options: Parameters<typeof openAzureQueue>[0]): Promise<void> {
  const store = await openAzureQueue(options);
  const message = newMessage({ octets: new Uint8Array(5_000_000).fill(7) });
  await store.add(message);
  const [taken] = await store.take(1, NOBODY);
  assert.deepEqual(await octetsOf(taken!.content()), await octetsOf(message.content()));
  assert.equal(await taken!.sending(1, new Uint8Array(0)), true);
  const due = Date.now();
  await taken!.giveBack({ state: "held", due, attempts: 1, code: "X", note: new Uint8Array(0) });
  const administration = await openAzureAdministration(options);
  const [stored] = await administration.list(10);
  assert.deepEqual([stored!.id, stored!.state], [message.id, "held"]);
  assert.equal(await administration.delete(message.id), "done");
  await administration.close();
  await store.close();
}

/** @param permissions such as `rwdlcup` */
function signature(permissions: string, resourceTypes = "co"): StorageAccess {
  const key = new StorageSharedKeyCredential(ACCOUNT, ACCOUNT_KEY);
  const sas = generateAccountSASQueryParameters({
    services: "bq",
    resourceTypes,
    permissions: AccountSASPermissions.parse(permissions),
    expiresOn: new Date(Date.now() + 3_600_000),
    protocol: SASProtocol.HttpsAndHttp,
  }, key);
  return storageAccess.parse(`SharedAccessSignature=${sas}`)!;
}

describe("a queue in a storage account on the loopback", () => {
  let azurite: AzuriteStorage;
  let http: HttpClient;
  const options = (changes: object = {}) => ({
    ...new AzureQueue(azurite).options(http),
    maxAge: 2 * DAY,
    ...changes,
  });
  before(async () => {
    azurite = await startAzuriteStorage();
    http = httpClient();
  });
  after(async () => {
    http.close();
    await azurite.stop();
  });

  it("works with an account key", () => tryAll(options()));

  it("works with a shared access signature", () =>
    tryAll(options({ access: signature("rwdlacup") })));

  it("works with rights that do not create what is there already", async () => {
    const name = "made-by-an-administrator";
    let refused = 0;
    const limited = {
      request(request: HttpRequest) {
        const { method, url } = request;
        if (method !== "PUT" || !url.pathname.endsWith(`/${name}`)) return http.request(request);
        refused++;
        return Promise.resolve({
          type: "response" as const,
          status: 403,
          headers: new Map([["x-ms-error-code", "AuthorizationPermissionMismatch"]]),
          body: new Uint8Array(),
        });
      },
    };
    await assert.rejects(openAzureQueue(options({ name, http: limited })), {
      code: "AuthorizationPermissionMismatch",
    });
    const made = await openAzureQueue(options({ name }));
    await made.close();
    refused = 0;
    await tryAll(options({ name, http: limited }));
    assert.equal(refused, 4);
  });

  it("does not show the signature or the key when it is refused", async () => {
    const wrong = storageAccess.parse(`AccountName=${ACCOUNT};AccountKey=d3Jvbmcga2V5`)!;
    await assert.rejects(openAzureQueue(options({ access: wrong })), (error) => {
      assert(error instanceof StoreError);
      assert.equal(error.code, "AuthorizationFailure");
      assert.match(error.message, /give the relay's identity the role "Storage Blob Data Contri/);
      assert(!error.message.includes("d3Jvbmcga2V5"));
      return true;
    });
    const reader = signature("rl");
    const opened = openAzureQueue(options({ access: reader }));
    await assert.rejects(opened, (error) => {
      assert(error instanceof StoreError);
      assert.match(error.code, /^Authoriz|^Insufficient/);
      assert(reader.type === "sas" && !error.message.includes(reader.signature.reveal()));
      assert(!error.message.includes("sig="));
      return true;
    });
  });

  const DENIED = [
    ["queues", '"Storage Queue Data Contributor"', 403, "AuthorizationPermissionMismatch"],
    ["blobs", '"Storage Blob Data Contributor"', 403, "AuthorizationPermissionMismatch"],
    ["blobs", "--skipApiVersionCheck", 400, "InvalidHeaderValue"],
  ] as const;
  for (const [service, remedy, status, code] of DENIED) {
    it(`says ${remedy} where ${service} answer ${code}`, async () => {
      const { endpoints } = azurite;
      const denying = {
        request: (request: HttpRequest) =>
          request.url.port === endpoints[service].port
            ? Promise.resolve({
              type: "response" as const,
              status,
              headers: new Map([["x-ms-error-code", code]]),
              body: new Uint8Array(),
            })
            : http.request(request),
      };
      await assert.rejects(openAzureQueue(options({ http: denying })), (error) => {
        assert(error instanceof StoreError);
        assert.equal(error.code, code);
        assert(error.message.includes(remedy), error.message);
        return true;
      });
    });
  }

  it("says that an account cannot be reached", async () => {
    const gone = await startAzuriteStorage();
    await gone.stop();
    await assert.rejects(openAzureQueue(options({ endpoints: gone.endpoints })), (error) => {
      assert(error instanceof StoreError);
      assert.equal(error.code, "ECONNREFUSED");
      assert.match(error.message, /^127\.0\.0\.1:\d+ cannot be reached: ECONNREFUSED$/);
      return true;
    });
  });

  it("never sends a request to another host, whatever a response says", async () => {
    const hosts = new Set<string>();
    const watching = {
      request(request: HttpRequest) {
        hosts.add(request.url.host);
        return Promise.resolve({
          type: "response" as const,
          status: 307,
          headers: new Map([["location", "http://127.0.0.2/elsewhere"]]),
          body: new Uint8Array(),
        });
      },
    };
    await assert.rejects(openAzureQueue(options({ http: watching })), StoreError);
    assert.deepEqual([...hosts], [azurite.endpoints.blobs.host]);
  });
});

describe("a queue in a storage account over https", () => {
  const NAMES = [
    "AZURE_TENANT_ID",
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_TOKEN_CREDENTIALS",
  ];
  const earlier = { ...process.env };
  let folder: string;
  let authority: string;
  let azurite: AzuriteStorage;
  let cloud: CloudServer;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "queue-test-"));
    const company = await createAuthority("a company's authority");
    authority = company.certificate;
    const service = await company.issue({ addresses: ["127.0.0.1"] });
    const tls = { certificate: join(folder, "cert.pem"), key: join(folder, "key.pem") };
    writeFileSync(tls.certificate, service.certificate);
    writeFileSync(tls.key, service.privateKey);
    [azurite, cloud] = await Promise.all([startAzuriteStorage({ tls }), startCloud()]);
  });
  after(async () => {
    for (const name of NAMES) {
      if (earlier[name] === undefined) delete process.env[name];
      else process.env[name] = earlier[name];
    }
    await Promise.all([azurite.stop(), cloud.close()]);
    rmSync(folder, { recursive: true });
  });

  function byIdentity(secret: string, authorities = [authority]) {
    Object.assign(process.env, {
      AZURE_TOKEN_CREDENTIALS: "EnvironmentCredential",
      AZURE_TENANT_ID: "11111111-2222-4333-8444-555555555555",
      AZURE_CLIENT_ID: "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee",
      AZURE_CLIENT_SECRET: secret,
    });
    const http = httpClient({ authorities });
    return {
      ...new AzureQueue(azurite).options(http),
      maxAge: 2 * DAY,
      access: () => azureCredential({ http, authorityHost: cloud.authority }),
    };
  }

  it("works with an identity's token, one for both services", async () => {
    const options = byIdentity("identity-secret");
    const credential = await options.access();
    await tryAll({ ...options, access: () => Promise.resolve(credential) });
    assert.equal([...cloud.entra.requests.values()].reduce((sum, count) => sum + count, 0), 1);
  });

  it("says why an identity gets no token, without its secret", async () => {
    await assert.rejects(openAzureQueue(byIdentity("expired-secret")), (error) => {
      assert(error instanceof StoreError);
      assert.equal(error.code, "AADSTS7000222");
      assert.match(error.message, /relay's own identity got no token for 127\.0\.0\.1/);
      assert(!error.message.includes("expired-secret"));
      return true;
    });
  });

  it("is not used with a certificate of an untrusted authority", async () => {
    const options = { ...byIdentity("identity-secret", []), access: KEY };
    await assert.rejects(openAzureQueue(options), (error) => {
      assert(error instanceof StoreError);
      assert.match(error.code, /CERT|VERIFY|SELF_SIGNED|ISSUER/i);
      return true;
    });
  });
});
