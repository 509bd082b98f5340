import assert from "node:assert/strict";
import { connect } from "node:net";
import { after, before, describe, it } from "node:test";
import { nativeHttpServer } from "../../src/runtime/current.ts";
import type { HttpBound } from "../../src/runtime/http_server.ts";

const serve = await nativeHttpServer();

it("a native HTTP server is there on Bun", () => {
  assert.equal(serve !== undefined, "Bun" in globalThis);
});

if (serve !== undefined) {
  describe("the native HTTP server", () => {
    let bound: HttpBound;
    before(() => {
      bound = serve({
        hostname: "127.0.0.1",
        port: 0,
        withoutHost: "localhost",
        respond: (request, peer) =>
          new Response(`${request.method} ${request.url} from ${peer.clientAddress()}`),
      });
    });
    after(() => bound.close());

    function answer(octets: string): Promise<string> {
      return new Promise((resolve, reject) => {
        let text = "";
        const socket = connect(bound.addresses[0]!.port, "127.0.0.1", () => socket.write(octets));
        socket.on("data", (data) => text += data.toString("latin1"));
        socket.on("close", () => resolve(text));
        socket.on("error", reject);
      });
    }

    it("passes on address and client", async () => {
      const text = await answer("GET /x HTTP/1.1\r\nHost: relay.test\r\nConnection: close\r\n\r\n");
      assert.match(text, /GET http:\/\/relay\.test\/x from 127\.0\.0\.1$/);
    });

    // RFC 9112 §3.2: HTTP/1.0 has no Host.
    it("answers without a Host", async () => {
      const text = await answer("GET /x HTTP/1.0\r\n\r\n");
      assert.match(text, /GET http:\/\/localhost\/x from 127\.0\.0\.1$/);
    });

    it("does not wait for a body that nobody reads", async () => {
      const text = await answer("POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\nabc");
      assert.match(text, /^HTTP\/1\.1 200 /);
    });

    // RFC 9110 §15.5.14.
    it("refuses a body over 64 KiB, which it would have to hold", async () => {
      const head = "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: ";
      assert.match(await answer(`${head}65536\r\n\r\n${"x".repeat(65_536)}`), /^HTTP\/1\.1 200 /);
      assert.match(await answer(`${head}65537\r\n\r\n${"x".repeat(65_537)}`), /^HTTP\/1\.1 413 /);
    });
  });
}
