// The clients of the storage SDKs (blobs and queues) over the relay's HTTP client.

import type { TokenCredential } from "@azure/core-auth";
import type { HttpClient as PipelineClient } from "@azure/core-rest-pipeline";
import type { ContainerClient, IHttpClient, StoragePipelineOptions } from "@azure/storage-blob";
import type { QueueClient } from "@azure/storage-queue";
import type { HttpClient } from "../http/client.ts";
import type { StorageAccess } from "../settings/storage_access.ts";
import { azureClientOptions } from "./transport.ts";

/** Milliseconds for a request besides its body, and for each octet of a body that is sent or asked for. */
const TIMEOUT = 20_000;
const TIMEOUT_PER_OCTET = 1 / 64;
/** Octets of the largest response: a piece of a blob. */
const LARGEST_RESPONSE = 4 * 1024 * 1024;

export interface StorageClientOptions {
  readonly http: Pick<HttpClient, "request">;
  /** URLs of the account's services. */
  readonly endpoints: { readonly blobs: URL; readonly queues: URL };
  readonly access: StorageAccess | TokenCredential;
  /** Of the container and of the queue. */
  readonly name: string;
}

export interface StorageClients {
  readonly container: ContainerClient;
  readonly queue: QueueClient;
}

/** Loads the SDKs. Their own retries are off: which request may be repeated depends on what it does. */
export async function storageClients(
  { http, endpoints, access, name }: StorageClientOptions,
): Promise<StorageClients> {
  const [blobs, queues] = await Promise.all([
    import("@azure/storage-blob"),
    import("@azure/storage-queue"),
  ]);
  const create = <Client>(
    sdk: {
      readonly StorageSharedKeyCredential: new (account: string, key: string) => unknown;
      readonly AnonymousCredential: new () => unknown;
    },
    Client: new (url: string, credential: never, options: StoragePipelineOptions) => Client,
    endpoint: URL,
  ): Client => {
    const url = `${endpoint.href.replace(/\/+$/, "")}/${name}`;
    const options = pipelineOptions(http, endpoint);
    if ("getToken" in access) return new Client(url, access as never, options);
    if (access.type === "key") {
      const key = new sdk.StorageSharedKeyCredential(access.account, access.key.reveal());
      return new Client(url, key as never, options);
    }
    const signed = `${url}?${access.signature.reveal()}`;
    return new Client(signed, new sdk.AnonymousCredential() as never, options);
  };
  return {
    container: create(blobs, blobs.ContainerClient, endpoints.blobs),
    queue: create(queues, queues.QueueClient, endpoints.queues),
  };
}

function pipelineOptions(
  http: Pick<HttpClient, "request">,
  endpoint: URL,
): StoragePipelineOptions {
  const { httpClient, proxyOptions } = azureClientOptions(http, endpoint.origin);
  return {
    httpClient: adapted(httpClient, endpoint.protocol === "http:"),
    proxyOptions,
    retryOptions: { maxTries: 1 },
  };
}

/**
 * The storage SDKs still speak to their HTTP client in the terms of an older pipeline.
 *
 * @param insecure whether the endpoint is http, which the settings allow on the loopback only
 */
function adapted(client: PipelineClient, insecure: boolean): IHttpClient {
  return {
    async sendRequest(resource) {
      const { createHttpHeaders, createPipelineRequest } = await import(
        "@azure/core-rest-pipeline"
      );
      const { url, method, body, abortSignal, streamResponseStatusCodes } = resource;
      const octets = Math.max(lengthOf(body), streamResponseStatusCodes ? LARGEST_RESPONSE : 0);
      const request = createPipelineRequest({
        url,
        method,
        headers: createHttpHeaders(resource.headers.toJson({ preserveCase: true })),
        timeout: TIMEOUT + octets * TIMEOUT_PER_OCTET,
        allowInsecureConnection: insecure,
        ...(body === undefined ? {} : { body: body as Uint8Array }),
        ...(abortSignal === undefined ? {} : { abortSignal }),
        ...(streamResponseStatusCodes === undefined ? {} : { streamResponseStatusCodes }),
      });
      const response = await client.sendRequest(request);
      const fields = response.headers.toJSON();
      const headers = { toJson: () => fields };
      return { ...response, request: resource, headers } as never;
    },
  };
}

function lengthOf(body: unknown): number {
  return typeof body === "string" || body instanceof Uint8Array ? body.length : 0;
}
