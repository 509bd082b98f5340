/** What `check` finds of a queue in a storage account, on Azurite. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import {
  AccountSASPermissions,
  generateAccountSASQueryParameters,
  SASProtocol,
  StorageSharedKeyCredential,
} from "@azure/storage-blob";
import { storageClients } from "../../src/azure/storage_clients.ts";
import { checkQueue } from "../../src/check/queue_check.ts";
import { HttpClient } from "../../src/http/client.ts";
import { QUEUE_NAME } from "../../src/queue/azure/open.ts";
import { currentRuntime } from "../../src/runtime/current.ts";
import { loadSettings } from "../../src/settings/load.ts";
import { ACCOUNT, ACCOUNT_KEY } from "../support/azurite.ts";
import { type AzuriteStorage, startAzuriteStorage } from "../support/azurite_storage.ts";
import { KEY } from "../support/azure_queue.ts";
import { queueKey } from "../support/fake_queue.ts";

const WRONG_KEY = "V3Jvbmcta2V5LXRoYXQtbXVzdC1ub3Qtc2hvdw==";

describe("a queue in a storage account", () => {
  let azurite: AzuriteStorage;
  let http: HttpClient;
  before(async () => {
    azurite = await startAzuriteStorage();
    const { connect } = await currentRuntime();
    http = new HttpClient({ connect });
  });
  after(async () => {
    http.close();
    await azurite.stop();
  });

  /** @param port in place of the emulator's */
  async function check(key: string, port?: string) {
    const found = await checkWith(`AccountName=${ACCOUNT};AccountKey=${key}`, port);
    assert(!JSON.stringify(found).includes(key));
    return found;
  }

  async function checkWith(access: string, port?: string) {
    const { blobs, queues } = azurite.endpoints;
    const at = (url: URL) =>
      port === undefined ? url.href : url.href.replace(/:\d+\//, `:${port}/`);
    const loaded = loadSettings({
      DELIVERY_MODE: "queue",
      QUEUE_URL: "azure-storage:",
      QUEUE_KEY: queueKey().reveal(),
      QUEUE_CONNECTION_STRING: `${access};` +
        `BlobEndpoint=${at(blobs)};QueueEndpoint=${at(queues)}`,
    });
    assert(loaded.type === "settings", JSON.stringify(loaded));
    const place = { directory: "/", isMade: () => false };
    return await checkQueue({ settings: loaded.settings, http, place });
  }

  it("is in order if it can be read and changed", async () => {
    const found = await check(ACCOUNT_KEY);
    assert.deepEqual(found.map(({ code }) => code), ["queue.ok"]);
    assert.match(found[0]!.what, /^azure-storage 127\.0\.0\.1:\d+ has 0 messages$/);
  });

  it("stays as it was", async () => {
    const { endpoints } = azurite;
    const { container, queue } = await storageClients({
      http,
      endpoints,
      access: KEY,
      name: QUEUE_NAME,
    });
    await check(ACCOUNT_KEY);
    for await (const { name } of container.listBlobsFlat()) assert.fail(`${name} is left`);
    assert.equal((await queue.getProperties()).approximateMessagesCount, 0);
  });

  for (const [may, lacking] of [["rl", "write"], ["rlw", "delete"]] as const) {
    it(`is named if the access may not ${lacking}`, async () => {
      await check(ACCOUNT_KEY);
      const key = new StorageSharedKeyCredential(ACCOUNT, ACCOUNT_KEY);
      const signature = generateAccountSASQueryParameters({
        services: "bq",
        resourceTypes: "co",
        permissions: AccountSASPermissions.parse(may),
        expiresOn: new Date(Date.now() + 3_600_000),
        protocol: SASProtocol.HttpsAndHttp,
      }, key);
      const [found, ...others] = await checkWith(`SharedAccessSignature=${signature}`);
      assert.deepEqual([found!.code, others], ["queue.forbidden", []]);
      assert.match(found!.what, /role "Storage (?:Blob|Queue) Data Contributor"/);
    });
  }

  it("is named if the account refuses, with what to do", async () => {
    const [found, ...others] = await check(WRONG_KEY);
    assert.deepEqual([found!.code, others], ["queue.forbidden", []]);
    assert.match(found!.what, /AuthenticationFailed|AuthorizationFailure/);
  });

  it("is named if the account cannot be reached", async () => {
    const [found, ...others] = await check(ACCOUNT_KEY, "1");
    assert.deepEqual([found!.code, others], ["queue.unreachable", []]);
  });
});
