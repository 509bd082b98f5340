// The stores of the crashes: a SQLite database in a directory of its own, and Azurite.

import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { storageClients } from "../../src/azure/storage_clients.ts";
import { HttpClient } from "../../src/http/client.ts";
import { MESSAGES } from "../../src/queue/azure/message_blob.ts";
import { QUEUE_NAME } from "../../src/queue/azure/open.ts";
import { storageAccess } from "../../src/settings/storage_access.ts";
import { CONNECTION_STRING } from "../../tests/support/azurite.ts";
import { startAzuriteStorage } from "../../tests/support/azurite_storage.ts";

export interface CrashStore {
  readonly settings: Readonly<Record<string, string>>;
  /** Lets what a killed relay has still owned come back. */
  relayDied(): Promise<void>;
  /** Lets what no client was told about be forgotten. @returns whether a relay has to do that */
  forget(): Promise<boolean>;
  /** What is left of messages, as names; nothing once all are sent. */
  left(): Promise<readonly string[]>;
  close(): Promise<void>;
}

export type StoreName = "sqlite" | "azure-storage";

export function openStore(name: StoreName): Promise<CrashStore> {
  return name === "sqlite" ? Promise.resolve(sqlite()) : azurite();
}

function sqlite(): CrashStore {
  const directory = mkdtempSync(join(tmpdir(), "relay-crash-"));
  const path = join(directory, "queue.db");
  return {
    settings: { QUEUE_URL: `sqlite:${path}` },
    relayDied: () => Promise.resolve(),
    forget: () => Promise.resolve(false),
    left: () => Promise.resolve(readdirSync(`${path}.d`)),
    close() {
      rmSync(directory, { recursive: true });
      return Promise.resolve();
    },
  };
}

/** A little more than a lease, in milliseconds, … */
export const LEASE = 125_000;
/** … and than an addition can take. */
const ADDITION = 3_700_000;

async function azurite(): Promise<CrashStore> {
  const service = await startAzuriteStorage();
  const { blobs, queues } = service.endpoints;
  const http = new HttpClient();
  const access = storageAccess.parse(CONNECTION_STRING)!;
  const { container, queue } = await storageClients({
    http,
    endpoints: service.endpoints,
    access,
    name: QUEUE_NAME,
  });
  const left = async () => {
    const names: string[] = [];
    for await (const { name } of container.listBlobsFlat({ prefix: MESSAGES })) {
      names.push(name);
    }
    const { approximateMessagesCount = 0 } = await queue.getProperties();
    return approximateMessagesCount === 0
      ? names
      : [...names, `${approximateMessagesCount} pointers`];
  };
  return {
    settings: {
      QUEUE_URL: "azure-storage:",
      QUEUE_CONNECTION_STRING:
        `${CONNECTION_STRING};BlobEndpoint=${blobs.href};QueueEndpoint=${queues.href}`,
    },
    async relayDied() {
      // What the relay has asked for is still done, most of it before this.
      for (let round = 0; round < 3; round++) {
        // They fail before the first relay has made them.
        await Promise.allSettled([container.getProperties(), queue.getProperties()]);
      }
      await service.pass(LEASE);
    },
    async forget() {
      await service.pass(ADDITION);
      return true;
    },
    left,
    async close() {
      http.close();
      await service.stop();
    },
  };
}
