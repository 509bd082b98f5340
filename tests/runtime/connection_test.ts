// What a connection does is the same on both runtimes: these tests are the interface's meaning.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { spawnSync } from "node:child_process";
import { connect, type Socket } from "node:net";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import { connect as connectTls, type ConnectionOptions, type SecureVersion } from "node:tls";
import { selfSignedCertificate } from "../../src/certificates/self_signed.ts";
import { handedOver } from "../support/handed_over.ts";
import { currentRuntime } from "../../src/runtime/current.ts";
import type {
  Connection,
  ConnectionHandler,
  Listener,
  Runtime,
  TlsFacts,
  TlsIdentity,
} from "../../src/runtime/runtime.ts";

/** A connection as a test sees it: events can be awaited. */
class Peer implements ConnectionHandler {
  readonly connection: Connection;
  /** Octets received. */
  octets = 0;
  #pieces: Uint8Array[] = [];
  readonly events: string[] = [];
  error: Error | undefined;
  opening: Uint8Array | undefined;
  tls: TlsFacts | undefined;
  onOpened: () => void = () => {};
  onData: (bytes: Uint8Array) => void = () => {};
  /** What a server does when its client has nothing more to say. */
  onEnded: () => void = () => this.connection.end();
  #waiting: (() => void)[] = [];

  constructor(connection: Connection) {
    this.connection = connection;
  }
  get received(): Buffer {
    return Buffer.concat(this.#pieces);
  }
  forget() {
    this.octets = 0;
    this.#pieces = [];
  }
  opened() {
    this.#event("opened");
    this.onOpened();
  }
  data(bytes: Uint8Array) {
    this.octets += bytes.length;
    this.#pieces.push(bytes);
    this.onData(bytes);
    this.#wake();
  }
  drained() {
    this.#event("drained");
  }
  ended() {
    this.#event("ended");
    this.onEnded();
  }
  secured(tls: TlsFacts) {
    this.tls = tls;
    this.#event("secured");
  }
  closed(error?: Error, opening?: Uint8Array) {
    this.error = error;
    this.opening = opening;
    this.#event("closed");
  }
  async until(condition: () => boolean) {
    while (!condition()) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
  event(name: string) {
    return this.until(() => this.events.includes(name));
  }
  #event(name: string) {
    this.events.push(name);
    this.#wake();
  }
  #wake() {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

/** The ways to a listener, which must make no difference. */
const SOCKETS: readonly [name: string, listener: (runtime: Runtime, accept: Accept) => unknown][] =
  [
    [
      "a socket of its own",
      (runtime, accept) => runtime.listen({ hostname: "127.0.0.1", port: 0, accept }),
    ],
    [
      "a socket that was handed over",
      async (runtime, accept) => runtime.listen({ ...await handedOver(), accept }),
    ],
  ];
type TlsWishes = Pick<ConnectionOptions, "maxVersion" | "ciphers">;
type Accept = (connection: Connection) => ConnectionHandler;

for (const [name, listenOn] of SOCKETS) {
  describe(`a connection of the runtime, on ${name}`, () => {
    let runtime: Runtime;
    let identity: TlsIdentity;
    let listener: Listener;
    let prepare: (peer: Peer) => void = () => {};
    let arrive: (peer: Peer) => void = () => {};

    before(async () => {
      runtime = await currentRuntime();
      const { certificate, privateKey } = await selfSignedCertificate();
      identity = { certificate, privateKey, minVersion: "1.2" };
      listener = await listenOn(runtime, (connection) => {
        const peer = new Peer(connection);
        prepare(peer);
        arrive(peer);
        return peer;
      }) as Listener;
    });
    after(() => listener.close());

    /** A client and the server's side of its connection. */
    async function open(
      setup: (peer: Peer) => void = () => {},
    ): Promise<{ client: Socket; peer: Peer }> {
      prepare = setup;
      const arrived = new Promise<Peer>((resolve) => arrive = resolve);
      const client = connect({ host: "127.0.0.1", port: listener.port, allowHalfOpen: true });
      client.on("error", () => {});
      await new Promise<void>((resolve) => client.once("connect", resolve));
      const peer = await arrived;
      await peer.event("opened");
      return { client, peer };
    }

    function tlsOver(socket: Socket, wishes: TlsWishes = {}): Promise<Socket> {
      return new Promise((resolve, reject) => {
        const options = { socket, rejectUnauthorized: false, ...wishes };
        const secure = connectTls(options, () => resolve(secure));
        secure.on("error", reject);
      });
    }

    function read(socket: Socket, length: number): Promise<Buffer> {
      return new Promise((resolve) => {
        let all = Buffer.alloc(0);
        const take = (octets: Uint8Array) => {
          all = Buffer.concat([all, octets]);
          if (all.length < length) return;
          socket.off("data", take);
          resolve(all);
        };
        socket.on("data", take);
      });
    }

    it("reports the client's address, and carries octets both ways", async () => {
      const { client, peer } = await open();
      assert.equal(peer.connection.remoteAddress, "127.0.0.1");
      assert.equal(peer.connection.remotePort, client.localPort);
      const octets = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
      client.write(octets);
      await peer.until(() => peer.octets === 256);
      assert.deepEqual(peer.received, octets);
      peer.connection.write(octets);
      assert.deepEqual(await read(client, 256), octets);
      client.destroy();
      await peer.event("closed");
    });

    it("goes on writing after the client has half-closed", async () => {
      const { client, peer } = await open((peer) => peer.onEnded = () => {});
      client.end("last words");
      await peer.event("ended");
      assert.equal(peer.received.toString(), "last words");
      const answer = read(client, 6);
      peer.connection.write(Buffer.from("answer"));
      assert.equal((await answer).toString(), "answer");
      const closed = new Promise((resolve) => client.once("close", resolve));
      peer.connection.end();
      await Promise.all([closed, peer.event("closed")]);
      assert.equal(peer.error, undefined);
    });

    it("goes on reading after it has half-closed, so that its last reply is not lost", async () => {
      const { client, peer } = await open();
      const bye = read(client, 3);
      peer.connection.write(Buffer.from("bye"));
      peer.connection.end();
      assert.equal((await bye).toString(), "bye");
      client.write("still talking");
      await peer.until(() => peer.received.toString() === "still talking");
      client.end();
      await peer.event("closed");
    });

    it("hands nothing over while paused, and everything after", async () => {
      const { client, peer } = await open((peer) => peer.onData = () => peer.connection.pause());
      client.write("first");
      await peer.until(() => peer.octets > 0);
      // More than the system's buffers hold on both sides together, whatever it makes of them.
      const size = 100_000_000;
      let sent = false;
      client.write(Buffer.alloc(size, "x"), () => sent = true);
      // A round trip on another connection: time enough for the paused one to misbehave.
      const other = await open();
      other.client.write("x");
      await other.peer.until(() => other.peer.octets === 1);
      assert.ok(peer.octets < size, "TCP's window stops the sender");
      assert.equal(sent, false);
      peer.onData = () => {};
      peer.connection.resume();
      await peer.until(() => peer.octets === size + 5);
      client.destroy();
      other.client.destroy();
    });

    it("reports when the client does not read, keeps what was written, and reports when it reads again", async () => {
      const { client, peer } = await open();
      client.pause();
      const block = Buffer.alloc(1_000_000, "y");
      let blocks = 0;
      for (let writable = true; writable && blocks < 100;) {
        writable = peer.connection.write(block);
        blocks++;
      }
      assert.ok(blocks < 100, "it never said stop");
      const all = read(client, blocks * block.length);
      client.resume();
      await peer.event("drained");
      assert.equal((await all).length, blocks * block.length);
      client.destroy();
      await peer.event("closed");
    });

    it("continues in TLS after plain text (RFC 3207), and half-closes there", async () => {
      const { client, peer } = await open((peer) => {
        peer.onData = () => {
          peer.connection.write(Buffer.from("220 go\r\n"));
          peer.connection.startTls(identity);
        };
      });
      const ready = read(client, 8);
      client.write("STARTTLS\r\n");
      assert.equal((await ready).toString(), "220 go\r\n");
      client.removeAllListeners("data");
      peer.onData = () => {};
      peer.forget();
      const secure = await tlsOver(client);
      await peer.event("secured");
      const big = Buffer.alloc(3_000_000, "z");
      secure.write(big);
      await peer.until(() => peer.octets === big.length);
      const echo = read(secure, big.length);
      peer.connection.write(big);
      assert.equal((await echo).length, big.length);
      secure.end();
      await peer.event("ended");
      peer.connection.end();
      await peer.event("closed");
    });

    it("goes on in TLS at any time, not only in answer to octets", async () => {
      const { client, peer } = await open();
      const ready = read(client, 3);
      peer.connection.write(Buffer.from("go\n"));
      peer.connection.startTls(identity);
      await ready;
      client.removeAllListeners("data");
      const secure = await tlsOver(client);
      await peer.event("secured");
      secure.write("inside");
      await peer.until(() => peer.received.toString() === "inside");
      secure.end();
      await peer.event("closed");
    });

    it("does TLS from the first octet (RFC 8314 §3.3)", async () => {
      const { client, peer } = await open((peer) =>
        peer.onOpened = () => peer.connection.startTls(identity)
      );
      const secure = await tlsOver(client);
      await peer.event("secured");
      secure.write("inside");
      await peer.until(() => peer.received.toString() === "inside");
      peer.connection.destroy();
      await peer.event("closed");
    });

    // Node's documentation of getCipher(): its `version` is the oldest one that has the cipher.
    const OLD_CIPHER = "ECDHE-ECDSA-AES256-SHA";
    const HANDSHAKES: readonly (readonly [version: SecureVersion, ciphers?: string])[] = [
      ["TLSv1.3"],
      ["TLSv1.2"],
      // Deno has no cipher of CBC.
      ...("Deno" in globalThis ? [] : [["TLSv1.2", OLD_CIPHER] as const]),
    ];
    for (const [version, ciphers] of HANDSHAKES) {
      it(`tells the version of TLS: ${version}${ciphers ? ` with ${ciphers}` : ""}`, async () => {
        const offered = ciphers === undefined ? {} : { ciphers };
        const { client, peer } = await open((peer) =>
          peer.onOpened = () => peer.connection.startTls({ ...identity, ...offered })
        );
        const secure = await tlsOver(client, { maxVersion: version, ...offered });
        await peer.event("secured");
        assert.equal(peer.tls?.version, version);
        if (ciphers !== undefined) assert.equal(peer.tls?.cipher, ciphers);
        secure.destroy();
        await peer.event("closed");
      });
    }

    it("goes on in TLS with octets of the handshake that were read before", async () => {
      const { client, peer } = await open((peer) => {
        peer.onData = (bytes) => {
          peer.onData = () => {};
          peer.forget();
          peer.connection.startTls(identity, bytes);
        };
      });
      const secure = await tlsOver(client);
      await peer.event("secured");
      peer.forget();
      secure.write("inside");
      await peer.until(() => peer.received.toString() === "inside");
      const answer = read(secure, 2);
      peer.connection.write(Buffer.from("ok"));
      assert.equal((await answer).toString(), "ok");
      peer.connection.destroy();
      await peer.event("closed");
    });

    it("reports the first sixteen octets of a failed handshake", async () => {
      for (const received of [false, true]) {
        const { client, peer } = await open((peer) => {
          if (received) peer.onData = (bytes) => peer.connection.startTls(identity, bytes);
          else peer.onOpened = () => peer.connection.startTls(identity);
        });
        client.write("this is no ClientHello\r\n".repeat(10));
        await peer.event("closed");
        assert.equal(Buffer.from(peer.opening!).toString(), "this is no Clien");
        assert.ok(peer.error !== undefined);
      }
    });

    it("takes another certificate for the next connection", async () => {
      const next = await selfSignedCertificate();
      const identities = [identity, {
        ...identity,
        certificate: next.certificate,
        privateKey: next.privateKey,
      }];
      const serials: string[] = [];
      for (const used of identities) {
        const { client, peer } = await open((peer) =>
          peer.onOpened = () => peer.connection.startTls(used)
        );
        const secure = await tlsOver(client) as ReturnType<typeof connectTls>;
        serials.push(secure.getPeerCertificate().serialNumber);
        secure.destroy();
        await peer.event("closed");
      }
      assert.notEqual(serials[0], serials[1]);
      assert.equal(serials[1], next.leaf.serialNumber);
    });

    it("ends only the connection whose TLS handshake goes wrong, with an error", async () => {
      const good = await open((peer) => peer.onOpened = () => peer.connection.startTls(identity));
      const secure = await tlsOver(good.client);
      const bad = await open((peer) => peer.onOpened = () => peer.connection.startTls(identity));
      bad.client.write("this is no ClientHello\r\n".repeat(10));
      await bad.peer.event("closed");
      assert.ok(bad.peer.error instanceof Error);
      assert.ok(!bad.peer.events.includes("secured"));
      secure.write("still here");
      await good.peer.until(() => good.peer.received.toString() === "still here");
      secure.destroy();
      await good.peer.event("closed");
    });

    it("survives a client that resets, and one that leaves inside the handshake", async () => {
      const reset = await open();
      reset.client.resetAndDestroy();
      await reset.peer.event("closed");
      const gone = await open((peer) => peer.onOpened = () => peer.connection.startTls(identity));
      gone.client.destroy();
      await gone.peer.event("closed");
      assert.equal(gone.peer.error, undefined, "a probe of the port is no failed handshake");
      // Nothing, the beginning of a ClientHello's record, all of a header with nothing after it.
      for (const octets of [[], [22], [22, 3, 1, 2, 0, 1]]) {
        for (const leave of ["destroy", "resetAndDestroy"] as const) {
          const { client, peer } = await open((peer) =>
            peer.onOpened = () => peer.connection.startTls(identity)
          );
          if (octets.length > 0) {
            await new Promise<void>((resolve) =>
              client.write(Buffer.from(octets), () => resolve())
            );
          }
          client[leave]();
          await peer.event("closed");
          assert.equal(peer.error, undefined, `${leave} after ${octets.length} octets`);
        }
      }
      const next = await open();
      next.client.destroy();
      await next.peer.event("closed");
    });

    it("refuses a port that is in use with EADDRINUSE, and an address that is not ours", () => {
      const accept = () => {
        throw new Error("nobody comes");
      };
      assert.throws(
        () => runtime.listen({ hostname: "127.0.0.1", port: listener.port, accept }),
        { code: "EADDRINUSE" },
      );
      // 192.0.2.0/24 is for documentation (RFC 5737): no machine has it.
      assert.throws(() => runtime.listen({ hostname: "192.0.2.1", port: 0, accept }), {
        code: "EADDRNOTAVAIL",
      });
    });

    it("goes on accepting immediately when clients have reset their connections before their turn", () => {
      // A flood of these must not keep others waiting, nor look like a lack of file descriptors.
      return new Promise<void>((resolve, reject) => {
        const second = runtime.listen({
          hostname: "127.0.0.1",
          port: 0,
          failed: reject,
          accept: (connection) => {
            const peer = new Peer(connection);
            // Some runtimes accept them and report that they are closed.
            void peer.until(() => peer.received.length > 0).then(() => {
              second.close();
              connection.destroy();
              resolve();
            });
            return peer;
          },
        });
        // While this waits, no connection is accepted.
        const code = `const { connect } = require("node:net");
        const one = (left) => {
          const socket = connect(${second.port}, "127.0.0.1", () => socket.resetAndDestroy());
          socket.on("close", () => left > 1 && one(left - 1)).on("error", () => {});
        };
        one(20);`;
        const { status, stderr } = spawnSync(
          process.execPath,
          "Deno" in globalThis ? ["eval", "--ext=cjs", code] : ["-e", code],
          { env: { ...process.env, DENO_NO_UPDATE_CHECK: "1" }, encoding: "utf8" },
        );
        if (status !== 0) return reject(new Error(stderr));
        const client = connect(second.port, "127.0.0.1", () => client.end("here"));
        client.on("error", reject);
      });
    });

    it("stops accepting when the listener is closed; what is open goes on", async () => {
      const { promise, resolve } = Promise.withResolvers<Peer>();
      const second = await listenOn(runtime, (connection) => {
        const peer = new Peer(connection);
        resolve(peer);
        return peer;
      }) as Listener;
      const client = connect({ host: "127.0.0.1", port: second.port });
      const peer = await promise;
      await peer.event("opened");
      second.close();
      const refused = await new Promise((done) =>
        connect(second.port, "127.0.0.1").on("error", done)
      );
      // Refused, or reset where the kernel had taken it just before.
      assert.match((refused as { code?: string }).code ?? "", /^ECONN(?:REFUSED|RESET)$/);
      client.write("on");
      await peer.until(() => peer.received.toString() === "on");
      client.destroy();
      await peer.event("closed");
    });
  });
}
