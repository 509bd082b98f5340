// The `queue` command with the program as its users run it, on a storage account (Azurite) that a relay uses.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { HttpClient } from "../../src/http/client.ts";
import { openAzureQueue } from "../../src/queue/azure/open.ts";
import { Sealer } from "../../src/queue/sealing.ts";
import type { QueueStore } from "../../src/queue/store.ts";
import { storageAccess } from "../../src/settings/storage_access.ts";
import { ACCOUNT_KEY, CONNECTION_STRING } from "../support/azurite.ts";
import { type AzuriteStorage, startAzuriteStorage } from "../support/azurite_storage.ts";
import { newMessage, QUEUED_SECRET, queueKey } from "../support/fake_queue.ts";
import { httpClient } from "../support/http.ts";
import { PROGRAMS, run } from "./programs.ts";

const KEY = queueKey();
const sealer = new Sealer([KEY]);
const CONTENT = "Subject: s\r\n\r\nGr\u00fc\u00dfe\r\n";

for (const program of PROGRAMS) {
  describe(`the queue command on a storage account, on ${program.name}`, () => {
    let azurite: AzuriteStorage;
    let http: HttpClient;
    let relay: QueueStore;
    let dead: string;
    let held: string;
    before(async () => {
      azurite = await startAzuriteStorage();
      http = httpClient();
      const { endpoints } = azurite;
      const access = storageAccess.parse(CONNECTION_STRING)!;
      relay = await openAzureQueue({ http, endpoints, access, maxAge: 172_800_000 });
      dead = await add("dead");
      held = await add("held");
    });
    after(async () => {
      await relay.close();
      http.close();
      await azurite.stop();
    });

    async function add(state: "held" | "dead"): Promise<string> {
      const message = newMessage({ sealer, content: CONTENT });
      await relay.add(message);
      const [taken] = await relay.take(1, new Set());
      assert.equal(taken?.stored.id, message.id);
      const note = new Uint8Array();
      await taken.giveBack({ state, due: Date.now(), attempts: 1, code: "AADSTS7000222", note });
      return message.id;
    }

    async function queue(args: readonly string[], more: Record<string, string> = {}) {
      const { blobs, queues } = azurite.endpoints;
      const running = run(program, ["queue", ...args], {
        QUEUE_URL: "azure-storage:",
        QUEUE_KEY: KEY.reveal(),
        QUEUE_CONNECTION_STRING:
          `${CONNECTION_STRING};BlobEndpoint=${blobs.href};QueueEndpoint=${queues.href}`,
        ...more,
      });
      const status = await running.exited;
      const { stdout, stderr } = running;
      for (const secret of [KEY.reveal(), ACCOUNT_KEY, QUEUED_SECRET]) {
        assert(!(stdout + stderr).includes(secret));
      }
      return { status, stdout, stderr };
    }

    it("lists, shows, exports, retries and deletes what the relay has", async () => {
      const list = JSON.parse((await queue(["list", "--json"])).stdout) as { id: string }[];
      assert.deepEqual(list.map(({ id }) => id), [dead, held]);
      assert.match((await queue(["show", held])).stdout, /^code +AADSTS7000222$/m);
      assert.equal((await queue(["export", held])).stdout, CONTENT);
      const retried = await queue(["retry", "--state", "held"]);
      assert.deepEqual([retried.status, retried.stdout], [0, "1 message is due now\n"]);
      const deleted = await queue(["delete", dead, "--yes"]);
      assert.deepEqual([deleted.status, deleted.stdout], [0, `Message "${dead}" is deleted\n`]);
      const left = JSON.parse((await queue(["list", "--json"])).stdout);
      assert.deepEqual([left.length, left[0].id, left[0].state], [1, held, "queued"]);
    });

    it("says what is wrong with the account or the access to it", async () => {
      const wrong = await queue(["list"], {
        QUEUE_CONNECTION_STRING: "AccountName=x",
      });
      assert.equal(wrong.status, 78);
      const away = await queue(["list"], {
        QUEUE_URL: "azure-storage:http://127.0.0.1:1/devstoreaccount1",
      });
      assert.equal(away.status, 1);
      assert.match(away.stderr, /^smtp-oauth-relay: the queue: 127\.0\.0\.1:1 cannot be reached/);
      // No identity: the machine is not asked for one (AZURE_TOKEN_CREDENTIALS).
      const nobody = await queue(["list"], {
        QUEUE_URL: "azure-storage:https://example.queue.core.windows.net",
        QUEUE_CONNECTION_STRING: "",
      });
      assert.equal(nobody.status, 1);
      assert.match(nobody.stderr, /identity got no token for example\.blob\.core\.windows\.net/);
    });
  });
}
