// The server's limits over real sockets: at, below and above each one, with the replies and
// the counters. The policy itself is in connection_limiter_test.ts and
// connection_deadline_test.ts.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { connect as connectSocket, type Socket } from "node:net";
import { before, describe, it } from "node:test";
import { type Certificate } from "../../src/certificates/certificate.ts";
import { selfSignedCertificate } from "../../src/certificates/self_signed.ts";
import { Networks } from "../../src/networks.ts";
import { floodSize } from "../../src/server/address_group.ts";
import { ConnectionLimiter } from "../../src/server/connection_limiter.ts";
import type { Timeouts } from "../../src/server/connection_deadline.ts";
import { SETTLED_MS } from "../../src/server/connection_shares.ts";
import { type Credentials, secretIn } from "../../src/smtp/sasl.ts";
import { REPLIES, type Reply, reply } from "../../src/smtp/reply.ts";
import type { SessionOptions } from "../../src/smtp/session.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { type TestHandlers, type TestLogin, TestServers } from "../support/smtp_server.ts";

const REFUSED = reply(535, "5.7.8", "Authentication credentials invalid");

/** How a ClientHello begins (RFC 8446 §4.1.2, §5.1), in a record that announces more. */
const HELLO = Buffer.concat([Buffer.from("1603010200010001fc0303", "hex"), Buffer.alloc(400, 7)]);

interface Setup extends Partial<Timeouts> {
  readonly connections?: number;
  readonly perAddress?: number;
  /** Replaces these two. */
  readonly limiter?: ConnectionLimiter;
  readonly session?: Partial<SessionOptions>;
  readonly implicitTls?: boolean;
  /** Whose connections begin with a PROXY header. */
  readonly proxies?: string;
  readonly login?: () => Promise<TestLogin>;
  readonly submit?: TestHandlers["submit"];
}

/** All log in as this account, of which the mail service has accepted a message. */
function login(key: string): () => Promise<TestLogin> {
  const owner = { key, known: true };
  return () => Promise.resolve({ reply: REPLIES.authenticated, account: true, owner });
}

describe("the server's limits", () => {
  const servers = new TestServers();
  let certificate: Certificate;
  before(async () => {
    certificate = await selfSignedCertificate();
  });

  /** Starts a server whose clock stands still until the test moves it. */
  async function start(setup: Setup = {}) {
    const clock = new FakeClock();
    const {
      connections = 1000,
      perAddress = 100,
      limiter = new ConnectionLimiter({ connections, perAddress, now: () => clock.now() }),
      session,
      implicitTls = false,
      proxies,
      login,
      submit,
      ...timeouts
    } = setup;
    const limited: string[] = [];
    const started = await servers.start({
      session,
      implicitTls,
      certificate,
      timeouts,
      clock,
      limiter,
      proxies: proxies === undefined
        ? undefined
        : { networks: Networks.parse(proxies)!, headerTimeout: 60_000 },
      handlers: {
        ...(submit === undefined ? {} : { submit }),
        authenticate: (credentials) =>
          login !== undefined ? login() : Promise.resolve(
            secretIn(credentials as Credentials).reveal() === "wrong"
              ? { reply: REFUSED }
              : { reply: REPLIES.authenticated, account: true },
          ),
        limited: (setting, client) => {
          assert.match(client.address, proxies === undefined ? /^127\./ : /^2001:db8:/);
          limited.push(setting);
        },
      },
    });
    /** Sends a piece and lets so many milliseconds pass, as often as given: no limit applies before. */
    const drip = async (times: number, every: number, send: () => void) => {
      for (let i = 0; i < times; i++) {
        assert.deepEqual(limited, []);
        send();
        await started.hasRead();
        clock.pass(every);
      }
    };
    return { ...started, clock, limited, drip };
  }

  /** A socket that sends nothing by itself; what it reads is discarded. */
  async function bare(port: number): Promise<{ socket: Socket; closed: Promise<void> }> {
    const socket = servers.keep(connectSocket({ host: "127.0.0.1", port }));
    socket.on("error", () => {});
    socket.resume();
    const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
    await new Promise<void>((resolve) => socket.once("connect", resolve));
    return { socket, closed };
  }

  /** A client that has its last reply, and does not hang up. */
  async function staying(port: number): Promise<void> {
    const socket = servers.keep(connectSocket({ host: "127.0.0.1", port, allowHalfOpen: true }));
    socket.on("error", () => {});
    socket.resume();
    const farewell = new Promise<void>((resolve) => socket.once("end", () => resolve()));
    socket.write("QUIT\r\n");
    await farewell;
  }

  describe("MAX_CONNECTIONS", () => {
    it("admits as many", async () => {
      const { server, greeted, limited } = await start({ connections: 3 });
      for (let i = 0; i < 3; i++) await greeted();
      assert.equal(server.connections, 3);
      assert.deepEqual(limited, []);
    });

    it("closes the connection longest without progress for one more: 421 4.4.2", async () => {
      const { clock, greeted, limited } = await start({ connections: 3 });
      const first = await greeted();
      const second = await greeted();
      const third = await greeted();
      // Progress, which NOOP is not.
      assert.match(await first.say("EHLO client.example"), /^250/);
      assert.match(await second.say("NOOP"), /^250/);
      const fourth = await clock.passUntil(greeted());
      assert.match(await second.reply(), /^421 4\.4\.2 /);
      await second.closed();
      assert.match(await first.say("NOOP"), /^250/);
      assert.match(await third.say("NOOP"), /^250/);
      assert.match(await fourth.say("NOOP"), /^250/);
      assert.deepEqual(limited, ["MAX_CONNECTIONS"]);
    });

    it("refuses a new connection with 421 4.3.2 when all have logged in, until one closes", async () => {
      const { connect, authed, oneEnds, limited } = await start({ connections: 2 });
      const [leaving] = [await authed(), await authed()];
      const refused = connect();
      assert.match(await refused.reply(), /^421 4\.3\.2 /);
      await refused.closed();
      assert.deepEqual(limited, ["MAX_CONNECTIONS"]);
      await oneEnds();
      leaving.destroy();
      await oneEnds();
      await authed();
    });

    it("closes a connection of an account over its share: 421 4.4.2", async () => {
      const { clock, connect, authed, limited } = await start({
        connections: 10,
        login: login("greedy"),
      });
      const greedy = [];
      for (let i = 0; i < 10; i++) greedy.push(await authed());
      clock.pass(SETTLED_MS);
      const honest = connect();
      assert.match(await honest.reply(), /^220 /);
      assert.match(await greedy[0]!.reply(), /^421 4\.4\.2 /);
      await greedy[0]!.closed();
      assert.match(await greedy[1]!.say("NOOP"), /^250/);
      assert.deepEqual(limited, ["MAX_CONNECTIONS"]);
    });

    it("defers a message that waits for its turn: 451 4.3.2, then the 421", async () => {
      const waiting = Promise.withResolvers<void>();
      let waits = 0;
      const { clock, connect, sending } = await start({
        connections: 10,
        login: login("greedy"),
        submit: (_principal, _message, client) =>
          new Promise((resolve) => {
            client.waiting(true);
            client.signal.addEventListener("abort", () => {
              client.waiting(false);
              resolve(reply(451, "4.3.2", "Later"));
            });
            if (++waits === 10) waiting.resolve();
          }),
      });
      const greedy = [];
      for (let i = 0; i < 10; i++) {
        const one = await sending();
        one.write("x\r\n.\r\n");
        greedy.push(one);
      }
      await waiting.promise;
      clock.pass(SETTLED_MS);
      assert.match(await connect().reply(), /^220 /);
      // The message whose turn would have been last.
      const latest = greedy.at(-1)!;
      assert.match(await latest.reply(), /^451 4\.3\.2 Later/);
      assert.match(await latest.reply(), /^421 4\.4\.2 /);
      await latest.closed();
    });

    it("gives the slot of a client with its last reply to another immediately", async () => {
      const { port, clock, connect, oneEnds } = await start({ connections: 1 });
      await staying(port);
      assert.match(await connect().reply(), /^220 /);
      assert.equal((await clock.passUntil(oneEnds())).reason, "quit");
    });

    for (const tls of [false, true]) {
      it(`lets a client read its last reply although another takes its slot${tls ? ", on TLS" : ""}`, async () => {
        const asked = Promise.withResolvers<void>();
        const answer = Promise.withResolvers<TestLogin>();
        // The clock stands still, so no connection times out.
        const limiter = new ConnectionLimiter({ connections: 2, perAddress: 1000, now: () => 0 });
        const { connect } = await start({
          limiter,
          implicitTls: tls,
          login: () => {
            asked.resolve();
            return answer.promise;
          },
        });
        const leaving = connect(tls);
        const login = leaving.login("user", "secret");
        await asked.promise;
        const silent = { admit() {}, evict() {} };
        while (limiter.queued === 0) limiter.add(silent).identify("other");
        leaving.write("QUIT\r\n");
        answer.resolve({ reply: REFUSED });
        assert.match(await login, /^535 /);
        assert.match(await leaving.reply(), /^221 /);
        await leaving.closed();
        assert.equal(limiter.connections, 2);
      });
    }

    it("reuses the slot of a half-closed client, which still reads its reply", async () => {
      const begun = Promise.withResolvers<void>();
      const verdict = Promise.withResolvers<Reply>();
      const { port, clock, connect } = await start({
        connections: 1,
        submit: () => {
          begun.resolve();
          return verdict.promise;
        },
      });
      const socket = connectSocket({ host: "127.0.0.1", port, allowHalfOpen: true });
      servers.keep(socket);
      let text = "";
      socket.setEncoding("latin1").on("data", (piece: string) => text += piece);
      const ended = new Promise<void>((resolve) => socket.once("end", () => resolve()));
      const auth = Buffer.from("\0user\0secret").toString("base64");
      socket.end(
        `EHLO client.example\r\nAUTH PLAIN ${auth}\r\nMAIL FROM:<a@example.com>\r\n` +
          "RCPT TO:<b@example.org>\r\nBDAT 3 LAST\r\nx\r\n",
      );
      await begun.promise;
      // Once its half-close has been seen, its slot can be reused.
      let other = connect();
      while (!(await other.reply()).startsWith("220 ")) {
        await other.closed();
        other = connect();
      }
      verdict.resolve(reply(250, "2.0.0", "OK taken"));
      await clock.passUntil(ended);
      assert.match(text, /250 2\.0\.0 OK taken/);
    });

    it("spares a connection whose login is being checked", async () => {
      const asked = Promise.withResolvers<void>();
      const answer = Promise.withResolvers<TestLogin>();
      const { clock, connect, accepted } = await start({
        connections: 1,
        login: () => {
          asked.resolve();
          return answer.promise;
        },
      });
      const checking = connect();
      const login = checking.login("user", "secret");
      await asked.promise;
      // It waits: the slot may become free with the answer.
      const waiting = connect().reply();
      await accepted(2);
      answer.resolve({ reply: REPLIES.authenticated, account: true });
      assert.match(await login, /^235/);
      assert.match(await clock.passUntil(waiting), /^421 4\.3\.2 /);
    });

    it("spares a connection whose message is being sent, although its login is not verified yet", async () => {
      const begun = Promise.withResolvers<void>();
      const verdict = Promise.withResolvers<Reply>();
      const { clock, connect, sending, accepted } = await start({
        connections: 1,
        login: () =>
          Promise.resolve({ reply: REPLIES.authenticated, account: true, proved: false }),
        submit: () => {
          begun.resolve();
          return verdict.promise;
        },
      });
      const busy = await sending();
      busy.write("x\r\n.\r\n");
      await begun.promise;
      const waiting = connect().reply();
      await accepted(2);
      verdict.resolve(reply(451, "4.3.0", "Not now"));
      assert.match(await busy.reply(), /^451 /);
      // The login is still unverified: it is closed.
      assert.match(await clock.passUntil(waiting), /^220 /);
      assert.match(await busy.reply(), /^421 4\.4\.2 /);
    });

    it("closes unfinished TLS handshakes as well, without a reply", async () => {
      const { port, clock, connect, limited } = await start({ connections: 2, implicitTls: true });
      const one = await bare(port);
      const two = await bare(port);
      two.socket.write(HELLO.subarray(0, 20));
      for (let i = 0; i < 2; i++) {
        const honest = connect(true);
        assert.match(await clock.passUntil(honest.login("user", "secret")), /^235/);
      }
      await one.closed;
      await two.closed;
      assert.deepEqual(limited, ["MAX_CONNECTIONS", "MAX_CONNECTIONS"]);
    });

    it("stays reachable for one honest client among many silent ones", async () => {
      const { server, port, clock, authed } = await start({
        connections: 50,
      });
      for (let round = 0; round < 5; round++) {
        await Promise.all(Array.from({ length: 60 }, () => bare(port)));
        const honest = await clock.passUntil(authed());
        assert.match(await honest.send("a@example.com", "b@example.org"), /^250/);
        honest.destroy();
      }
      assert.ok(server.connections <= 50 + 300, String(server.connections));
    });
  });

  describe("MAX_CONNECTIONS_PER_IP", () => {
    it("of 3: the fourth idle connection gets 421 4.7.0, the others continue", async () => {
      const { clock, connect, greeted, limited } = await start({ perAddress: 3 });
      const idle = [await greeted(), await greeted(), await greeted()];
      assert.deepEqual(limited, []);
      const fourth = connect();
      assert.match(await clock.passUntil(fourth.reply()), /^421 4\.7\.0 /);
      await fourth.closed();
      for (const other of idle) assert.match(await other.say("NOOP"), /^250/);
      assert.deepEqual(limited, ["MAX_CONNECTIONS_PER_IP"]);
    });

    it("of 5: 15 of 20 simultaneous connections get 421 4.7.0", async () => {
      const { clock, connect, accepted, limited } = await start({ perAddress: 5 });
      const idle = Array.from({ length: 20 }, () => connect());
      await accepted(20);
      const replies = await clock.passUntil(Promise.all(idle.map((one) => one.reply())));
      assert.equal(replies.filter((reply) => reply.startsWith("220 ")).length, 5);
      assert.equal(replies.filter((reply) => reply.startsWith("421 4.7.0 ")).length, 15);
      assert.equal(limited.length, 15);
    });

    it("counts an IPv6 client by its /64 (RFC 6177 §2), also after a proxy", async () => {
      const { clock, connect, limited } = await start({
        perAddress: 2,
        proxies: "127.0.0.1",
      });
      const from = (address: string) => {
        const made = connect();
        made.write(`PROXY TCP6 ${address} 2001:db8:ffff::25 4711 25\r\n`);
        return clock.passUntil(made.reply());
      };
      assert.match(await from("2001:db8:0:1::1"), /^220 /);
      assert.match(await from("2001:db8:0:1:ffff::2"), /^220 /);
      assert.match(await from("2001:db8:0:1::3"), /^421 4\.7\.0 /);
      assert.deepEqual(limited, ["MAX_CONNECTIONS_PER_IP"]);
      assert.match(await from("2001:db8:0:2::1"), /^220 /);
    });

    it("counts only unauthenticated connections", async () => {
      const { authed, limited } = await start({ perAddress: 2 });
      for (let i = 0; i < 10; i++) await authed();
      assert.deepEqual(limited, []);
    });

    it("holds the next connection until one has logged in or closed, and answers what it sent meanwhile", async () => {
      const { connect, greeted, limited } = await start({ perAddress: 2 });
      const [one, two] = [await greeted(), await greeted()];
      const held = connect();
      held.write("EHLO early.example\r\nNOOP\r\n");
      // The third is after it in the queue, which shows that the second is held.
      await one.say("EHLO client.example");
      await one.say(`AUTH PLAIN ${Buffer.from("\0user\0secret").toString("base64")}`);
      assert.match(await held.reply(), /^220 /);
      assert.match(await held.reply(), /^250-relay\.example/);
      assert.match(await held.reply(), /^250 2\.0\.0 OK/);
      const next = connect();
      two.destroy();
      assert.match(await next.reply(), /^220 /);
      assert.deepEqual(limited, []);
    });

    it("holds a connection before TLS as well, and closes it without a reply when no slot is free (RFC 8314 §3.3)", async () => {
      const { port, clock, connect, limited } = await start({ perAddress: 1, implicitTls: true });
      const silent = await bare(port);
      const held = connect(true);
      silent.socket.destroy();
      assert.match(await held.login("user", "secret"), /^235/);
      await bare(port);
      const refused = await bare(port);
      refused.socket.write(HELLO);
      await clock.passUntil(refused.closed);
      assert.deepEqual(limited, ["MAX_CONNECTIONS_PER_IP"]);
    });

    it("admits a whole burst of honest clients, ten times the limit", async () => {
      const { authed, limited } = await start({ perAddress: 10 });
      await Promise.all(Array.from({ length: 100 }, () => authed()));
      assert.deepEqual(limited, []);
    });

    it("admits an honest client during a flood, and keeps only as many others as the limit: 421 4.7.0", async () => {
      const { clock, connect, authed, limited } = await start({
        perAddress: 2,
        connections: 1000,
      });
      const idle = Array.from({ length: floodSize(2) + 20 }, () => connect());
      const greetings = Promise.all(idle.map((one) => one.reply()));
      for (let i = 0; i < 5; i++) await authed();
      for (const greeting of await greetings) assert.match(greeting, /^220 /);
      let left = idle.length;
      const rest = new Promise<void>((resolve, reject) => {
        for (const one of idle) {
          one.reply().then((end) => {
            assert.match(end, /^421 4\.7\.0 /);
            if (--left === 2) resolve();
          }).catch(reject);
        }
      });
      await clock.passUntil(rest);
      assert.ok(limited.every((setting) => setting === "MAX_CONNECTIONS_PER_IP"));
    });

    it("replies 421 4.3.2 to held connections when the server stops", async () => {
      const { server, connect, greeted, accepted } = await start({ perAddress: 1 });
      const idle = await greeted();
      const held = connect();
      await accepted(2);
      const stopped = server.stop(5_000);
      assert.match(await held.reply(), /^421 4\.3\.2 /);
      assert.match(await idle.reply(), /^421 4\.3\.2 /);
      await stopped;
    });
  });

  describe("COMMAND_TIMEOUT", () => {
    it("is not extended by a command sent octet by octet, nor inside AUTH", async () => {
      await Promise.all([[], ["EHLO client.example", "AUTH LOGIN"]].map(async (lines) => {
        const { greeted, limited, drip } = await start({ command: 60_000 });
        const slow = await greeted();
        for (const command of lines) await slow.say(command);
        await drip(4, 15_000, () => slow.write("A"));
        assert.match(await slow.reply(), /^421 4\.4\.2 Timed out/);
        assert.deepEqual(limited, ["COMMAND_TIMEOUT"]);
      }));
    });

    it("is not extended by commands that do not advance an open transaction", async () => {
      const lines = ["NOOP", "VRFY <a@example.com>", "RCPT TO:<nobody>", "MAIL FROM:<b@x.test>"];
      await Promise.all(lines.map(async (line) => {
        const { clock, authed, limited } = await start({ command: 60_000 });
        const idle = await authed();
        assert.match(await idle.say("MAIL FROM:<a@example.com>"), /^250/);
        for (let i = 0; i < 4; i++) {
          assert.doesNotMatch(await idle.say(line), /^421/);
          clock.pass(15_000);
        }
        assert.match(await idle.reply(), /^421 4\.4\.2 Timed out/);
        assert.deepEqual(limited, ["COMMAND_TIMEOUT"]);
      }));
    });

    it("starts again with each command", async () => {
      const { clock, greeted, limited } = await start({ command: 60_000 });
      const slow = await greeted();
      for (let i = 0; i < 5; i++) {
        clock.pass(59_000);
        assert.match(await slow.say("NOOP"), /^250/);
      }
      assert.deepEqual(limited, []);
    });
  });

  describe("DATA_TIMEOUT and MIN_DATA_RATE", () => {
    it("end a message sent octet by octet: 421 4.4.2", async () => {
      const { sending, limited, drip } = await start({ data: 60_000, dataRate: 1000 });
      const slow = await sending();
      await drip(5, 15_000, () => slow.write("x"));
      assert.match(await slow.reply(), /^421 4\.4\.2 The message comes too slowly/);
      assert.deepEqual(limited, ["MIN_DATA_RATE"]);
    });

    it("end a message sent octet by octet in chunks (RFC 3030)", async () => {
      const { authed, limited, drip } = await start({ data: 60_000, dataRate: 100_000 });
      const slow = await authed();
      await slow.say("MAIL FROM:<a@example.com>");
      await slow.say("RCPT TO:<b@example.org>");
      await drip(5, 15_000, () => slow.write("BDAT 1\r\nx"));
      for (let i = 0; i < 5; i++) assert.match(await slow.reply(), /^250 /);
      assert.match(await slow.reply(), /^421 4\.4\.2 The message comes too slowly/);
      assert.deepEqual(limited, ["MIN_DATA_RATE"]);
    });

    it("accept a message that is fast enough, or any when the rate is off", async () => {
      const rates = [[1000, 15_000], ["off", 1]] as const;
      await Promise.all(rates.map(async ([dataRate, octets]) => {
        const { sending, limited, drip } = await start({ data: 60_000, dataRate });
        const slow = await sending();
        await drip(20, 15_000, () => slow.write("x".repeat(octets)));
        assert.match(await slow.say("\r\n."), /^250/);
        assert.deepEqual(limited, []);
      }));
    });

    it("explain, after a short silence, that the last line is a dot ended by LF alone", async () => {
      const ends = ["x\n.\r\n", "x\n.\n", "x\r\n.\n", "\n.\r\r\n"];
      await Promise.all(ends.map(async (end) => {
        const { sending, limited, drip } = await start({ data: 60_000, missedEnd: 5_000 });
        const mistaken = await sending();
        await drip(1, 5_000, () => mistaken.write("Subject: lines that end in LF\n\n" + end));
        assert.match(await mistaken.reply(), /^421 4\.4\.2 .*single dot ended in LF.*CRLF$/);
        assert.deepEqual(limited, ["DATA_TIMEOUT"]);
      }));
    });

    it("keep waiting when more follows such a dot, because it is content (RFC 5321 §4.1.1.4)", async () => {
      const { sending, limited, drip } = await start({ data: 60_000, missedEnd: 5_000 });
      const continued = await sending();
      await drip(1, 59_000, () => {
        continued.write("x\n.\r\n");
        continued.write("y");
      });
      assert.match(await continued.say("\r\n."), /^250/);
      assert.deepEqual(limited, []);
    });

    it("end a silent message after DATA_TIMEOUT", async () => {
      const { sending, limited, drip } = await start({ data: 60_000, dataRate: 500 });
      const silent = await sending();
      await drip(1, 60_000, () => silent.write("x".repeat(10_000)));
      assert.match(await silent.reply(), /^421 4\.4\.2 Timed out/);
      assert.deepEqual(limited, ["DATA_TIMEOUT"]);
    });
  });

  describe("the time for a TLS handshake", () => {
    it("is not extended by a ClientHello sent octet by octet", async () => {
      await Promise.all([true, false].map(async (implicitTls) => {
        const started = await start({ handshake: 10_000, implicitTls });
        const slow = await bare(started.port);
        if (!implicitTls) {
          // What arrives before the reply to STARTTLS is discarded (RFC 3207 §4.2).
          const ready = new Promise<void>((resolve) => {
            let text = "";
            slow.socket.on("data", (octets: Uint8Array) => {
              text += Buffer.from(octets).toString("latin1");
              if (text.includes("220 2.0.0 ")) resolve();
            });
          });
          slow.socket.write("EHLO client.example\r\nSTARTTLS\r\n");
          await ready;
        }
        let at = 0;
        await started.drip(4, 2_500, () => slow.socket.write(HELLO.subarray(at, ++at)));
        await slow.closed;
        const ended = [];
        do ended.push(await started.oneEnds()); while (!ended.at(-1)!.handshakeFailed);
        const { reason, milliseconds, wrongPort } = ended.at(-1)!;
        assert.deepEqual([reason, milliseconds], ["TLS handshake timed out", 10_000]);
        assert.equal(wrongPort, undefined);
      }));
    });
  });

  it("reports a client that waits for a greeting on an implicit-TLS port (RFC 8314 §3.3)", async () => {
    const { port, clock, accepted, oneEnds } = await start({
      handshake: 10_000,
      implicitTls: true,
    });
    const silent = await bare(port);
    await accepted(1);
    clock.pass(10_000);
    const { wrongPort } = await oneEnds();
    assert.equal(wrongPort, "silent");
    await silent.closed;
  });

  describe("the time to hang up", () => {
    it("is limited for a client that has its last reply and stays", async () => {
      const { server, port, clock, oneEnds } = await start({ linger: 5_000 });
      await staying(port);
      assert.equal(server.connections, 1);
      clock.pass(5_000);
      assert.equal((await oneEnds()).reason, "quit");
      assert.equal(server.connections, 0);
    });
  });

  describe("MAX_ERRORS and MAX_IDLE_COMMANDS", () => {
    it("end a session and are counted", async () => {
      const { greeted, limited } = await start({ session: { maxErrors: 3, maxIdleCommands: 4 } });
      const wrong = await greeted();
      assert.match(await wrong.say("XYZZY"), /^500/);
      assert.match(await wrong.say("XYZZY"), /^500/);
      assert.match(await wrong.say("NOOP"), /^250/);
      assert.deepEqual(limited, []);
      assert.match(await wrong.say("XYZZY"), /^500/);
      assert.match(await wrong.reply(), /^421 4\.7\.0 Too many errors/);
      await wrong.closed();
      const idle = await greeted();
      for (let i = 0; i < 4; i++) assert.match(await idle.say("NOOP"), /^250/);
      assert.match(await idle.reply(), /^421 4\.7\.0 /);
      await idle.closed();
      assert.deepEqual(limited, ["MAX_ERRORS", "MAX_IDLE_COMMANDS"]);
    });
  });
});
