/** Requests over TLS. What makes a service trusted is in tests/runtime/connect_test.ts. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { before, describe, it } from "node:test";
import { httpClient } from "../support/http.ts";
import { type Authority, createAuthority, startTlsServer } from "../support/authority.ts";

const SIZE = 6_000_000;

describe("a request over TLS", () => {
  let authority: Authority;
  before(async () => {
    authority = await createAuthority("an authority of the company's");
  });

  function post(port: number, length = 11) {
    const piece = "x".repeat(length % 200_000);
    return {
      method: "POST",
      url: new URL(`https://localhost:${port}/`),
      headers: { Authorization: "Bearer a-secret-token" },
      body: {
        length,
        *parts() {
          for (let left = length - piece.length; left > 0; left -= 200_000) {
            yield Buffer.alloc(200_000, "x");
          }
          if (piece !== "") yield piece;
        },
      },
      timeout: 20_000,
    };
  }

  it("arrives whole if an additional authority vouches for the service, and the next one uses the same connection", async () => {
    const connections = new Set<unknown>();
    const server = await startTlsServer(
      await authority.issue({ names: ["localhost"] }),
      (socket, heard) => {
        connections.add(socket);
        if (heard.length % (SIZE + heard.indexOf("\r\n\r\n") + 4) === 0) {
          socket.write("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
        }
      },
    );
    const http = httpClient({ authorities: [authority.certificate] });
    for (let i = 0; i < 2; i++) {
      const result = await http.request(post(server.port, SIZE));
      assert(result.type === "response", JSON.stringify(result));
      assert.equal(result.status, 202);
    }
    assert.equal(connections.size, 1);
    http.close();
    await server.close();
  });

  it("is not sent without that authority, and the error says why", async () => {
    const server = await startTlsServer(await authority.issue({ names: ["localhost"] }));
    const http = httpClient();
    const result = await http.request(post(server.port));
    assert(result.type === "failure");
    assert.equal(result.sent, false);
    assert.match(result.message, /certificate/i);
    http.close();
    await server.close();
    assert.equal(server.heard(), "");
  });

  for (const how of ["ends", "resets"] as const) {
    it(`may have been sent when the service ${how} the connection without a response`, async () => {
      let requests = 0;
      const server = await startTlsServer(
        await authority.issue({ names: ["localhost"] }),
        (socket, heard) => {
          if (!heard.endsWith("\r\n\r\nxxxxxxxxxxx")) return;
          requests++;
          if (how === "ends") socket.end();
          else socket.destroy();
        },
      );
      const http = httpClient({ authorities: [authority.certificate] });
      const result = await http.request(post(server.port));
      assert(result.type === "failure", JSON.stringify(result));
      assert.equal(result.sent, true);
      assert.equal(requests, 1);
      http.close();
      await server.close();
    });
  }
});
