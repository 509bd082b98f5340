// A tunnel through a proxy as a connection: its events and its limits. What makes the service in it
// trusted is in connect_test.ts, requests through it in tests/http/proxy_test.ts.

import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import type { Outbound } from "../../src/runtime/runtime.ts";
import { connectThrough } from "../../src/runtime/tunnel.ts";
import { createAuthority, startTlsServer } from "../support/authority.ts";
import { type ProxyOptions, startProxy } from "../support/proxy.ts";

const NAME = "graph.relay.test";
const authority = await createAuthority("the tests' authority");

describe("a tunnel through a proxy", () => {
  const opened: { close(): unknown }[] = [];
  afterEach(async () => {
    for (const thing of opened.splice(0).reverse()) await thing.close();
  });

  /** Begins a connection; `events` are those so far. */
  async function begin(options: Partial<ProxyOptions> = {}, heard = (_: string) => {}) {
    const service = await startTlsServer(
      await authority.issue({ names: [NAME] }),
      (_, text) => heard(text),
    );
    const way = await startProxy({ route: () => service.port, ...options });
    opened.push(service, way);
    const events: string[] = [];
    const connected = Promise.withResolvers<void>();
    const drained = Promise.withResolvers<void>();
    const closed = Promise.withResolvers<(Error & { code?: string }) | undefined>();
    const tunnel: Outbound = connectThrough(
      { hostname: "127.0.0.1", port: way.port },
      { hostname: NAME, port: 443, tls: { authorities: [authority.certificate] } },
      {
        connected() {
          events.push("connected");
          connected.resolve();
        },
        data: () => events.push("data"),
        drained() {
          events.push("drained");
          drained.resolve();
        },
        closed(error) {
          events.push("closed");
          closed.resolve(error);
        },
      },
    );
    return {
      service,
      way,
      tunnel,
      events,
      connected: connected.promise,
      drained: drained.promise,
      closed: closed.promise,
    };
  }

  it("refuses to write before the service has been verified", async () => {
    const { tunnel, service } = await begin();
    assert.throws(() => tunnel.write("Authorization: Bearer a-secret-token\r\n"), /before/);
    tunnel.destroy();
    assert.equal(service.heard(), "");
  });

  it("has no event after it was destroyed, not even of the proxy's end", async () => {
    const asked = Promise.withResolvers<void>();
    const ended = Promise.withResolvers<void>();
    const { tunnel, events } = await begin({
      instead(socket) {
        asked.resolve();
        return socket.on("close", ended.resolve) !== undefined;
      },
    });
    await asked.promise;
    tunnel.destroy();
    await ended.promise;
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(events, []);
  });

  it("reports when a slow service has room again", async () => {
    const part = "x".repeat(256 * 1024);
    let parts = 0;
    const arrived = Promise.withResolvers<void>();
    const { tunnel, connected, drained, events } = await begin({}, (text) => {
      if (text.length === parts * part.length) arrived.resolve();
    });
    await connected;
    do assert(++parts < 1000, "it has room for everything"); while (tunnel.write(part));
    // Once all of it has arrived, nothing waits any more.
    await Promise.race([drained, arrived.promise]);
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(events, ["connected", "drained"]);
    tunnel.destroy();
  });

  it("ends without a word of the handshake when it breaks later", async () => {
    const { way, connected, closed, events } = await begin();
    await connected;
    way.cut();
    const error = await closed;
    assert.doesNotMatch(error?.message ?? "", /handshake|through the proxy/);
    assert.deepEqual(events, ["connected", "closed"]);
  });

  const HINTS = "HTTP/1.1 103 Early Hints\r\n\r\n";
  for (
    const [what, text] of [
      ["interim responses without end (RFC 9110 §15.2)", HINTS.repeat(1000)],
      ["a head of more than 16 KiB", `HTTP/1.1 200 OK\r\nX: ${"x".repeat(17_000)}\r\n\r\n`],
    ] as const
  ) {
    it(`is not made by a proxy that sends ${what}`, async () => {
      const { closed, events } = await begin({
        instead: (socket) => socket.end(text) !== undefined,
      });
      assert.equal((await closed)?.code, "PROXY_MALFORMED");
      assert.deepEqual(events, ["closed"]);
    });
  }
});
