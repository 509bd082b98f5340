// The Azure SDKs' requests over our own client: what arrives, what fails and how, and that their
// pipelines act on it.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { after, before, describe, it } from "node:test";
import {
  createHttpHeaders,
  createPipelineFromOptions,
  createPipelineRequest,
  isRestError,
  type PipelineRequestOptions,
  type RequestBodyType,
} from "@azure/core-rest-pipeline";
import { AZURE_RETRIES, azureTransport } from "../../src/azure/transport.ts";
import type { HttpClient } from "../../src/http/client.ts";
import { type Authority, createAuthority, startTlsServer } from "../support/authority.ts";
import { httpClient } from "../support/http.ts";
import { closedPort, type RawConnection, startRawServer } from "../support/raw_server.ts";

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Ms-Version: 1\r\n\r\nok";

/** Sends one request through the pipeline that the SDKs have. */
async function send(url: URL | string, options: Partial<PipelineRequestOptions> = {}) {
  const http = httpClient();
  try {
    return await through(http, url, options);
  } finally {
    http.close();
  }
}

function through(http: HttpClient, url: URL | string, options: Partial<PipelineRequestOptions>) {
  const pipeline = createPipelineFromOptions({ retryOptions: { ...AZURE_RETRIES } });
  const request = createPipelineRequest({
    url: String(url),
    allowInsecureConnection: true,
    ...options,
  });
  return pipeline.sendRequest(azureTransport(http), request);
}

async function failure(sending: Promise<unknown>): Promise<Error & { code?: string }> {
  const result = await sending.then(() => undefined, (error: Error) => error);
  assert(result !== undefined, "it did not fail");
  return result;
}

async function respondToAll(connection: RawConnection): Promise<void> {
  for (let count = 1;; count++) {
    await connection.request(count);
    connection.write(OK);
  }
}

describe("a request of an Azure SDK", () => {
  it("arrives with its method, path, query and header fields, and its response comes back", async () => {
    const server = await startRawServer(respondToAll);
    const response = await send(new URL("/table(PartitionKey='a%27b')?$select=x%2Cy", server.url), {
      headers: createHttpHeaders({ Accept: "application/json", Authorization: "Bearer t" }),
    });
    const [request = ""] = server.connections[0]!.requests;
    assert.match(request, /^GET \/table\(PartitionKey='a%27b'\)\?\$select=x%2Cy HTTP\/1\.1\r\n/);
    assert.match(request, /\r\nAuthorization: Bearer t\r\n/i);
    assert.equal(response.status, 200);
    assert.equal(response.bodyAsText, "ok");
    assert.equal(response.headers.get("x-ms-version"), "1");
    await server.close();
  });

  it("asks for no content coding, which our client does not undo", async () => {
    const server = await startRawServer(respondToAll);
    await send(server.url);
    assert.doesNotMatch(server.connections[0]!.received, /accept-encoding/i);
    await server.close();
  });

  const octets = Buffer.from("xxöyy").subarray(2, 4);
  const BODIES: readonly (readonly [string, RequestBodyType | null, string])[] = [
    ["a text", "ö", "\xc3\xb6"],
    ["an empty text", "", ""],
    ["no body", null, ""],
    ["octets", octets, "\xc3\xb6"],
    ["a buffer", new Uint8Array([1, 255]).buffer, "\x01\xff"],
  ];
  for (const [name, body, arrives] of BODIES) {
    it(`carries ${name}, with its length (RFC 9110 §8.6)`, async () => {
      const server = await startRawServer(respondToAll);
      await send(server.url, { method: "POST", ...(body === null ? {} : { body }) });
      const { received } = server.connections[0]!;
      assert.match(received, new RegExp(`\r\nContent-Length: ${arrives.length}\r\n`));
      assert.equal(received.match(/content-length/gi)!.length, 1);
      assert.equal(received.slice(received.indexOf("\r\n\r\n") + 4), arrives);
      await server.close();
    });
  }

  it("is refused with a clear error where its body is a stream", async () => {
    const server = await startRawServer();
    const error = await failure(
      send(server.url, { method: "POST", body: () => new ReadableStream() }),
    );
    assert.equal(error.code, "UNSUPPORTED_BODY");
    assert.match(error.message, /no streams/);
    assert.equal(server.connections.length, 0);
    await server.close();
  });

  it("is refused if it is not https and that is not allowed", async () => {
    const server = await startRawServer();
    const error = await failure(send(server.url, { allowInsecureConnection: false }));
    assert.equal(error.code, "INSECURE");
    assert.equal(server.connections.length, 0);
    await server.close();
  });

  it("takes a response of several MiB, as a page of a large table is", async () => {
    const length = 5 * 1024 * 1024;
    const server = await startRawServer(async (connection) => {
      await connection.request();
      connection.write(`HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\n\r\n` + "x".repeat(length));
    });
    const { bodyAsText } = await send(server.url);
    assert.equal(bodyAsText!.length, length);
    await server.close();
  });
});

describe("a request of an Azure SDK that fails", () => {
  it("is a RestError with a code, without the request in it", async () => {
    const error = await failure(
      send(`http://127.0.0.1:${await closedPort()}/table?sig=a-secret`, {
        headers: createHttpHeaders({ Authorization: "Bearer a-secret-token" }),
      }),
    );
    assert(isRestError(error));
    assert.equal(error.code, "ECONNREFUSED");
    assert.match(error.message, /^no connection to http:\/\/127\.0\.0\.1:\d+: /);
    assert.equal(error.request, undefined);
    assert.doesNotMatch(error.message, /secret/);
  });

  it("is repeated once, soon, when the service has closed the connection", async () => {
    const server = await startRawServer(async (connection) => {
      await connection.request();
      if (server.connections.length === 1) connection.socket.destroy();
      else connection.write(OK);
    });
    const begun = performance.now();
    assert.equal((await send(server.url)).status, 200);
    assert(performance.now() - begun < 2000, "a login waits for it");
    assert.equal(server.connections.length, 2);
    await server.close();
  });

  it("is not repeated after the pipeline's own time, which is an AbortError", async () => {
    const server = await startRawServer();
    const error = await failure(send(server.url, { timeout: 50 }));
    assert.equal(error.name, "AbortError");
    assert.equal(server.connections.length, 1);
    await server.close();
  });

  it("is not repeated either when there is no such time, after ours", async () => {
    let requests = 0;
    const late = {
      request: () => {
        requests++;
        const message = "no answer within 10 s";
        return Promise.resolve(
          { type: "failure", sent: true, code: "ETIMEDOUT", message } as const,
        );
      },
    };
    const error = await failure(through(late as unknown as HttpClient, "https://localhost/", {}));
    assert(isRestError(error));
    assert.equal(error.code, "TIMEOUT");
    assert.equal(requests, 1);
  });

  it("ends immediately on its signal, and releases its connection", async () => {
    const server = await startRawServer();
    const controller = new AbortController();
    const failing = failure(send(server.url, { abortSignal: controller.signal }));
    const connection = await server.connection(0);
    await connection.request();
    controller.abort();
    assert.equal((await failing).name, "AbortError");
    await connection.ended();
    assert.equal(server.connections.length, 1);
    await server.close();
  });

  it("does not begin when its signal has spoken before", async () => {
    const server = await startRawServer();
    const error = await failure(send(server.url, { abortSignal: AbortSignal.abort() }));
    assert.equal(error.name, "AbortError");
    assert.equal(server.connections.length, 0);
    await server.close();
  });
});

describe("a service of an Azure SDK with a certificate of one's own authority", () => {
  let authority: Authority;
  before(async () => {
    authority = await createAuthority("a company's authority");
  });
  const clients: HttpClient[] = [];
  after(() => clients.forEach((http) => http.close()));

  async function ask(authorities: readonly string[]) {
    const server = await startTlsServer(
      await authority.issue({ names: ["localhost"] }),
      (socket, heard) => void (heard.endsWith("\r\n\r\n") && socket.write(OK)),
    );
    const http = httpClient({ authorities });
    clients.push(http);
    try {
      const url = `https://localhost:${server.port}/`;
      return await through(http, url, { allowInsecureConnection: false });
    } finally {
      await server.close();
    }
  }

  it("is trusted where the authority is given (EXTRA_CA_CERTS_FILEPATH)", async () => {
    assert.equal((await ask([authority.certificate])).status, 200);
  });

  it("is not trusted otherwise", async () => {
    const error = await failure(ask([]));
    assert(isRestError(error));
    assert.match(error.message, /certificate/i);
  });
});
