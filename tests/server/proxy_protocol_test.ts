// PROXY_PROTOCOL_NETWORKS on real sockets: which client must send a header and which must not, in plain
// text and before TLS, and which client counts from then on (haproxy's doc/proxy-protocol.txt).

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import type { ProxyRefusal } from "../../src/server/proxy_gate.ts";
import type { Client } from "../../src/submission/submission_service.ts";
import { setImmediate } from "node:timers/promises";
import type { Certificate } from "../../src/certificates/certificate.ts";
import { selfSignedCertificate } from "../../src/certificates/self_signed.ts";
import { Networks } from "../../src/networks.ts";
import { ConnectionLimiter } from "../../src/server/connection_limiter.ts";
import { REPLIES, reply } from "../../src/smtp/reply.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { type TestServer, TestServers } from "../support/smtp_server.ts";
import { until } from "../support/until.ts";
import { ProxiedClient } from "./proxied_client.ts";
import { v2, V2_SIGNATURE } from "./proxy_headers.ts";

const V1 = Buffer.from("PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\r\n");
const V1_IPV6 = Buffer.from("PROXY TCP6 2001:DB8:0::7 2001:db8::1 40000 25\r\n");
const ADDRESSES = [192, 0, 2, 7, 198, 51, 100, 1, 0x9c, 0x40, 0, 25];
const V2 = v2({ family: 0x11, addresses: ADDRESSES });
const V2_TLVS = v2({ family: 0x11, addresses: ADDRESSES, tlvs: Array(3000).fill(13) });
const LOCAL = v2({ command: 0x20, family: 0, addresses: [] });
const UNKNOWN = Buffer.from("PROXY UNKNOWN\r\n");

const SOURCE = { address: "192.0.2.7", port: 40000, proxy: "127.0.0.1" };

let certificate: Certificate | undefined;

interface ServerEvents {
  readonly refusals: { refusal: ProxyRefusal; client: Client }[];
  readonly logins: Client[];
  readonly messages: Client[];
}

describe("the PROXY protocol", () => {
  const servers = new TestServers();

  interface Started extends TestServer {
    readonly events: ServerEvents;
    readonly clock: FakeClock;
    client(): Promise<ProxiedClient>;
  }

  /** Starts a server whose clock stands still until the test moves it. */
  async function start(
    { networks, tls = false, headerTimeout = 60_000, host = "127.0.0.1", limiter }: {
      limiter?: ConnectionLimiter;
      networks?: string;
      tls?: boolean;
      headerTimeout?: number;
      host?: string;
    } = {},
  ): Promise<Started> {
    const events: ServerEvents = { refusals: [], logins: [], messages: [] };
    const clock = new FakeClock();
    const started = await servers.start({
      certificate: certificate ??= await selfSignedCertificate(),
      implicitTls: tls,
      host,
      clock,
      limiter,
      proxies: networks === undefined
        ? undefined
        : { networks: Networks.parse(networks)!, headerTimeout },
      handlers: {
        authenticate(_credentials, client) {
          events.logins.push(client);
          return Promise.resolve({ reply: REPLIES.authenticated, account: true });
        },
        submit(_account, { client }) {
          events.messages.push(client);
          return Promise.resolve(reply(250, "2.0.0", "OK id=1"));
        },
        proxyRefused: (refusal, client) => events.refusals.push({ refusal, client }),
      },
    });
    const address = host === "::" ? "127.0.0.1" : host;
    return {
      ...started,
      events,
      clock,
      client: async () => servers.keep(await ProxiedClient.connect(started.port, address)),
    };
  }

  /** A whole message; the greeting has been read. */
  async function sendMail(client: ProxiedClient): Promise<void> {
    assert.match(await client.say("EHLO client.example"), /^250 /);
    const plain = Buffer.from("\0user\0secret").toString("base64");
    assert.match(await client.say(`AUTH PLAIN ${plain}`), /^235/);
    assert.match(await client.say("MAIL FROM:<a@example.com>"), /^250/);
    assert.match(await client.say("RCPT TO:<b@example.org>"), /^250/);
    assert.match(await client.say("DATA"), /^354/);
    assert.match(await client.say("Subject: x\r\n\r\nText\r\n."), /^250/);
    assert.match(await client.say("QUIT"), /^221/);
  }

  for (
    const [name, header, from] of [
      ["version 1", V1, SOURCE],
      ["version 1, IPv6", V1_IPV6, { ...SOURCE, address: "2001:db8::7" }],
      ["version 2", V2, SOURCE],
      ["version 2 with TLVs", V2_TLVS, SOURCE],
      ["version 1, UNKNOWN", UNKNOWN, undefined],
      ["version 2, LOCAL", LOCAL, undefined],
    ] as const
  ) {
    for (const tls of [false, true]) {
      it(`${name}${tls ? ", before TLS" : ""}: its client counts`, async () => {
        const { client: connect, events, oneEnds } = await start({ networks: "127.0.0.0/8", tls });
        const over = oneEnds();
        const client = await connect();
        if (tls) await client.startTls((hello) => client.send(Buffer.concat([header, hello])));
        else await client.send(header);
        assert.match(await client.readLine(), /^220 /);
        await sendMail(client);
        const summary = await over;
        const seen = [events.logins[0], events.messages[0], summary.client];
        for (const client of seen) {
          const { connection: _, tls: encryption, ...origin } = client!;
          assert.equal(encryption?.version, tls ? "TLSv1.3" : undefined);
          if (from !== undefined) assert.deepEqual(origin, from);
          else {
            assert.equal(origin.address, "127.0.0.1");
            assert.equal(origin.proxy, undefined);
          }
        }
        assert.equal(summary.secure, tls);
        assert.equal(summary.messages, 1);
        assert.deepEqual(events.refusals, []);
      });
    }
  }

  it("greets only after the whole header (§2), wherever it is cut", async () => {
    const { client: connect } = await start({ networks: "127.0.0.1" });
    for (const header of [V1, V2]) {
      for (let cut = 1; cut < header.length; cut += 3) {
        const client = await connect();
        await client.send(header.subarray(0, cut));
        // A server that greets too early would do so before this reply on another connection.
        const other = await connect();
        await other.send(UNKNOWN);
        assert.match(await other.readLine(), /^220 /);
        other.destroy();
        assert.equal(client.text, "");
        await client.send(header.subarray(cut));
        assert.match(await client.readLine(), /^220 /);
        client.destroy();
      }
    }
  });

  it("begins with TLS when header and ClientHello arrive in any pieces", async () => {
    const { client: connect, oneEnds } = await start({ networks: "127.0.0.1", tls: true });
    const ways: ((header: Buffer, hello: Buffer) => Uint8Array[])[] = [
      (header, hello) => [Buffer.concat([header, hello])],
      (header, hello) => [header, hello],
      (header, hello) => [header.subarray(0, 1), Buffer.concat([header.subarray(1), hello])],
      (header, hello) => [header.subarray(0, 14), header.subarray(14), hello],
      (header, hello) => [Buffer.concat([header, hello.subarray(0, 1)]), hello.subarray(1)],
      (header, hello) => [
        header.subarray(0, header.length - 1),
        Buffer.concat([header.subarray(header.length - 1), hello.subarray(0, 100)]),
        hello.subarray(100),
      ],
      (header, hello) => {
        const whole = Buffer.concat([header, hello]);
        const single = Array.from(
          whole.subarray(0, header.length + 20),
          (octet) => Uint8Array.of(octet),
        );
        return [...single, whole.subarray(header.length + 20)];
      },
    ];
    for (const header of [V1, V2, V2_TLVS]) {
      for (const [i, way] of ways.entries()) {
        // Octet by octet would be too slow for thousands of them.
        if (header.length > 1000 && i === ways.length - 1) continue;
        const over = oneEnds();
        const client = await connect();
        await client.startTls(async (hello) => {
          for (const piece of way(header, hello)) {
            await client.send(piece);
            // So that the pieces arrive as pieces; if they do not, the test is weaker, but correct.
            await setImmediate();
          }
        });
        assert.match(await client.readLine(), /^220 /, `way ${i}`);
        assert.match(await client.say("QUIT"), /^221/);
        assert.equal((await over).client.address, "192.0.2.7");
      }
    }
  });

  it("starts TLS by STARTTLS after a header as without one", async () => {
    const { client: connect, events } = await start({ networks: "127.0.0.1" });
    const client = await connect();
    await client.send(V2);
    assert.match(await client.readLine(), /^220 /);
    await client.say("EHLO client.example");
    assert.match(await client.say("STARTTLS"), /^220 /);
    await client.startTls((hello) => client.send(hello));
    await sendMail(client);
    assert.equal(events.messages[0]!.address, "192.0.2.7");
  });

  it("answers commands that arrive in one segment with the header", async () => {
    const { client: connect } = await start({ networks: "127.0.0.1" });
    const client = await connect();
    await client.send(Buffer.concat([V2, Buffer.from("EHLO client.example\r\nQUIT\r\n")]));
    assert.match(await client.closed(), /^220 [^]*250 [^]*221 [^\r]*\r\n$/);
  });

  it("matches a proxy's IPv4 address on a dual-stack socket as IPv4", async () => {
    const { client: connect, oneEnds } = await start({ networks: "127.0.0.1", host: "::" });
    const over = oneEnds();
    const client = await connect();
    await client.send(V1);
    assert.match(await client.readLine(), /^220 /);
    client.end();
    assert.deepEqual({ ...(await over).client, connection: "" }, { ...SOURCE, connection: "" });
  });

  for (
    const [name, octets, detail] of [
      ["SMTP", Buffer.from("EHLO client.example\r\n"), /no PROXY header/],
      ["TLS", Buffer.from("16030100c8010000c40303", "hex"), /no PROXY header/],
      ["a broken header", Buffer.from("PROXY TCP4 192.0.2.7\r\n"), /six words/],
      ["a broken header of version 2", v2({ family: 0x11, addresses: [1] }), /longer/],
    ] as const
  ) {
    for (const tls of [false, true]) {
      it(`closes${tls ? " (TLS)" : ""} without a reply when a proxy sends ${name}`, async () => {
        const { client: connect, events, oneEnds } = await start({ networks: "127.0.0.1", tls });
        const over = oneEnds();
        const client = await connect();
        await client.send(octets);
        assert.equal(await client.closed(), "");
        const { received, handshakeFailed, messages } = await over;
        assert.deepEqual({ received, handshakeFailed, messages }, {
          received: 0,
          handshakeFailed: false,
          messages: 0,
        });
        assert.equal(events.refusals.length, 1);
        const { refusal, client: origin } = events.refusals[0]!;
        assert.equal(refusal.reason, "missing");
        assert.match(refusal.detail, detail);
        assert.equal(origin.address, "127.0.0.1");
      });
    }
  }

  it("does not report a proxy's connection that ends without an octet, as probes do", async () => {
    const { client: connect, events, oneEnds, accepted } = await start({ networks: "127.0.0.1" });
    for (const leave of ["end", "reset"] as const) {
      const over = oneEnds();
      const client = await connect();
      await accepted(1);
      client[leave]();
      assert.equal((await over).received, 0);
      assert.equal(await client.closed(), "");
    }
    assert.deepEqual(events.refusals, []);
  });

  it("does not report a health check that sends LOCAL and closes, with and without TLS", async () => {
    for (const tls of [false, true]) {
      const { client: connect, events, oneEnds, accepted } = await start({
        networks: "127.0.0.1",
        tls,
      });
      for (const leave of ["end", "reset"] as const) {
        const over = oneEnds();
        const client = await connect();
        await accepted(1);
        await client.send(LOCAL);
        if (!tls) assert.match(await client.readLine(), /^220 /);
        client[leave]();
        const { received, handshakeFailed, error } = await over;
        assert.equal(received, 0);
        assert.equal(handshakeFailed && error, false);
      }
      assert.deepEqual(events.refusals, []);
    }
  });

  it("reports a header that is cut off", async () => {
    const { client: connect, events, oneEnds } = await start({ networks: "127.0.0.1" });
    const over = oneEnds();
    const client = await connect();
    await client.send(V2.subarray(0, 20));
    client.end();
    await over;
    assert.equal(await client.closed(), "");
    assert.deepEqual(events.refusals.map(({ refusal }) => refusal), [
      { reason: "missing", detail: "it is cut off" },
    ]);
  });

  it("waits for a header no longer than its timeout, which single octets do not extend (§2)", async () => {
    const started = await start({ networks: "127.0.0.1", headerTimeout: 10_000 });
    const { client: connect, events, accepted, clock } = started;
    const silent = await connect();
    const dripping = await connect();
    await accepted(2);
    for (const octet of V2_TLVS.subarray(0, 4)) {
      assert.deepEqual(events.refusals, []);
      await dripping.send(Uint8Array.of(octet));
      // Another client's greeting: what arrived before it has been read.
      const other = await connect();
      await other.send(UNKNOWN);
      assert.match(await other.readLine(), /^220 /);
      other.destroy();
      clock.pass(2_500);
    }
    assert.equal(await silent.closed(), "");
    assert.equal(await dripping.closed(), "");
    assert.deepEqual(events.refusals.map(({ refusal }) => refusal.detail).sort(), [
      "it was not whole in time",
      "nothing came in time",
    ]);
  });

  it("gives a client after a header all the time that others have", async () => {
    const { client: connect, oneEnds, clock } = await start({
      networks: "127.0.0.1",
      headerTimeout: 10_000,
    });
    const client = await connect();
    await client.send(V1);
    assert.match(await client.readLine(), /^220 /);
    const over = oneEnds();
    // The header's own timeout is over by then.
    clock.pass(50_000);
    assert.match(await client.say("QUIT"), /^221/);
    assert.equal((await over).error, false);
  });

  it("closes a connection that waits for its header when the server stops", async () => {
    const { client: connect, server, events } = await start({ networks: "127.0.0.1" });
    const silent = await connect();
    const begun = await connect();
    await begun.send(V2.subarray(0, 5));
    const admitted = await connect();
    await admitted.send(V2);
    assert.match(await admitted.readLine(), /^220 /);
    assert.equal(server.connections, 3);
    assert.deepEqual(await server.stop(60_000), { cutOff: 0 });
    assert.equal(await silent.closed(), "");
    assert.equal(await begun.closed(), "");
    assert.match(await admitted.closed(), /^421 /);
    assert.equal(server.connections, 0);
    assert.deepEqual(events.refusals, []);
  });

  for (const networks of [undefined, "192.0.2.0/24, ::/0"]) {
    describe(
      networks === undefined ? "without a proxy" : "from an address that is no proxy's",
      () => {
        for (const [version, header] of [[1, V1], [1, UNKNOWN], [2, V2], [2, LOCAL]] as const) {
          for (const tls of [false, true]) {
            it(`a header of version ${version} ends the connection${tls ? " (TLS)" : ""}`, async () => {
              const { client: connect, events, oneEnds } = await start({
                tls,
                ...(networks === undefined ? {} : { networks }),
              });
              const over = oneEnds();
              const client = await connect();
              if (!tls) assert.match(await client.readLine(), /^220 /);
              await client.send(header);
              // Where TLS is expected, a TLS alert comes back, not a reply.
              const said = await client.closed();
              if (!tls) assert.equal(said, "");
              const { client: origin, handshakeFailed, received } = await over;
              assert.equal(origin.address, "127.0.0.1");
              assert.equal(handshakeFailed, false);
              assert.equal(received, 0);
              assert.deepEqual(events.refusals.map(({ refusal }) => refusal), [
                { reason: "foreign", detail: `version ${version}` },
              ]);
            });
          }
        }

        it("a header in single octets ends it as well", async () => {
          for (const header of [V1, V2]) {
            const { client: connect, events, oneEnds } = await start(
              networks === undefined ? {} : { networks },
            );
            const over = oneEnds();
            const client = await connect();
            await client.readLine();
            for (const octet of header.subarray(0, 12)) {
              await Promise.race([client.send(Uint8Array.of(octet)), client.closed()]);
              await setImmediate();
            }
            await over;
            assert.equal(events.refusals[0]?.refusal.reason, "foreign");
            assert.deepEqual(events.messages, []);
          }
        });

        it("octets that only begin like a header are a bad command", async () => {
          const { client: connect, events } = await start(
            networks === undefined ? {} : { networks },
          );
          const client = await connect();
          await client.readLine();
          await client.send("\r\n\r\n\0\r\nQUIET\r\n");
          for (const _ of ["", "", "\\0", "QUIET"]) assert.match(await client.readLine(), /^500 /);
          // No longer the first octets.
          assert.match(await client.say("PROXY TCP4 192.0.2.7 198.51.100.1 40000 25"), /^500 /);
          assert.match(await client.say("QUIT"), /^221/);
          assert.deepEqual(events.refusals, []);
        });
      },
    );
  }

  for (const second of [V1, V2]) {
    it("a second header after the first ends the connection: its sender is not a trusted proxy", async () => {
      const { client: connect, events } = await start({ networks: "127.0.0.1" });
      const client = await connect();
      await client.send(Buffer.concat([V2, second]));
      await client.closed();
      assert.equal(events.refusals[0]?.refusal.reason, "second");
      assert.equal(events.refusals[0]?.client.address, "192.0.2.7");
      assert.equal(events.refusals[0]?.client.proxy, "127.0.0.1");
    });
  }

  it("at most 4 KiB after a header are kept while no slot is free", async () => {
    const limiter = new ConnectionLimiter({ connections: 10, perAddress: 1 });
    for (const tls of [false, true]) {
      const { client: connect, oneEnds, accepted, server } = await start({
        networks: "127.0.0.1",
        limiter,
        tls,
      });
      const first = await connect();
      await first.send(V1);
      if (!tls) assert.match(await first.readLine(), /^220 /);
      // One after the other: the header of the first must have been read.
      await until(() => limiter.addresses > 0);
      const over = oneEnds();
      const second = await connect();
      await second.send(Buffer.concat([V1, Buffer.alloc(4097, "x")]));
      assert.match((await over).reason, /too much before the greeting/);
      assert.equal(await second.closed(), "");
      const third = await connect();
      if (!tls) {
        await third.send(Buffer.concat([V1, Buffer.from("EHLO client.example\r\n")]));
        await accepted(2);
        first.destroy();
        assert.match(await third.readLine(), /^220 /);
        assert.match(await third.readLine(), /^250/);
      } else {
        const secure = third.startTls((hello) => third.send(Buffer.concat([V1, hello])));
        first.destroy();
        await secure;
        assert.match(await third.readLine(), /^220 /);
      }
      third.destroy();
      await until(() => server.connections === 0);
    }
  });

  it("a handshake that fails for other reasons is reported as a failed handshake", async () => {
    const { client: connect, events, oneEnds } = await start({ tls: true, networks: "127.0.0.1" });
    for (const garbage of ["EHLO client.example\r\n", V2_SIGNATURE.subarray(0, 8)]) {
      const over = oneEnds();
      const client = await connect();
      await client.send(Buffer.concat([V1, Buffer.from(garbage), Buffer.alloc(64)]));
      const { handshakeFailed, error, client: origin } = await over;
      assert.equal(handshakeFailed, true);
      assert.equal(error, true);
      assert.equal(origin.address, "192.0.2.7");
    }
    assert.deepEqual(events.refusals, []);
  });
});
