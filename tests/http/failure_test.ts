/**
 * Failures as values, and whether any of the request may have been seen: that decides whether the
 * client's mail is called refused or ambiguous.
 */
import assert from "node:assert/strict";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { describe, it } from "node:test";
import { selfSignedCertificate } from "../../src/certificates/self_signed.ts";
import type { HttpClientOptions, HttpRequest } from "../../src/http/client.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { httpClient } from "../support/http.ts";
import { closedPort, type RawConnection, startRawServer } from "../support/raw_server.ts";
import { scriptedService } from "./scripted.ts";

function post(url: URL, timeout = 10_000): HttpRequest {
  const body = "the message";
  return {
    method: "POST",
    url,
    headers: {},
    body: { length: body.length, parts: () => [body] },
    timeout,
  };
}

/** One request to a server that does `serve` with its connection. */
async function requestTo(
  serve: (connection: RawConnection) => void | Promise<void>,
  timeout?: number,
  options: HttpClientOptions = {},
) {
  const server = await startRawServer(serve);
  const http = httpClient(options);
  try {
    const result = await http.request(post(server.url, timeout));
    await server.connections[0]!.ended();
    return result;
  } finally {
    http.close();
    await server.close();
  }
}

/** A service that answers `text` once it has the request. */
function answering(text: string) {
  return async (connection: RawConnection) => {
    await connection.request();
    connection.write(text);
  };
}

describe("a failed request", () => {
  it("was not sent when no server listens", async () => {
    const http = httpClient();
    const url = new URL(`http://127.0.0.1:${await closedPort()}/`);
    const result = await http.request(post(url));
    assert(result.type === "failure");
    assert.equal(result.sent, false);
    assert.equal(result.code, "ECONNREFUSED");
    http.close();
  });

  it("was not sent when the connection cannot be made in time", async () => {
    // A service that never answers the TLS handshake: there is no connection to send on.
    const server = await startRawServer();
    const clock = new FakeClock();
    const http = httpClient({ clock });
    try {
      const request = http.request(post(new URL(`https://127.0.0.1:${server.port}/`), 250));
      const connection = await server.connection(0);
      await connection.until(() => connection.received.length > 0);
      clock.pass(250);
      const result = await request;
      assert(result.type === "failure");
      assert.deepEqual([result.sent, result.code], [false, "ETIMEDOUT"]);
      assert.match(result.message, /no connection within 0\.25 s/);
      await server.connections[0]!.ended();
    } finally {
      http.close();
      await server.close();
    }
  });

  it("was not sent when the TLS handshake is cut off", async () => {
    const server = await startRawServer(async (connection) => {
      await connection.until(() => connection.received.length > 0);
      connection.socket.end();
    });
    const http = httpClient();
    try {
      const result = await http.request(post(new URL(`https://127.0.0.1:${server.port}/`)));
      assert(result.type === "failure");
      assert.equal(result.sent, false);
    } finally {
      http.close();
      await server.close();
    }
  });

  it("was not sent when the service's certificate is not trusted (RFC 9110 §4.3.4)", async () => {
    const { certificate, privateKey } = await selfSignedCertificate();
    let requests = 0;
    const server = createServer({ cert: certificate, key: privateKey }, (_, response) => {
      requests++;
      response.end("ok");
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const http = httpClient();
    try {
      for (const host of ["127.0.0.1", "localhost"]) {
        const result = await http.request(post(new URL(`https://${host}:${port}/`)));
        assert(result.type === "failure", `${host} was trusted`);
        assert.equal(result.sent, false);
      }
      assert.equal(requests, 0);
    } finally {
      http.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  });

  it("may have been sent when no response comes in time", async () => {
    const clock = new FakeClock();
    const result = await requestTo(
      async (connection) => {
        await connection.request();
        clock.pass(250);
      },
      250,
      { clock },
    );
    assert(result.type === "failure");
    assert.deepEqual([result.sent, result.code], [true, "ETIMEDOUT"]);
    assert.match(result.message, /no answer within 0\.25 s/);
  });

  it("may have been sent when the response arrives too slowly: the timeout is for all of it", async () => {
    const clock = new FakeClock();
    const { http, connections } = scriptedService({ clock });
    const request = http.request(post(new URL("http://127.0.0.1/"), 10_000));
    connections[0]!.connect();
    connections[0]!.say("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
    for (let i = 0; i < 99; i++) {
      clock.pass(100);
      connections[0]!.say("x");
    }
    assert.equal(connections[0]!.destroyed, false);
    clock.pass(100);
    const result = await request;
    assert(result.type === "failure");
    assert.deepEqual([result.sent, result.code], [true, "ETIMEDOUT"]);
    assert.equal(connections[0]!.destroyed, true);
  });

  const RESPONSES: readonly (readonly [name: string, response: string, code: string])[] = [
    ["is not HTTP", "220 mail.example.com ESMTP\r\n\r\n", "MALFORMED"],
    [
      "has chunks that are none",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n!\r\n",
      "MALFORMED",
    ],
    ["announces too much", "HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n", "TOOLONG"],
    ["is too much", `HTTP/1.1 200 OK\r\n\r\n${"x".repeat(101)}`, "TOOLONG"],
  ];
  for (const [name, response, code] of RESPONSES) {
    it(`may have been sent when the response ${name}, and its connection is closed`, async () => {
      const result = await requestTo(answering(response), undefined, { maxResponse: 100 });
      assert(result.type === "failure");
      assert.deepEqual([result.sent, result.code], [true, code]);
    });
  }

  const STATUSES: readonly (readonly [name: string, response: string, status?: number])[] = [
    ["nothing of it", ""],
    ["half of its head", "HTTP/1.1 202 Accepted\r\nContent-Le"],
    ["an interim response", "HTTP/1.1 100 Continue\r\n\r\n"],
    ["its head and half of its body", "HTTP/1.1 202 OK\r\nContent-Length: 5\r\n\r\nok", 202],
    ["a head that announces too much", "HTTP/1.1 503 No\r\nContent-Length: 999999\r\n\r\n", 503],
    [
      "its head and a broken chunk",
      "HTTP/1.1 202 OK\r\nTransfer-Encoding: chunked\r\n\r\n!\r\n",
      202,
    ],
  ];
  for (const [name, response, status] of STATUSES) {
    const statusText = status === undefined ? "no status" : `the status ${status}`;
    it(`has ${statusText} when the response is ${name}`, async () => {
      const server = await startRawServer(async (connection) => {
        await connection.request();
        connection.socket.end(response);
      });
      const http = httpClient({ maxResponse: 100 });
      const result = await http.request(post(server.url));
      assert(result.type === "failure");
      assert.equal(result.status, status);
      http.close();
      await server.close();
    });
  }
});
