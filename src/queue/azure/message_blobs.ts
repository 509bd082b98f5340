// The blobs of the messages.
// https://learn.microsoft.com/rest/api/storageservices/blob-service-rest-api

import { Buffer } from "node:buffer";
import type { ContainerClient } from "@azure/storage-blob";
import type { Clock } from "../../clock.ts";
import { asBuffer, free } from "../../octets.ts";
import { type NewMessage, StoreError } from "../store.ts";
import {
  type BlobEntry,
  type BlobVersion,
  fromMetadata,
  MESSAGES,
  NO_MESSAGE,
  toMetadata,
} from "./message_blob.ts";
import { inPieces, PIECE } from "./blob_pieces.ts";
import { BLOB_ROLE, created, repeated, type Service, ServiceError } from "./service_error.ts";

/** Octets that the first request of a reader asks for: all of a small message. */
const FIRST_PIECE = 256 * 1024;
/** Blobs of one page of a list: parsing a page must not block the event loop for long. */
const PAGE = 100;

export interface WrittenBlob {
  /** Undefined if it is unknown: a response was lost. */
  readonly etag: string | undefined;
  readonly size: number;
  /** The sealed content, if it was sent in one request. */
  readonly content: Buffer | undefined;
}

export interface ReadBlob extends BlobVersion {
  /** From the beginning of the blob. */
  readonly octets: Buffer;
}

export class MessageBlobs {
  readonly #container: ContainerClient;
  readonly #clock: Clock;
  readonly #service: Service;

  constructor(container: ContainerClient, clock: Clock) {
    this.#container = container;
    this.#clock = clock;
    this.#service = { host: new URL(container.url).host, role: BLOB_ROLE };
  }

  /** Creates the container if it does not exist. @throws ServiceError */
  open(): Promise<void> {
    const pages = this.#container.listBlobsFlat({ prefix: MESSAGES }).byPage({ maxPageSize: 1 });
    return created(
      this.#service,
      this.#clock,
      () => this.#container.createIfNotExists(),
      () => pages.next(),
    );
  }

  /**
   * Writes a new blob, at once or not at all.
   *
   * @param progress called before each request after the first one
   * @throws ServiceError; then it is unknown whether the blob exists
   */
  async write(
    name: string,
    entry: BlobEntry,
    message: NewMessage,
    progress: () => Promise<void>,
  ): Promise<WrittenBlob> {
    const blob = this.#container.getBlockBlobClient(name);
    const options = { metadata: toMetadata(entry), conditions: { ifNoneMatch: "*" } };
    const size = message.record.length + message.sealedSize;
    if (size <= PIECE) {
      const [octets = Buffer.alloc(0)] = await Array.fromAsync(inPieces(message));
      const etag = await this.#create(() => blob.upload(octets, octets.length, options));
      return { etag, size: octets.length, content: octets.subarray(message.record.length) };
    }
    const blocks: string[] = [];
    let written = 0;
    for await (const octets of inPieces(message)) {
      if (blocks.length > 0) await progress();
      const id = Buffer.from(String(blocks.length).padStart(6, "0")).toString("base64");
      await this.#repeated(() => blob.stageBlock(id, octets, octets.length));
      blocks.push(id);
      written += octets.length;
      free(octets);
    }
    await progress();
    const etag = await this.#create(() => blob.commitBlockList(blocks, options));
    return { etag, size: written, content: undefined };
  }

  /** The blob's name is new, so a blob that is there already is from the first try. */
  async #create(request: () => Promise<{ etag?: string }>): Promise<string | undefined> {
    return await this.#repeated(async (again) => {
      try {
        return (await request()).etag;
      } catch (error) {
        if (again > 0 && (error as { statusCode?: unknown }).statusCode === 409) return undefined;
        throw error;
      }
    });
  }

  /** The beginning of a blob. @returns undefined if it does not exist. @throws ServiceError */
  async read(name: string): Promise<ReadBlob | undefined> {
    return await this.#found(async () => {
      const response = await this.#container.getBlobClient(name).download(0, FIRST_PIECE);
      const octets = await collected(response.readableStreamBody);
      const size = Number(/\/(\d+)$/.exec(response.contentRange ?? "")?.[1] ?? octets.length);
      return { ...versionOf(name, response, size), octets };
    });
  }

  /** @returns undefined if it does not exist. @throws ServiceError */
  async look(name: string): Promise<BlobVersion | undefined> {
    return await this.#found(async () => {
      const response = await this.#container.getBlobClient(name).getProperties();
      return versionOf(name, response, response.contentLength ?? 0);
    });
  }

  /** The octets of a blob from a place on, in pieces. @throws ServiceError */
  async *octets(name: string, start: number, end: number): AsyncGenerator<Uint8Array> {
    const blob = this.#container.getBlobClient(name);
    for (let at = start; at < end;) {
      const piece = await this.#repeated(async () => {
        const response = await blob.download(at, Math.min(PIECE, end - at));
        return await collected(response.readableStreamBody);
      });
      if (piece.length === 0) throw new StoreError("TRUNCATED", `${name} is too short`);
      at += piece.length;
      yield piece;
    }
  }

  /**
   * Replaces what the metadata says.
   *
   * @param etag of the version that it replaces
   * @returns the new etag; `changed` if there is another version by now, `missing` if there is none
   * @throws ServiceError; then it is unknown whether it was replaced
   */
  async replace(
    name: string,
    entry: BlobEntry,
    etag: string,
  ): Promise<{ readonly etag: string } | "changed" | "missing"> {
    const blob = this.#container.getBlobClient(name);
    try {
      const changed = await this.#repeated(() =>
        blob.setMetadata(toMetadata(entry), { conditions: { ifMatch: etag } })
      );
      return { etag: changed.etag ?? "" };
    } catch (error) {
      return conflictOf(error);
    }
  }

  /**
   * Changes the metadata of whatever version there is.
   *
   * @param change gets the version, and returns undefined to leave it
   * @param known a version that is likely to be the last one
   * @returns the version that is stored then; undefined if there is none
   * @throws ServiceError
   */
  async change(
    name: string,
    change: (entry: BlobEntry) => BlobEntry | undefined,
    known?: BlobVersion,
  ): Promise<BlobVersion | undefined> {
    let version = known ?? await this.look(name);
    for (let again = 0; version !== undefined; again++) {
      const entry = change(version.entry);
      if (entry === undefined) return version;
      const result = await this.replace(name, entry, version.etag);
      if (typeof result === "object") return { ...version, entry, etag: result.etag };
      if (result === "missing") return undefined;
      if (again > 10) throw new StoreError("CONFLICT", `${name} is changed all the time`);
      version = await this.look(name);
    }
    return undefined;
  }

  /** @param etag deletes this version only. @throws ServiceError */
  async delete(name: string, etag?: string): Promise<"deleted" | "changed" | "missing"> {
    const conditions = etag === undefined ? {} : { conditions: { ifMatch: etag } };
    try {
      await this.#repeated(() => this.#container.getBlobClient(name).delete(conditions));
      return "deleted";
    } catch (error) {
      return conflictOf(error);
    }
  }

  /** All messages in order of arrival, in pages. What is no message is left out. @throws ServiceError */
  async *pages(): AsyncGenerator<readonly (BlobVersion & { readonly name: string })[]> {
    const list = this.#container.listBlobsFlat({ prefix: MESSAGES, includeMetadata: true });
    let token: string | undefined;
    do {
      const { value, done } = await this.#repeated(() =>
        list.byPage({
          maxPageSize: PAGE,
          ...(token === undefined ? {} : { continuationToken: token }),
        }).next()
      );
      if (done) return;
      const page = value.segment.blobItems.flatMap((item) => {
        const entry = fromMetadata(item.name, item.metadata);
        if (entry === undefined) return [];
        const { contentLength, etag, lastModified } = item.properties;
        return [{
          name: item.name,
          entry,
          size: contentLength ?? 0,
          // A header field has it in quotation marks, the service's list does not.
          etag: `"${(etag ?? "").replaceAll('"', "")}"`,
          modifiedAt: lastModified.getTime(),
        }];
      });
      token = value.continuationToken || undefined;
      yield page;
    } while (token !== undefined);
  }

  async #found<T>(request: () => Promise<T>): Promise<T | undefined> {
    try {
      return await this.#repeated(request);
    } catch (error) {
      if (error instanceof ServiceError && isNoBlob(error)) return undefined;
      throw error;
    }
  }

  #repeated<T>(request: (again: number) => Promise<T>): Promise<T> {
    return repeated(this.#service, this.#clock, request);
  }
}

/** A container that is missing is another matter: its blobs may come back with it. */
function isNoBlob({ status, code }: ServiceError): boolean {
  return status === 404 && code !== "ContainerNotFound";
}

function conflictOf(error: unknown): "changed" | "missing" {
  if (error instanceof ServiceError) {
    if (error.status === 412) return "changed";
    if (isNoBlob(error)) return "missing";
  }
  throw error;
}

function versionOf(
  name: string,
  response: { metadata?: Record<string, string>; etag?: string; lastModified?: Date },
  size: number,
): BlobVersion {
  const entry = fromMetadata(name, response.metadata);
  if (entry === undefined) {
    throw new StoreError(NO_MESSAGE, `the metadata of ${name} is not a message's`);
  }
  const { etag = "", lastModified } = response;
  return { entry, size, etag, modifiedAt: lastModified?.getTime() ?? 0 };
}

async function collected(stream: NodeJS.ReadableStream | undefined): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of stream ?? []) parts.push(part as unknown as Uint8Array);
  return parts.length === 1 ? asBuffer(parts[0]!) : Buffer.concat(parts);
}
