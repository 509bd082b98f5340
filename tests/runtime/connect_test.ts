// Connections of ours to a service: the same on `Runtime.connect` of both runtimes and on
// `node:tls`, and above all that nothing is sent to an unauthenticated service.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { after, before, describe, it } from "node:test";
import { currentRuntime } from "../../src/runtime/current.ts";
import { connectByNode } from "../../src/runtime/node_connect.ts";
import { connectThrough } from "../../src/runtime/tunnel.ts";
import { connectUpgradable } from "../../src/runtime/upgradable.ts";
import type { Connect, ConnectOptions, OutboundHandler } from "../../src/runtime/runtime.ts";
import { type CertificateWishes, createAuthority, startTlsServer } from "../support/authority.ts";
import { type ClientHello, readClientHello } from "../support/client_hello.ts";
import { type ProxyServer, startProxy } from "../support/proxy.ts";
import { closedPort, startRawServer } from "../support/raw_server.ts";

const runtime = await currentRuntime();
const WAYS = new Map<string, Connect>([
  [`${runtime.name}'s own`, runtime.connect],
  ["node:net and node:tls", connectByNode],
]);
if (runtime.connect === connectByNode) WAYS.delete("node:net and node:tls");

const authority = await createAuthority("the tests' authority");
const stranger = await createAuthority("somebody else's authority");
const TRUST = { authorities: [authority.certificate] };
const TOKEN = "Authorization: Bearer a-secret-token\r\n";

/** A connection that sends the token as soon as it may, and its outcome. */
function begin(connect: Connect, options: ConnectOptions) {
  const events: string[] = [];
  let error: (Error & { code?: string }) | undefined;
  let heard = "";
  const connected = Promise.withResolvers<void>();
  const closed = Promise.withResolvers<void>();
  const drained = Promise.withResolvers<void>();
  const handler: OutboundHandler = {
    connected() {
      events.push("connected");
      connection.write(TOKEN);
      connected.resolve();
    },
    data(octets) {
      heard += Buffer.from(octets).toString("latin1");
    },
    drained: () => drained.resolve(),
    closed(reason) {
      events.push("closed");
      error = reason;
      closed.resolve();
    },
  };
  const connection = connect(options, handler);
  return {
    connection,
    events,
    connected: connected.promise,
    closed: closed.promise,
    drained: drained.promise,
    error: () => error,
    heard: () => heard,
  };
}

for (const [way, connect] of WAYS) {
  const open = (options: ConnectOptions) => begin(connect, options);

  describe(`a connection to a service, by ${way}`, () => {
    it("carries text and octets both ways, and reports the service's end", async () => {
      const server = await startRawServer(async (connection) => {
        await connection.until(() => connection.received.length >= TOKEN.length + 4);
        connection.socket.end("answer");
      });
      const peer = open({ hostname: "127.0.0.1", port: server.port });
      await peer.connected;
      peer.connection.write(Buffer.from([0, 128, 255, 10]));
      await peer.closed;
      assert.equal(server.connections[0]!.received, `${TOKEN}\x00\x80\xff\n`);
      assert.equal(peer.heard(), "answer");
      assert.equal(peer.error(), undefined);
      assert.deepEqual(peer.events, ["connected", "closed"]);
      await server.close();
    });

    it("reports when the service does not read, keeps what was written, and reports when it reads again", async () => {
      const server = await startRawServer(({ socket }) => void socket.pause());
      const peer = open({ hostname: "127.0.0.1", port: server.port });
      await peer.connected;
      const parts = ["t".repeat(500_000), Buffer.alloc(500_000, "o")];
      let written = 0;
      for (let writable = true; writable && written < 100; written++) {
        writable = peer.connection.write(parts[written % 2]!);
      }
      assert(written < 100, "it never said stop");
      const { socket } = await server.connection(0);
      let read = 0;
      const all = new Promise<void>((resolve) => {
        socket.on("data", (octets: Uint8Array) => {
          read += octets.length;
          if (read === written * 500_000 + TOKEN.length) resolve();
        });
      });
      socket.resume();
      await Promise.all([peer.drained, all]);
      peer.connection.destroy();
      await server.close();
    });

    it("sends no other octets when the service has read only a part", async () => {
      const server = await startRawServer(({ socket }) => void socket.pause());
      const address = { hostname: "127.0.0.1", port: server.port };
      const slow = open(address);
      await slow.connected;
      const { socket } = await server.connection(0);
      const other = open(address);
      await other.connected;
      // Small enough to be put together with others' in one place on the way.
      const size = 50_000;
      let written = 0;
      for (let writable = true; writable && written < 2_000; written++) {
        writable = slow.connection.write("s".repeat(size));
      }
      assert(written < 2_000, "it never said stop");
      other.connection.write("o".repeat(size));
      const read: Uint8Array[] = [];
      let octets = 0;
      const all = new Promise<void>((resolve) => {
        socket.on("data", (piece: Uint8Array) => {
          read.push(piece);
          octets += piece.length;
          if (octets >= TOKEN.length + written * size) resolve();
        });
      });
      socket.resume();
      await all;
      slow.connection.destroy();
      other.connection.destroy();
      await server.close();
      const strange = Buffer.concat(read).toString("latin1", TOKEN.length).replaceAll("s", "");
      assert.equal(strange.length, 0);
    });

    it("copies octets before it returns: their memory may be reused immediately", async () => {
      const server = await startRawServer(({ socket }) => void socket.pause());
      const peer = open({ hostname: "127.0.0.1", port: server.port });
      await peer.connected;
      const { socket } = await server.connection(0);
      const memory = Buffer.alloc(200_000);
      const expected: Buffer[] = [];
      let writable = true;
      // Large and small, with room and without.
      for (let i = 0; (writable || i % 4 !== 3) && i < 2_000; i++) {
        const octets = memory.subarray(0, i % 2 === 0 ? 200_000 : 30_000).fill(i);
        const more = memory.subarray(190_000).fill(i + 1);
        expected.push(Buffer.from(octets), Buffer.from(more));
        writable = peer.connection.write(octets, more) && writable;
        memory.fill(0);
      }
      assert(!writable, "it never said stop");
      const whole = Buffer.concat(expected);
      const read: Uint8Array[] = [];
      let length = -TOKEN.length;
      const all = new Promise<void>((resolve) => {
        socket.on("data", (piece: Uint8Array) => {
          read.push(piece);
          if ((length += piece.length) >= whole.length) resolve();
        });
      });
      socket.resume();
      await all;
      peer.connection.destroy();
      await server.close();
      assert.ok(Buffer.concat(read).subarray(TOKEN.length).equals(whole));
    });

    it("reaches a name whose first address refuses (RFC 8305)", async () => {
      // `localhost` is ::1 too on most machines, and no server listens there.
      const server = await startRawServer();
      const peer = open({ hostname: "localhost", port: server.port });
      await peer.connected;
      peer.connection.destroy();
      await server.close();
    });

    it("reports a refused connection, and an unknown name", async () => {
      const refused = open({ hostname: "127.0.0.1", port: await closedPort() });
      await refused.closed;
      assert.equal(refused.error()?.code, "ECONNREFUSED");
      const unknown = open({ hostname: "no-such-name.invalid", port: 443, tls: TRUST });
      await unknown.closed;
      assert.match(unknown.error()?.code ?? "", /^(?:ENOTFOUND|EAI_AGAIN|ENODATA)$/);
      assert.deepEqual([...refused.events, ...unknown.events], ["closed", "closed"]);
    });

    it("has no events once it is destroyed, before or after it is connected", async () => {
      const server = await startRawServer();
      const options = { hostname: "127.0.0.1", port: server.port };
      const early = open(options);
      early.connection.destroy();
      const late = open(options);
      await late.connected;
      late.connection.destroy();
      for (const connection of server.connections) await connection.ended();
      assert.deepEqual([...early.events, ...late.events], ["connected"]);
      await server.close();
    });

    it("takes nothing before it is connected", async () => {
      const server = await startRawServer();
      const options = { hostname: "127.0.0.1", port: server.port };
      const { connection } = open(options);
      assert.throws(() => connection.write("too early"), /before/);
      connection.destroy();
      await server.close();
    });
  });
}

/** The same, inside of what a proxy gives; it looks up any name, and finds this machine. */
let proxy: ProxyServer;
const THROUGH_A_PROXY: Connect = ({ hostname, port, tls }, handler) =>
  connectThrough(
    { hostname: "127.0.0.1", port: proxy.port },
    { hostname, port, tls: tls! },
    handler,
  );
/** TLS on a connection that has begun without it (RFC 3207). */
const upgraded = (isProxied: boolean): Connect => ({ hostname, port, tls }, handler) => {
  const way = isProxied ? { proxy: { hostname: "127.0.0.1", port: proxy.port } } : {};
  let isPlain = true;
  const connection = connectUpgradable({ hostname, port, ...way }, {
    connected() {
      if (!isPlain) return handler.connected();
      isPlain = false;
      connection.startTls(tls!);
    },
    data: (octets) => handler.data(octets),
    drained: () => handler.drained(),
    closed: (error) => handler.closed(error),
  });
  return connection;
};
const UPGRADED_THROUGH_A_PROXY = upgraded(true);

before(async () => {
  proxy = await startProxy({ route: (target) => Number(/:(\d+)$/.exec(target)![1]) });
});
after(() => proxy.close());

for (
  const [way, connect] of [
    ...WAYS,
    ["a proxy's tunnel", THROUGH_A_PROXY],
    ["an upgraded connection", upgraded(false)],
    ["an upgraded connection in a proxy's tunnel", UPGRADED_THROUGH_A_PROXY],
  ] as const
) {
  const open = (options: ConnectOptions) => begin(connect, options);
  /** Whether a name can be one that this machine does not know. */
  const anyName = connect === THROUGH_A_PROXY || connect === UPGRADED_THROUGH_A_PROXY;

  describe(`TLS to a service, by ${way} (RFC 9110 §4.3.4)`, () => {
    const HOSTS: readonly (readonly [host: string, wishes: CertificateWishes])[] = [
      ["localhost", { names: ["localhost"] }],
      ["localhost", { names: ["example.com", "LOCALHOST"] }],
      ["localhost", { names: ["localhost"], addresses: ["127.0.0.1"] }],
      ["127.0.0.1", { addresses: ["127.0.0.1"] }],
      ["127.0.0.1", { names: ["localhost"], addresses: ["192.0.2.1", "127.0.0.1"] }],
      ...(anyName
        ? [
          ["graph.example.com", { names: ["*.example.com"] }],
          ["graph.example.com", { names: ["*.Example.COM"] }],
          ["2001:db8::1", { addresses: ["2001:db8:0:0:0::1"] }],
        ] as const
        : []),
    ];
    for (const [hostname, wishes] of HOSTS) {
      it(`trusts ${hostname} with a certificate for ${JSON.stringify(wishes)}`, async () => {
        const server = await startTlsServer(
          await authority.issue(wishes),
          (socket) => socket.end("welcome"),
        );
        const peer = open({ hostname, port: server.port, tls: TRUST });
        await peer.closed;
        assert.deepEqual(peer.events, ["connected", "closed"]);
        assert.equal(peer.heard(), "welcome");
        assert.equal(server.heard(), TOKEN);
        await server.close();
      });
    }

    const BAD: readonly {
      name: string;
      hostname?: string;
      wishes?: CertificateWishes;
      issuer?: "stranger" | "nobody";
      authorities?: readonly string[];
    }[] = [
      { name: "from an authority that is not known", issuer: "stranger" },
      { name: "from an authority that is not among the runtime's", authorities: [] },
      { name: "that it has signed itself", issuer: "nobody" },
      { name: "for another name", wishes: { names: ["example.com", "*.localhost"] } },
      { name: "for another address", hostname: "127.0.0.1", wishes: { addresses: ["127.0.0.2"] } },
      { name: "for a name, asked by its address", hostname: "127.0.0.1" },
      {
        name: "for the address as a name",
        hostname: "127.0.0.1",
        wishes: { names: ["127.0.0.1"] },
      },
      // RFC 9525 §2 and §6.3: the common name is no name of the service.
      {
        name: "with its name as common name alone",
        wishes: { names: [], commonName: "localhost" },
      },
      {
        name: "with addresses, and its name as common name",
        wishes: { names: [], addresses: ["127.0.0.1"], commonName: "localhost" },
      },
      {
        name: "with a URI, and its name as common name",
        wishes: { names: [], uris: ["https://localhost/"], commonName: "localhost" },
      },
      {
        name: "with its address as common name",
        hostname: "127.0.0.1",
        wishes: { names: [], commonName: "127.0.0.1" },
      },
      {
        name: "with its name inside of a URI (CVE-2021-44532)",
        wishes: { names: ["example.com"], uris: ["http://x/, DNS:localhost"] },
      },
      {
        name: "with its address inside of a URI",
        hostname: "127.0.0.1",
        wishes: { uris: ["http://x/, IP Address:127.0.0.1"] },
      },
      { name: "for all names", wishes: { names: ["*"] } },
      // RFC 9525 §6.3: a wildcard is the whole leftmost label, and stands for one.
      ...(anyName
        ? ["g*.example.com", "*h.example.com", "g*h.example.com", "graph.*.com", "*.*.com", "*.com"]
          .map((name) => ({
            name: `for ${name}`,
            hostname: "graph.example.com",
            wishes: { names: [name] },
          }))
        : []),
      ...(anyName
        ? [
          {
            name: "for *.example.com, asked for a name of two labels below",
            hostname: "a.graph.example.com",
            wishes: { names: ["*.example.com"] },
          },
          {
            name: "for *.example.com, asked for that domain",
            hostname: "example.com",
            wishes: { names: ["*.example.com"] },
          },
          {
            name: "for another address of IPv6",
            hostname: "2001:db8::1",
            wishes: { addresses: ["2001:db8::2"] },
          },
        ]
        : []),
      { name: "that has expired", wishes: { names: ["localhost"], from: -20, until: -10 } },
      { name: "that is not valid yet", wishes: { names: ["localhost"], from: 10, until: 20 } },
    ];
    for (const { name, hostname = "localhost", wishes, issuer, authorities } of BAD) {
      it(`sends nothing to a service with a certificate ${name}`, async () => {
        const issued = { names: ["localhost"], ...wishes };
        const certificate = issuer === "nobody"
          ? await selfSigned()
          : await (issuer === "stranger" ? stranger : authority).issue(issued);
        const server = await startTlsServer(certificate, (socket) => socket.end("gotcha"));
        const tls = authorities === undefined ? TRUST : { authorities };
        const peer = open({ hostname, port: server.port, tls });
        await peer.closed;
        assert.deepEqual(peer.events, ["closed"]);
        assert(peer.error() instanceof Error);
        assert.notEqual(peer.error()!.message, "");
        // The server's connection has ended before its received octets are read.
        await server.close();
        assert.equal(server.heard(), "");
      });
    }

    it("requests its name, only HTTP/1.1, and TLS 1.2 or 1.3, and sends no more", async () => {
      for (const hostname of ["localhost", "127.0.0.1"]) {
        const hello = Promise.withResolvers<{ hello: ClientHello; all: Buffer }>();
        const server = await startRawServer(async (connection) => {
          const octets = () => Buffer.from(connection.received, "latin1");
          await connection.until(() => readClientHello(octets()) !== undefined);
          hello.resolve({ hello: readClientHello(octets())!, all: octets() });
        });
        const peer = open({ hostname, port: server.port, tls: TRUST });
        const { hello: { serverName, protocols, versions }, all } = await hello.promise;
        assert.equal(serverName, hostname === "localhost" ? "localhost" : undefined, "RFC 6066 §3");
        assert.deepEqual(protocols, ["http/1.1"]);
        assert.deepEqual([...versions].sort(), [0x0303, 0x0304]);
        assert.equal(all.length, 5 + all.readUInt16BE(3));
        peer.connection.destroy();
        await server.close();
      }
    });

    const BREAKS: readonly (readonly [name: string, answer: "end" | "reset" | string])[] = [
      ["ends", "end"],
      ["resets", "reset"],
      ["is not TLS at all", "220 mail.example.com ESMTP\r\n"],
    ];
    for (const [name, answer] of BREAKS) {
      it(`never begins when the service ${name} inside the handshake`, async () => {
        const server = await startRawServer(async (connection) => {
          await connection.until(() => connection.received.length > 0);
          if (answer === "reset") connection.socket.resetAndDestroy();
          else connection.socket.end(answer === "end" ? "" : answer);
        });
        const peer = open({ hostname: "localhost", port: server.port, tls: TRUST });
        await peer.closed;
        assert.deepEqual(peer.events, ["closed"]);
        assert(!server.connections[0]!.received.includes("Bearer"));
        await server.close();
      });
    }
  });
}

async function selfSigned() {
  const { selfSignedCertificate } = await import("../../src/certificates/self_signed.ts");
  return await selfSignedCertificate();
}
