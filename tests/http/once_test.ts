/**
 * A request leaves once. Graph has no idempotency key: a POST that any layer repeats by itself when
 * a kept-alive connection breaks is the same mail sent twice.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { HttpRequest } from "../../src/http/client.ts";
import { httpClient } from "../support/http.ts";
import { type RawConnection, startRawServer } from "../support/raw_server.ts";
import { scriptedService } from "./scripted.ts";

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const BODY = "the message";

function post(url: URL): HttpRequest {
  return {
    method: "POST",
    url,
    headers: { "Content-Type": "text/plain" },
    body: { length: BODY.length, parts: () => [BODY] },
    timeout: 10_000,
  };
}

/** How the service ends the connection, once it has read all of the request. */
const ENDINGS: { name: string; end(connection: RawConnection): void; code: string }[] = [
  {
    name: "ends the connection without an answer",
    end: ({ socket }) => void socket.end(),
    code: "ECONNRESET",
  },
  {
    name: "resets the connection without an answer",
    end: ({ socket }) => void socket.resetAndDestroy(),
    code: "ECONNRESET",
  },
  {
    name: "ends the connection after the first octet of the response",
    end: ({ socket }) => void socket.end("H"),
    code: "TRUNCATED",
  },
  {
    name: "resets the connection after the first octets of the response",
    end({ socket }) {
      socket.write("HTTP/1.1 202 Acc", () => socket.resetAndDestroy());
    },
    // The reset may take the octets before it away.
    code: "",
  },
  {
    name: "ends the connection in the middle of the response's body",
    end: ({ socket }) => void socket.end("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok"),
    code: "TRUNCATED",
  },
];

describe("a POST on a new connection", () => {
  for (const { name, end, code } of ENDINGS) {
    it(`is seen once when the service ${name}, and may have been sent (RFC 9110 §9.2.2)`, async () => {
      const server = await startRawServer(async (connection) => {
        await connection.request();
        end(connection);
      });
      const http = httpClient();
      try {
        const result = await http.request(post(server.url));
        assert.equal(result.type, "failure");
        assert(result.type === "failure");
        assert.equal(result.sent, true);
        if (code !== "") assert.equal(result.code, code);
        assert.deepEqual(server.connections.map(({ requests }) => requests.length), [1]);
      } finally {
        http.close();
        await server.close();
      }
    });
  }
});

describe("a POST on a kept-alive connection", () => {
  for (const { name, end, code } of ENDINGS) {
    it(`is seen once when the service ${name}, and may have been sent (RFC 9110 §9.2.2)`, async () => {
      const server = await startRawServer(async (connection) => {
        await connection.request(1);
        connection.write(OK);
        await connection.request(2);
        end(connection);
      });
      const http = httpClient();
      try {
        const first = await http.request(post(server.url));
        assert.equal(first.type, "response");
        const second = await http.request(post(server.url));
        assert(second.type === "failure");
        assert.equal(second.sent, true);
        if (code !== "") assert.equal(second.code, code);
        // Both on the first connection, and no other one has been opened.
        assert.deepEqual(server.connections.map(({ requests }) => requests.length), [2]);
        assert.equal(server.connections[0]!.received.split(BODY).length, 3);
      } finally {
        http.close();
        await server.close();
      }
    });
  }

  it("is sent on a new connection when the service has closed the old one meanwhile", async () => {
    const server = await startRawServer(async (connection) => {
      await connection.request(1);
      connection.write(OK);
      connection.socket.end();
    });
    const http = httpClient();
    try {
      for (let i = 0; i < 3; i++) {
        const result = await http.request(post(server.url));
        assert(result.type === "response", `request ${i} failed`);
        // The client ends its side when it has seen the service's end.
        await (await server.connection(i)).ended();
      }
      assert.deepEqual(server.connections.map(({ requests }) => requests.length), [1, 1, 1]);
    } finally {
      http.close();
      await server.close();
    }
  });

  it("is seen once when the connection breaks while the body is being sent", async () => {
    const part = "x".repeat(64 * 1024);
    const parts = 200;
    const server = await startRawServer(async (connection) => {
      await connection.request(1);
      connection.write(OK);
      await connection.until(() => connection.received.length > 500_000);
      connection.socket.resetAndDestroy();
    });
    const http = httpClient();
    try {
      await http.request(post(server.url));
      let made = 0;
      const result = await http.request({
        ...post(server.url),
        body: {
          length: part.length * parts,
          *parts() {
            made++;
            for (let i = 0; i < parts; i++) yield part;
          },
        },
      });
      assert(result.type === "failure");
      assert.equal(result.sent, true);
      assert.equal(made, 1);
      assert.equal(server.connections.length, 1);
    } finally {
      http.close();
      await server.close();
    }
  });
});

describe("an unsolicited response", () => {
  const ACCEPTED = "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";
  const eventLoopTurn = () => new Promise((resolve) => setImmediate(resolve));

  /** One completed request, and a second one that has not been sent. */
  async function secondRequest() {
    const { http, connections } = scriptedService();
    const ask = (path: string) => http.request(post(new URL(path, "http://127.0.0.1/")));
    const first = ask("/first");
    connections[0]!.connect();
    connections[0]!.say(ACCEPTED);
    assert.equal((await first).type, "response");
    const second = ask("/second");
    assert.equal(connections.length, 1);
    return { http, connections, ask, second };
  }

  const paths = (written: string) => [...written.matchAll(/POST (\S+)/g)].map(([, path]) => path);

  it("is not taken for the next request's, which fails without being sent", async () => {
    const { connections, second } = await secondRequest();
    connections[0]!.say(ACCEPTED);
    const failure = await second;
    assert(failure.type === "failure");
    assert.deepEqual([failure.code, failure.sent], ["UNASKED", false]);
    assert.equal(failure.status, undefined);
    await eventLoopTurn();
    assert.deepEqual(paths(connections[0]!.written), ["/first"]);
  });

  it("does not make the next request leave twice", async () => {
    const { connections, ask, second } = await secondRequest();
    connections[0]!.say(ACCEPTED);
    await second;
    const third = ask("/third");
    connections[1]!.connect();
    await eventLoopTurn();
    assert.deepEqual(connections.map(({ written }) => paths(written)), [["/first"], ["/third"]]);
    connections[1]!.say(ACCEPTED);
    assert.equal((await third).type, "response");
  });
});
