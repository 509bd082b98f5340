/** A request's body while it is sent: as fast as it is read, whole, and no longer than needed. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { type AddressInfo, createServer } from "node:net";
import { describe, it } from "node:test";
import { HttpClient, type RequestBody } from "../../src/http/client.ts";
import { httpClient } from "../support/http.ts";
import { startRawServer } from "../support/raw_server.ts";
import { scriptedService } from "./scripted.ts";

function post(url: URL, body: RequestBody) {
  return { method: "POST", url, headers: {}, body, timeout: 30_000 };
}

describe("a body of many parts", () => {
  it("arrives whole at a slow reader, and is generated no faster than it is read", async () => {
    const parts = 300;
    const size = 80_000;
    // Octets and text in turn.
    const partOf = (index: number) => {
      const text = String.fromCharCode(97 + index % 26).repeat(size);
      return index % 2 === 0 ? text : Buffer.from(text);
    };
    let made = 0;
    let mostAhead = 0;
    const hash = createHash("sha256");
    const server = createServer((socket) => {
      let read = 0;
      let head = Buffer.alloc(0);
      socket.on("error", () => {});
      socket.on("data", (octets: Uint8Array) => {
        let body = octets;
        if (read === 0) {
          head = Buffer.concat([head, octets]);
          const end = head.indexOf("\r\n\r\n");
          if (end < 0) return;
          body = head.subarray(end + 4);
        }
        hash.update(body);
        read += body.length;
        mostAhead = Math.max(mostAhead, made * size - read);
        if (read === parts * size) {
          socket.write("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
        }
        socket.pause();
        setImmediate(() => socket.resume());
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const http = httpClient();
    try {
      const result = await http.request(post(new URL(`http://127.0.0.1:${port}/`), {
        length: parts * size,
        *parts() {
          for (; made < parts; made++) yield partOf(made);
        },
      }));
      assert(result.type === "response", JSON.stringify(result));
      assert.equal(result.status, 202);
      const expected = createHash("sha256");
      for (let i = 0; i < parts; i++) expected.update(partOf(i));
      assert.equal(hash.digest("hex"), expected.digest("hex"));
      // The kernel holds some megabytes; without backpressure it would be all of it.
      assert(mostAhead < parts * size / 2, `${mostAhead} octets ahead`);
    } finally {
      http.close();
      await new Promise((resolve) => server.close(resolve));
    }
  });
});

describe("a response that comes before all of the request has left", () => {
  it("is the response, and ends the connection (RFC 9112 §9.6)", async () => {
    const server = await startRawServer(async (connection) => {
      await connection.until(() => connection.received.length > 0);
      connection.socket.pause();
      connection.write("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig");
    });
    // If it were kept, it would expire, so that this test does not wait: see the next one.
    const http = httpClient({ keepAlive: 1 });
    const part = "x".repeat(256 * 1024);
    let made = 0;
    try {
      const result = await http.request(post(server.url, {
        length: 100 * part.length,
        *parts() {
          for (; made < 100; made++) yield part;
        },
      }));
      assert(result.type === "response");
      assert.equal(result.status, 413);
      assert.equal(Buffer.from(result.body).toString(), "big");
      const atResponse = made;
      assert(atResponse < 100, "all of the body was taken though nobody read it");
      const ended = server.connections[0]!.ended();
      server.connections[0]!.socket.resume();
      await ended;
      assert.equal(made, atResponse);
    } finally {
      http.close();
      await server.close();
    }
  });

  const REFUSED = "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n";
  const DONE = "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";

  it("leaves no connection that could be reused: the rest of the body would be its next request (RFC 9112 §9.6)", async () => {
    const { http, connections } = scriptedService({}, false);
    const url = new URL("http://127.0.0.1/");
    const first = http.request(post(url, { length: 3, parts: () => ["1", "2", "3"] }));
    connections[0]!.connect();
    connections[0]!.drain();
    connections[0]!.say(REFUSED);
    const response = await first;
    assert(response.type === "response");
    assert.equal(response.status, 413);
    assert.equal(connections[0]!.destroyed, true);
    const second = http.request({ method: "GET", url, headers: {}, timeout: 30_000 });
    assert.equal(connections.length, 2, "the second request is on a connection of its own");
    connections[1]!.connect();
    connections[1]!.say(DONE);
    assert.equal((await second).type, "response");
    assert.match(connections[0]!.written, /\r\n\r\n12$/);
  });

  it("leaves a reusable one if the last part was written, although there is no room yet", async () => {
    const { http, connections } = scriptedService({}, false);
    const url = new URL("http://127.0.0.1/");
    const first = http.request(post(url, { length: 2, parts: () => ["1", "2"] }));
    connections[0]!.connect();
    connections[0]!.drain();
    connections[0]!.say(DONE);
    assert.equal((await first).type, "response");
    void http.request(post(url, { length: 1, parts: () => ["3"] }));
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(connections.length, 1);
    assert.match(connections[0]!.written, /\r\n\r\n12POST .*\r\n\r\n3$/s);
    http.abort();
  });

  const parts = ["x".repeat(256 * 1024), "the end"];
  const LARGE = 64;
  /** A body of which the service reads only the beginning. */
  const body = (made: { count: number }): RequestBody => ({
    length: LARGE * parts[0]!.length + parts[1]!.length,
    *parts() {
      for (; made.count < LARGE; made.count++) yield parts[0]!;
      yield parts[1]!;
    },
  });

  for (
    const [what, text, broken] of [
      ["whole", "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n", false],
      ["without an end of its own", "HTTP/1.1 202 Accepted\r\n\r\nok", true],
      ["cut short", "HTTP/1.1 202 Accepted\r\nContent-Length: 9\r\n\r\nok", true],
    ] as const
  ) {
    it(`is no success (${what}): octets that have not left cannot have been accepted`, async () => {
      const server = await startRawServer(async (connection) => {
        await connection.until(() => connection.received.length > 0);
        connection.socket.pause();
        if (broken) connection.socket.end(text);
        else connection.write(text);
      });
      const http = httpClient();
      const made = { count: 0 };
      try {
        const result = await http.request(post(server.url, body(made)));
        assert(made.count < LARGE, "all of the body was taken though nobody read it");
        assert(result.type === "failure", JSON.stringify(result));
        assert.equal(result.sent, true);
        if (what !== "cut short") assert.equal(result.code, "EARLY");
        // A 202 reported here would count as the message's.
        assert.equal(result.status, undefined);
      } finally {
        http.close();
        await server.close();
      }
    });
  }

  it("is no success either when only the last part has not left", async () => {
    const made = { count: 0 };
    const seen: string[] = [];
    // A connection that never has room: each part waits until it is requested.
    const http = new HttpClient({
      connect: (_, handler) => {
        queueMicrotask(() => handler.connected());
        return {
          write(data, more) {
            seen.push(`${data}${more ?? ""}`.slice(-1));
            if (made.count === 2) {
              queueMicrotask(() =>
                handler.data(Buffer.from("HTTP/1.1 202 A\r\nContent-Length: 0\r\n\r\n"))
              );
            } else queueMicrotask(() => handler.drained());
            return false;
          },
          destroy() {},
        };
      },
    });
    for (const [total, type] of [[3, "failure"], [2, "response"]] as const) {
      made.count = 0;
      const result = await http.request(post(new URL("http://127.0.0.1/"), {
        length: total,
        *parts() {
          while (made.count < total) yield String(++made.count);
        },
      }));
      assert.equal(result.type, type);
      assert.equal(result.type === "failure" ? result.status : undefined, undefined);
    }
    // The last part was written, although the connection has not reported room for more.
    assert.deepEqual(seen, ["1", "2", "1", "2"]);
    http.close();
  });
});

describe("a body that cannot be generated", () => {
  const response = "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";
  const sound: RequestBody = { length: 4, parts: () => ["good"] };
  const faulty: RequestBody = {
    length: 4,
    parts() {
      throw new Error("a bug in the body");
    },
  };

  it("fails only its own request, and none sent at the same time", async () => {
    const server = await startRawServer(async (connection) => {
      for (let count = 1;; count++) {
        await connection.request(count);
        connection.write(response);
      }
    });
    const http = httpClient();
    const url = new URL(server.url);
    try {
      // On new connections, then on those kept from these.
      for (let round = 0; round < 2; round++) {
        const [first, bug, last] = await Promise.allSettled([
          http.request(post(url, sound)),
          http.request(post(url, faulty)),
          http.request(post(url, sound)),
        ]);
        for (const result of [first, last]) {
          assert(result?.status === "fulfilled" && result.value.type === "response");
          assert.equal(result.value.status, 202);
        }
        assert.equal(bug?.status, "rejected");
      }
    } finally {
      http.close();
      await server.close();
    }
  });

  it("fails only its own request when a later part fails", async () => {
    const { http, connections } = scriptedService({}, false);
    const result = http.request(post(new URL("http://127.0.0.1/"), {
      length: 2,
      *parts() {
        yield "1";
        throw new Error("a bug in the body");
      },
    }));
    connections[0]!.connect();
    connections[0]!.drain();
    await assert.rejects(result, /a bug in the body/);
    assert.equal(connections[0]!.destroyed, true);
  });
});
