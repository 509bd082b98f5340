/** An immediate stop: requests in flight end, with the right outcome. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { HttpRequest } from "../../src/http/client.ts";
import { httpClient } from "../support/http.ts";
import { startRawServer } from "../support/raw_server.ts";

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

function post(url: URL): HttpRequest {
  const body = "the message";
  return {
    method: "POST",
    url,
    headers: {},
    body: { length: body.length, parts: () => [body] },
    timeout: 30_000,
  };
}

describe("abort()", () => {
  it("ends a request in flight, which may have been sent", async () => {
    const server = await startRawServer();
    const http = httpClient();
    const result = http.request(post(server.url));
    const connection = await server.connection(0);
    await connection.request();
    http.abort();
    const failure = await result;
    assert(failure.type === "failure");
    assert.deepEqual([failure.code, failure.sent], ["ABORTED", true]);
    assert.equal(failure.status, undefined);
    await connection.ended();
    await server.close();
  });

  it("ends one that waits for its connection, of which nothing has been sent", async () => {
    const server = await startRawServer();
    const http = httpClient();
    // The handshake gets no response.
    const result = http.request(post(new URL(`https://127.0.0.1:${server.port}/`)));
    const connection = await server.connection(0);
    await connection.until(() => connection.received.length > 0);
    http.abort();
    const failure = await result;
    assert(failure.type === "failure");
    assert.deepEqual([failure.code, failure.sent], ["ABORTED", false]);
    await connection.ended();
    await server.close();
  });

  it("stops reading bodies, and closes unused connections", async () => {
    const server = await startRawServer(async (connection) => {
      await connection.until(() => connection.received.length > 0);
      if (server.connections[0] === connection) connection.write(OK);
      else connection.socket.pause();
    });
    const http = httpClient();
    const part = "x".repeat(256 * 1024);
    let made = 0;
    const large = {
      length: 1000 * part.length,
      *parts() {
        for (; made < 1000; made++) yield part;
      },
    };
    // The second one gets its own connection; the first one's remains unused.
    const [first, second] = [
      http.request(post(server.url)),
      http.request({ ...post(server.url), body: large }),
    ];
    await first;
    await (await server.connection(1)).until(() => made > 0);
    http.abort();
    const failure = await second;
    assert(failure.type === "failure");
    assert.deepEqual([failure.code, failure.sent], ["ABORTED", true]);
    const atAbort = made;
    server.connections[1]!.socket.resume();
    await Promise.all(server.connections.map((connection) => connection.ended()));
    assert.equal(made, atAbort);
    await server.close();
  });

  it("does not end requests that begin afterwards: a draft may have to be deleted", async () => {
    const server = await startRawServer(async (connection) => {
      await connection.request();
      if (connection !== server.connections[0]) connection.write(OK);
    });
    const http = httpClient();
    const first = http.request(post(server.url));
    await (await server.connection(0)).request();
    http.abort();
    const second = http.request(post(server.url));
    assert.equal((await first).type, "failure");
    assert.equal((await second).type, "response");
    http.close();
    await server.close();
  });
});

describe("a request's own signal", () => {
  it("ends it, whether it waits for its connection or for its response", async () => {
    const server = await startRawServer();
    const http = httpClient();
    for (const [index, scheme] of ["http", "https"].entries()) {
      const controller = new AbortController();
      const { signal } = controller;
      const url = new URL(`${scheme}://127.0.0.1:${server.port}/`);
      const result = http.request({ ...post(url), signal });
      const connection = await server.connection(index);
      await connection.until(() => connection.received.length > 0);
      controller.abort();
      const failure = await result;
      assert(failure.type === "failure");
      assert.deepEqual([failure.code, failure.sent], ["ABORTED", scheme === "http"]);
      await connection.ended();
    }
    await server.close();
  });

  it("does nothing to the next request on the connection", async () => {
    const server = await startRawServer(async (connection) => {
      await connection.request();
      connection.write(OK);
    });
    const http = httpClient();
    const controller = new AbortController();
    const first = http.request({ ...post(server.url), signal: controller.signal });
    // Immediately: before any other listener knows that the first one is over.
    const second = first.then(() => {
      const next = http.request(post(server.url));
      controller.abort();
      return next;
    });
    const connection = await server.connection(0);
    await connection.request(2);
    connection.write(OK);
    assert.equal((await second).type, "response");
    assert.equal(server.connections.length, 1);
    http.close();
    await server.close();
  });

  it("prevents a request that has not begun", async () => {
    const server = await startRawServer();
    const result = await httpClient().request({ ...post(server.url), signal: AbortSignal.abort() });
    assert(result.type === "failure");
    assert.deepEqual([result.code, result.sent], ["ABORTED", false]);
    assert.equal(server.connections.length, 0);
    await server.close();
  });
});
