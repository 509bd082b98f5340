// Connections that begin in plain text and continue in TLS, directly and through a proxy. What makes the
// service trusted is in connect_test.ts.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { TLSSocket } from "node:tls";
import { afterEach, describe, it } from "node:test";
import { connectUpgradable, type UpgradableOptions } from "../../src/runtime/upgradable.ts";
import { createAuthority, startTlsServer } from "../support/authority.ts";
import { readClientHello } from "../support/client_hello.ts";
import { startProxy } from "../support/proxy.ts";
import { type RawConnection, startRawServer } from "../support/raw_server.ts";

const authority = await createAuthority("the tests' authority");
const certificate = await authority.issue({ names: ["localhost"] });
const TRUST = { authorities: [authority.certificate], protocols: [] };

const opened: { close(): unknown }[] = [];
afterEach(async () => {
  for (const thing of opened.splice(0).reverse()) await thing.close();
});

/** Begins a connection; `events` are those so far. */
function begin(options: UpgradableOptions) {
  const events: string[] = [];
  let error: (Error & { code?: string }) | undefined;
  let heard = "";
  let waiting: (() => void)[] = [];
  const happens = (event: string) => {
    events.push(event);
    const all = waiting;
    waiting = [];
    for (const resolve of all) resolve();
  };
  const connection = connectUpgradable(options, {
    connected: () => happens("connected"),
    data(octets) {
      heard += Buffer.from(octets).toString("latin1");
      happens("data");
    },
    drained() {},
    closed(reason) {
      error = reason;
      happens("closed");
    },
  });
  opened.push({ close: () => connection.destroy() });
  return {
    connection,
    events,
    error: () => error,
    heard: () => heard,
    async until(condition: () => boolean) {
      while (!condition()) await new Promise<void>((resolve) => waiting.push(resolve));
    },
  };
}

/** Speaks first, answers `GO` with `READY`, and continues in TLS. */
async function startService() {
  const serve = async (connection: RawConnection) => {
    connection.write("HELLO");
    await connection.until(() => connection.received === "GO");
    connection.socket.removeAllListeners("data");
    const secure = new TLSSocket(connection.socket, {
      isServer: true,
      cert: certificate.certificate,
      key: certificate.privateKey,
    });
    secure.on("error", () => {});
    secure.on("data", (octets) => secure.write(`in TLS: ${octets}`));
    connection.write("READY");
  };
  const service = await startRawServer(serve);
  opened.push(service);
  return service;
}

/** A proxy that finds this machine under any name, and says the first words of a service itself. */
async function throughProxy(greeting = "") {
  const proxy = await startProxy({
    route: (target) => Number(/:(\d+)$/.exec(target)![1]),
    established: [`HTTP/1.1 200 OK\r\n\r\n${greeting}`],
  });
  opened.push(proxy);
  return { hostname: "127.0.0.1", port: proxy.port };
}

for (const way of ["directly", "through a proxy"]) {
  const options = async () => way === "directly" ? {} : { proxy: await throughProxy() };

  describe(`a connection that is upgraded, ${way},`, () => {
    it("carries plain text, and then TLS with the verified service", async () => {
      const { port } = await startService();
      const peer = begin({ hostname: "localhost", port, ...await options() });
      await peer.until(() => peer.heard() === "HELLO");
      assert.equal(peer.events[0], "connected");
      peer.connection.write("GO");
      await peer.until(() => peer.heard() === "HELLOREADY");
      peer.connection.startTls(TRUST);
      await peer.until(() => peer.events.at(-1) === "connected");
      peer.connection.write("secret");
      await peer.until(() => peer.heard().endsWith("in TLS: secret"));
      assert.throws(() => peer.connection.startTls(TRUST), /not in plain text/);
    });

    it("takes octets that come before the handshake for a part of it", async () => {
      const service = await startRawServer(async (connection) => {
        connection.write("HELLO");
        await connection.until(() => connection.received === "GO");
        connection.write("READY");
        await connection.until(() => connection.received.length > 2);
        connection.write("250 injected\r\n".repeat(10));
      });
      opened.push(service);
      const peer = begin({ hostname: "localhost", port: service.port, ...await options() });
      await peer.until(() => peer.heard() === "HELLO");
      peer.connection.write("GO");
      await peer.until(() => peer.heard() === "HELLOREADY");
      peer.connection.startTls(TRUST);
      await peer.until(() => peer.events.includes("closed"));
      assert.ok(peer.error() instanceof Error);
      assert.equal(peer.heard(), "HELLOREADY");
    });

    it("offers no protocol by ALPN if it is to have none (RFC 7301)", async () => {
      const octets = Promise.withResolvers<Buffer>();
      const service = await startRawServer(async (connection) => {
        const received = () => Buffer.from(connection.received, "latin1");
        await connection.until(() => readClientHello(received()) !== undefined);
        octets.resolve(received());
      });
      opened.push(service);
      const peer = begin({ hostname: "localhost", port: service.port, ...await options() });
      await peer.until(() => peer.events.includes("connected"));
      peer.connection.startTls(TRUST);
      const { serverName, protocols } = readClientHello(await octets.promise)!;
      assert.deepEqual([serverName, protocols], ["localhost", []]);
    });

    it("has no event once it is destroyed", async () => {
      const { port } = await startService();
      const peer = begin({ hostname: "localhost", port, ...await options() });
      await peer.until(() => peer.heard() === "HELLO");
      const before = peer.events.length;
      peer.connection.destroy();
      await new Promise((resolve) => setImmediate(resolve));
      assert.equal(peer.events.length, before);
    });

    it("takes nothing before it is connected", async () => {
      const { port } = await startService();
      const peer = begin({ hostname: "localhost", port, ...await options() });
      assert.throws(() => peer.connection.write("too early"), /before/);
    });

    it("may be in TLS from the beginning", async () => {
      const service = await startTlsServer(certificate, (socket) => socket.write("welcome"));
      opened.push(service);
      const peer = begin({
        hostname: "localhost",
        port: service.port,
        tls: TRUST,
        ...await options(),
      });
      await peer.until(() => peer.events.includes("connected"));
      peer.connection.write("x");
      await peer.until(() => peer.heard() === "welcome");
      assert.throws(() => peer.connection.startTls(TRUST), /in TLS already/);
    });
  });
}

describe("an address", () => {
  it("is connected to instead of the name, which is still the one that is verified", async () => {
    for (const [name, isRight] of [["localhost", true], ["mail.example", false]] as const) {
      const { port } = await startService();
      const peer = begin({ hostname: name, address: "127.0.0.1", port });
      await peer.until(() => peer.heard() === "HELLO");
      peer.connection.write("GO");
      await peer.until(() => peer.heard() === "HELLOREADY");
      peer.connection.startTls(TRUST);
      await peer.until(() => ["connected", "closed"].includes(peer.events.at(-1)!));
      assert.equal(peer.events.at(-1), isRight ? "connected" : "closed");
    }
  });
});

describe("a proxy", () => {
  it("may pass on a service's first words together with its own response", async () => {
    const service = await startRawServer((connection) => connection.write(" and more"));
    opened.push(service);
    const proxy = await throughProxy("HELLO");
    const peer = begin({ hostname: "mail.example", port: service.port, proxy });
    await peer.until(() => peer.heard() === "HELLO and more");
    assert.equal(peer.events[0], "connected");
    assert.match(peer.connection.via ?? "", /^the proxy 127\.0\.0\.1:/);
  });

  it("is named in what fails", async () => {
    const proxy = await startProxy({ route: () => undefined });
    opened.push(proxy);
    const through = { hostname: "127.0.0.1", port: proxy.port };
    const peer = begin({ hostname: "mail.example", port: 587, proxy: through });
    await peer.until(() => peer.events.includes("closed"));
    assert.equal(peer.error()?.code, "PROXY_502");
    assert.match(peer.error()!.message, /mail\.example:587/);
    // The request has asked for exactly this.
    assert.match(proxy.requests[0]!, /^CONNECT mail\.example:587 HTTP\/1\.1\r\n/);
  });
});
