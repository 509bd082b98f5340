// The notes: one blob each, with the time at which it is forgotten in its metadata.

import { Buffer } from "node:buffer";
import type { ContainerClient } from "@azure/storage-blob";
import type { Clock } from "../../clock.ts";
import { asBuffer } from "../../octets.ts";
import type { Notes } from "../store.ts";
import { BLOB_ROLE, repeated, type Service, ServiceError } from "./service_error.ts";

const FOLDER = "notes/";
/** Milliseconds between two cleanups. */
const CLEANUP = 24 * 3_600_000;

export class BlobNotes implements Notes {
  readonly #container: ContainerClient;
  readonly #clock: Clock;
  readonly #service: Service;
  #cancel: (() => void) | undefined;

  constructor(container: ContainerClient, clock: Clock) {
    this.#container = container;
    this.#clock = clock;
    this.#service = { host: new URL(container.url).host, role: BLOB_ROLE };
  }

  /** Deletes forgotten notes from time to time. */
  open(): void {
    // Soon after the start: a relay may not live for a day.
    this.#cleanUpIn(CLEANUP / 24 * (1 + this.#clock.random()));
  }

  close(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    const blob = this.#container.getBlobClient(nameOf(key));
    try {
      return await this.#repeated(async () => {
        const { metadata, readableStreamBody } = await blob.download();
        const parts: Uint8Array[] = [];
        for await (const part of readableStreamBody ?? []) {
          parts.push(part as unknown as Uint8Array);
        }
        return this.#isForgotten(metadata) ? undefined : Buffer.concat(parts);
      });
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  async set(key: string, value: Uint8Array, until: number): Promise<void> {
    const blob = this.#container.getBlockBlobClient(nameOf(key));
    const options = { metadata: { until: String(until) } };
    await this.#repeated(() => blob.upload(asBuffer(value), value.length, options));
  }

  #isForgotten(metadata: Record<string, string> | undefined): boolean {
    return !(Number(metadata?.["until"]) > this.#clock.date());
  }

  #cleanUpIn(time: number): void {
    this.#cancel = this.#clock.alarm(time, () => {
      this.#cleanUp().catch(() => {}).then(() => {
        if (this.#cancel !== undefined) this.#cleanUpIn(CLEANUP);
      });
    });
  }

  async #cleanUp(): Promise<void> {
    const notes = this.#container.listBlobsFlat({ prefix: FOLDER, includeMetadata: true });
    for await (const { name, metadata, properties } of notes) {
      if (this.#cancel === undefined) return;
      if (!this.#isForgotten(metadata)) continue;
      // Only if it was not set again meanwhile.
      const ifMatch = `"${properties.etag.replaceAll('"', "")}"`;
      const blob = this.#container.getBlobClient(name);
      await this.#repeated(() => blob.delete({ conditions: { ifMatch } })).catch(() => {});
    }
  }

  #repeated<T>(request: () => Promise<T>): Promise<T> {
    return repeated(this.#service, this.#clock, request);
  }
}

/** Any text as a name. */
function nameOf(key: string): string {
  return FOLDER + Buffer.from(key, "utf8").toString("base64url");
}

function isMissing(error: unknown): boolean {
  return error instanceof ServiceError && error.status === 404 &&
    error.code !== "ContainerNotFound";
}
