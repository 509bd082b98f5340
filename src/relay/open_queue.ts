// Opens the queue of the settings.

import { resolve } from "node:path";
import type { HttpClient } from "../http/client.ts";
import type { AzureQueueOptions } from "../queue/azure/open.ts";
import type { QueueAdministration } from "../queue/store.ts";
import { type QueueAccess, queueEndpoints } from "../settings/queue_settings.ts";
import type { IdentitySettings } from "./azure_identity.ts";

export type QueueSettings = QueueAccess & IdentitySettings;

/**
 * The queue for an administrator, beside the relay that works on it. Loads what its store needs.
 *
 * @param settings without problems (`queueAccessProblems`)
 * @throws StoreError if it cannot be opened; CommandError 78 if the relay's own identity cannot be made
 */
export async function openQueueAdministration(
  settings: QueueSettings,
  http: HttpClient,
): Promise<QueueAdministration> {
  const { QUEUE_URL: address } = settings;
  if (address.type === "sqlite") {
    const { openSqliteAdministration } = await import("../queue/sqlite/administration.ts");
    return await openSqliteAdministration(address.path);
  }
  const { openAzureAdministration } = await import("../queue/azure/open.ts");
  return await openAzureAdministration(azureQueueOptions(settings, http));
}

/** Where the queue is, for the log: the path of the database, or the host of the storage account. */
export function queuePlace(settings: QueueAccess): string {
  const { QUEUE_URL: address } = settings;
  if (address.type === "sqlite") return resolve(address.path);
  return `azure-storage ${queueEndpoints(settings)?.blobs.host}`;
}

/** No message has this id. */
const NO_ID = "check";

/**
 * Tries to write to the queue, beside the relay that works on it, and leaves it as it was.
 *
 * @param administration of the same settings
 * @throws StoreError
 */
export async function probeQueue(
  settings: QueueSettings,
  http: HttpClient,
  administration: QueueAdministration,
): Promise<void> {
  if (settings.QUEUE_URL.type === "sqlite") {
    // A transaction that writes, but changes no row.
    await administration.delete(NO_ID);
    return;
  }
  const { probeAzureQueue } = await import("../queue/azure/probe.ts");
  await probeAzureQueue(azureQueueOptions(settings, http));
}

/** What `azure-storage:` is opened with, for an administrator and for the relay. */
export function azureQueueOptions(settings: QueueSettings, http: HttpClient): AzureQueueOptions {
  const endpoints = queueEndpoints(settings);
  if (endpoints === undefined) throw new Error("the settings do not name the storage account");
  const identity = async () =>
    await (await import("./azure_identity.ts")).ownIdentity(settings, http);
  return { http, endpoints, access: settings.QUEUE_CONNECTION_STRING?.access ?? identity };
}
