// Opens a queue in an Azure storage account. The SDKs are loaded here.

import type { TokenCredential } from "@azure/core-auth";
import { type Clock, realClock } from "../../clock.ts";
import type { HttpClient } from "../../http/client.ts";
import { storageClients } from "../../azure/storage_clients.ts";
import type { StorageAccess } from "../../settings/storage_access.ts";
import type { QueueAdministration, QueueStore } from "../store.ts";
import { AzureAdministration } from "./administration.ts";
import { AzureStore } from "./azure_store.ts";
import { BlobNotes } from "./blob_notes.ts";
import { MessageBlobs } from "./message_blobs.ts";
import { Pointers } from "./pointers.ts";

/** The container and the queue of the account. */
export const QUEUE_NAME = "smtp-oauth-relay";
/** Milliseconds beyond the age at which the queue gives messages up. */
const DAY = 24 * 3_600_000;

export interface AzureQueueOptions {
  readonly http: Pick<HttpClient, "request">;
  /** URLs of the account's services. */
  readonly endpoints: { readonly blobs: URL; readonly queues: URL };
  /** An account key or a signature; or what makes the credential of an identity. */
  readonly access: StorageAccess | (() => Promise<TokenCredential>);
  /** The machine's own time when left out. */
  readonly clock?: Clock;
  /** Of the container and of the queue; {@link QUEUE_NAME} when left out. */
  readonly name?: string;
}

export interface AzureStoreSettings extends AzureQueueOptions {
  /** QUEUE_MAX_AGE, in milliseconds. */
  readonly maxAge: number;
  /** Seconds that a relay owns a message without renewal; for tests. */
  readonly lease?: number;
  /** Milliseconds in which an addition surely ends; for tests. */
  readonly adding?: number;
}

/**
 * Creates the container and the queue if they do not exist, and counts what is there.
 *
 * @throws StoreError
 */
export async function openAzureQueue(options: AzureStoreSettings): Promise<QueueStore> {
  const { maxAge, lease, adding } = options;
  const { container, blobs, pointers, clock } = await openParts(options);
  await blobs.open();
  await pointers.open();
  const store = new AzureStore(blobs, pointers, new BlobNotes(container, clock), {
    clock,
    orphanAge: maxAge + DAY,
    ...(lease === undefined ? {} : { lease }),
    ...(adding === undefined ? {} : { adding }),
  });
  await store.open();
  return store;
}

/** @throws StoreError */
export async function openAzureAdministration(
  options: AzureQueueOptions,
): Promise<QueueAdministration> {
  const { container, blobs, pointers, clock } = await openParts(options);
  await blobs.open();
  await pointers.open();
  return new AzureAdministration(blobs, pointers, new BlobNotes(container, clock), clock);
}

/** Sends nothing yet. */
export async function openParts(
  { http, endpoints, access, clock = realClock, name = QUEUE_NAME }: AzureQueueOptions,
) {
  const credential = typeof access === "function" ? await access() : access;
  const clients = await storageClients({ http, endpoints, access: credential, name });
  return {
    ...clients,
    clock,
    blobs: new MessageBlobs(clients.container, clock),
    pointers: new Pointers(clients.queue, clock),
  };
}
