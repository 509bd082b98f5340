/** Connections of the HTTP client: reused, closed, and never trusted with more than one response. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import type { HttpClientOptions, HttpRequest } from "../../src/http/client.ts";
import { httpClient } from "../support/http.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { type RawServer, startRawServer } from "../support/raw_server.ts";
import { type ScriptedConnection, scriptedService } from "./scripted.ts";

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

function get(url: URL, headers: Record<string, string> = {}): HttpRequest {
  return { method: "GET", url, headers, timeout: 10_000 };
}

/** A server that answers every request with `response`, and a client. */
async function open(response = OK, options: HttpClientOptions = {}) {
  const server = await startRawServer(async (connection) => {
    for (let count = 1;; count++) {
      await connection.request(count);
      connection.write(response);
    }
  });
  const http = httpClient(options);
  const close = async () => {
    http.close();
    await server.close();
  };
  return { server, http, close };
}

function counts({ connections }: RawServer): number[] {
  return connections.map(({ requests }) => requests.length);
}

const PLAIN = new URL("http://127.0.0.1/");

/** Connects it, and has the service respond to its request. */
function serve(connection: ScriptedConnection): void {
  connection.connect();
  connection.say(OK);
}

/** The given number of unused connections, and their client. */
async function unused(count: number, options: Omit<HttpClientOptions, "connect"> = {}) {
  const { http, connections } = scriptedService(options);
  const results = Array.from({ length: count }, () => http.request(get(PLAIN)));
  for (const connection of connections) serve(connection);
  await Promise.all(results);
  const destroyed = () => connections.map((connection) => connection.destroyed);
  return { http, connections, destroyed };
}

const eventLoopTurn = () => new Promise((resolve) => setImmediate(resolve));

describe("a request (RFC 9112 §3)", () => {
  it("has the path and query of its URL, Host, the given fields and the body's length", async () => {
    const { server, http, close } = await open();
    try {
      const url = new URL("/v1.0/users/a%2Bb%40x/sendMail?x=1&y=%20#not-this", server.url);
      const body = Buffer.from("Grüße", "utf8");
      const result = await http.request({
        method: "POST",
        url,
        headers: { Authorization: "Bearer abc", "Content-Type": "text/plain" },
        body: { length: body.length, parts: () => [body] },
        timeout: 10_000,
      });
      assert(result.type === "response");
      assert.equal(Buffer.from(result.body).toString(), "ok");
      assert.equal(
        server.connections[0]!.received,
        "POST /v1.0/users/a%2Bb%40x/sendMail?x=1&y=%20 HTTP/1.1\r\n" +
          `Host: 127.0.0.1:${server.port}\r\n` +
          "Authorization: Bearer abc\r\n" +
          "Content-Type: text/plain\r\n" +
          "Content-Length: 7\r\n" +
          "\r\n" +
          body.toString("latin1"),
      );
    } finally {
      await close();
    }
  });

  it("cannot be given further fields or requests by a field's value (RFC 9110 §5.5)", async () => {
    const { server, http, close } = await open();
    try {
      const evil = "Bearer a\r\nX-Evil: 1\r\n\r\nPOST / HTTP/1.1\nX: \0y";
      await http.request(get(server.url, { Authorization: evil }));
      const lines = server.connections[0]!.received.split(/[\r\n]+/);
      assert.equal(lines.length, 4);
      assert.match(lines[2]!, /^Authorization: Bearer a +X-Evil: 1 +POST/);
      assert(!server.connections[0]!.received.includes("\0"));
      assert.equal(server.connections[0]!.requests.length, 1);
    } finally {
      await close();
    }
  });

  it("has only printable ASCII in a field's value (RFC 9110 §5.5)", () => {
    const { http, connections } = scriptedService();
    void http.request(get(PLAIN, { "X-Name": "a\tb\x01c\x1fd\x7fe\x80f\xffg\u20ach" }));
    connections[0]!.connect();
    assert.match(connections[0]!.written, /\r\nX-Name: a b c d e\?f\?g\?h\r\n/);
    http.abort();
  });

  it("goes to the host and port of its URL, or to the scheme's own port", () => {
    const { http, connections } = scriptedService();
    const urls = ["http://a.test/", "https://a.test/", "http://a.test:81/", "https://[::1]:444/"];
    for (const url of urls) void http.request(get(new URL(url)));
    assert.deepEqual(
      connections.map(({ target: { hostname, port, tls } }) => [hostname, port, tls !== undefined]),
      [["a.test", 80, false], ["a.test", 443, true], ["a.test", 81, false], ["::1", 444, true]],
    );
    http.abort();
  });

  it("may have its own limit for the response's body", async () => {
    const { http, connections } = scriptedService({ maxResponse: 2 });
    for (const [maxResponse, type] of [[undefined, "response"], [1, "failure"]] as const) {
      const result = http.request({
        ...get(PLAIN),
        ...(maxResponse === undefined ? {} : { maxResponse }),
      });
      if (maxResponse === undefined) connections[0]!.connect();
      await eventLoopTurn();
      connections[0]!.say(OK);
      assert.equal((await result).type, type);
    }
  });

  it("cannot be given further fields by its URL", async () => {
    const { server, http, close } = await open();
    try {
      const url = new URL("http://127.0.0.1/");
      url.port = String(server.port);
      url.pathname = "/a\r\nX-Evil: 1";
      url.search = "?b\r\nX-Evil: 2";
      await http.request(get(url));
      assert.equal(server.connections[0]!.received.split("\r\n").length, 4);
    } finally {
      await close();
    }
  });

  it("follows no redirect", async () => {
    const { server, http, close } = await open(
      "HTTP/1.1 307 Elsewhere\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n",
    );
    try {
      const result = await http.request(get(server.url));
      assert(result.type === "response");
      assert.equal(result.status, 307);
      assert.deepEqual(counts(server), [1]);
    } finally {
      await close();
    }
  });
});

describe("a connection", () => {
  it("carries one request after the other (RFC 9112 §9.3)", async () => {
    const { server, http, close } = await open();
    try {
      for (let i = 0; i < 5; i++) {
        assert.equal((await http.request(get(server.url))).type, "response");
      }
      assert.deepEqual(counts(server), [5]);
    } finally {
      await close();
    }
  });

  it("carries one request at a time: concurrent ones get one each, and all are kept", async () => {
    const { server, http, close } = await open();
    try {
      const several = () => Promise.all([1, 2, 3].map(() => http.request(get(server.url))));
      await several();
      assert.deepEqual(counts(server), [1, 1, 1]);
      await several();
      assert.deepEqual(counts(server), [2, 2, 2]);
    } finally {
      await close();
    }
  });

  it("is not used for another service", async () => {
    const one = await open();
    const other = await open();
    try {
      await one.http.request(get(one.server.url));
      await one.http.request(get(other.server.url));
      assert.deepEqual(counts(one.server), [1]);
      assert.deepEqual(counts(other.server), [1]);
    } finally {
      await one.close();
      await other.close();
    }
  });

  it("is kept, however many there are", async () => {
    const { http, connections, destroyed } = await unused(300);
    assert.deepEqual(destroyed().filter(Boolean), []);
    for (const _ of connections) void http.request(get(PLAIN));
    assert.equal(connections.length, 300);
    http.abort();
  });

  it("is closed when it has not been used for the keepAlive time", async () => {
    const clock = new FakeClock();
    const { http, connections, destroyed } = await unused(1, { clock });
    clock.pass(19_900);
    const again = http.request(get(PLAIN));
    await eventLoopTurn();
    connections[0]!.say(OK);
    assert.equal((await again).type, "response");
    clock.pass(19_900);
    assert.deepEqual(destroyed(), [false]);
    clock.pass(200);
    assert.deepEqual(destroyed(), [true]);
    void http.request(get(PLAIN));
    assert.equal(connections.length, 2);
    http.abort();
  });

  it("is not used after its keepAlive time, even if no timer has run", async () => {
    const clock = new FakeClock();
    const { http, connections, destroyed } = await unused(2, { clock });
    clock.skip(20_000);
    void http.request(get(PLAIN));
    // The other one has been unused for at least as long.
    assert.deepEqual(destroyed(), [true, true, false]);
    assert.equal(connections.length, 3);
    http.abort();
  });

  it("is used before those that have been unused for longer", async () => {
    const { http, connections } = await unused(2);
    void http.request(get(PLAIN));
    await eventLoopTurn();
    assert.deepEqual(connections.map(({ written }) => written.split("GET ").length - 1), [1, 2]);
    http.abort();
  });

  it("is used for a request of the same scheme alone", async () => {
    const { http, connections } = await unused(1);
    void http.request(get(new URL("https://127.0.0.1/")));
    assert.equal(connections.length, 2);
    http.abort();
  });

  it("is closed when the response says so (RFC 9112 §9.6)", async () => {
    const { server, http, close } = await open(
      "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    );
    try {
      await http.request(get(server.url));
      await server.connections[0]!.ended();
      await http.request(get(server.url));
      assert.deepEqual(counts(server), [1, 1]);
    } finally {
      await close();
    }
  });

  it("is closed when unsolicited octets arrive", async () => {
    const { http, connections, destroyed } = await unused(1);
    connections[0]!.say("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n");
    assert.deepEqual(destroyed(), [true]);
    const result = http.request(get(PLAIN));
    assert.equal(connections.length, 2);
    serve(connections[1]!);
    const response = await result;
    assert(response.type === "response");
    assert.equal(response.status, 200);
  });

  it("is closed by close() as soon as its request has ended", async () => {
    const { http, connections } = scriptedService();
    const result = http.request(get(PLAIN));
    connections[0]!.connect();
    http.close();
    assert.equal(connections[0]!.destroyed, false);
    connections[0]!.say(OK);
    assert.equal((await result).type, "response");
    assert.equal(connections[0]!.destroyed, true);
  });

  it("is closed by close() when it is idle", async () => {
    const { server, http, close } = await open();
    try {
      await http.request(get(server.url));
      http.close();
      await server.connections[0]!.ended();
    } finally {
      await close();
    }
  });
});
