// The server's limits over real sockets: at, below and above each one, with what the client reads and
// what is counted. The policy itself is in connection_limiter_test.ts and connection_deadline_test.ts.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { connect, type Socket } from "node:net";
import { afterEach, before, describe, it } from "node:test";
import { type Certificate } from "../../src/certificates/certificate.ts";
import { selfSignedCertificate } from "../../src/certificates/self_signed.ts";
import { currentRuntime } from "../../src/runtime/current.ts";
import { Networks } from "../../src/networks.ts";
import { floodSize } from "../../src/server/address_group.ts";
import { ConnectionLimiter } from "../../src/server/connection_limiter.ts";
import type { ConnectionSummary, Handlers, Login } from "../../src/server/handlers.ts";
import type { Timeouts } from "../../src/server/connection_deadline.ts";
import { SmtpServer } from "../../src/server/server.ts";
import { secretIn } from "../../src/smtp/sasl.ts";
import { REPLIES, type Reply, reply } from "../../src/smtp/reply.ts";
import type { SessionOptions } from "../../src/smtp/session.ts";
import { SmtpClient } from "../end_to_end/smtp_client.ts";

const PATIENT: Timeouts = {
  command: 60_000,
  data: 60_000,
  handshake: 60_000,
  unread: 60_000,
  linger: 60_000,
};
const REFUSED = reply(535, "5.7.8", "Authentication credentials invalid");

/** How a ClientHello begins (RFC 8446 §4.1.2, §5.1), in a record that says that more is to come. */
const HELLO = Buffer.concat([Buffer.from("1603010200010001fc0303", "hex"), Buffer.alloc(400, 7)]);

interface Setup extends Partial<Timeouts> {
  readonly connections?: number;
  readonly perAddress?: number;
  /** Takes the place of these two. */
  readonly limiter?: ConnectionLimiter;
  readonly session?: Partial<SessionOptions>;
  readonly implicitTls?: boolean;
  /** Whose connections begin with a PROXY header. */
  readonly proxies?: string;
  readonly login?: () => Promise<Login<true>>;
  readonly submit?: Handlers<true>["submit"];
}

/** All log in as this account, which the mail service has taken a message of. */
function login(key: string): () => Promise<Login<true>> {
  const owner = { key, known: true };
  return () => Promise.resolve({ reply: REPLIES.authenticated, account: true, owner });
}

describe("the server's limits", () => {
  const servers: SmtpServer<true>[] = [];
  const clients: { destroy(): void }[] = [];
  let certificate: Certificate;
  before(async () => {
    certificate = await selfSignedCertificate();
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.destroy();
    await Promise.all(servers.splice(0).map((server) => server.stop(1_000)));
  });

  async function start(setup: Setup = {}) {
    const {
      connections = 1000,
      perAddress = 100,
      limiter = new ConnectionLimiter({ connections, perAddress }),
      session,
      implicitTls = false,
      proxies,
      login,
      submit,
      ...timeouts
    } = setup;
    const limited: string[] = [];
    const faults: unknown[] = [];
    const ended: ConnectionSummary[] = [];
    let wake = () => {};
    const server = new SmtpServer<true>({
      runtime: await currentRuntime(),
      session: {
        hostname: "relay.example",
        greeting: "ready",
        maxMessageSize: 50_000_000,
        maxRecipients: 10,
        requireTls: false,
        ...session,
      },
      identity: () => ({ ...certificate, minVersion: "1.2" }),
      timeouts: { ...PATIENT, ...timeouts },
      limiter,
      proxies: proxies === undefined
        ? undefined
        : { networks: Networks.parse(proxies)!, headerTimeout: 60_000 },
      handlers: {
        authenticate: (credentials) =>
          login !== undefined ? login() : Promise.resolve(
            secretIn(credentials).reveal() === "wrong"
              ? { reply: REFUSED }
              : { reply: REPLIES.authenticated, account: true },
          ),
        submit: submit ?? (() => Promise.resolve(reply(250, "2.0.0", "OK"))),
        limited: (setting, client) => {
          assert.match(client.address, proxies === undefined ? /^127\./ : /^2001:db8:/);
          limited.push(setting);
        },
        failed: (error) => faults.push(error),
        ended: (summary) => {
          ended.push(summary);
          wake();
        },
      },
    });
    servers.push(server);
    const { port } = server.listen("127.0.0.1", 0, implicitTls);
    const oneEnds = async (): Promise<ConnectionSummary> => {
      while (ended.length === 0) await new Promise<void>((resolve) => wake = resolve);
      return ended.shift()!;
    };
    return { server, port, limited, faults, oneEnds };
  }

  function client(port: number, tls = false): SmtpClient {
    const made = new SmtpClient(port, "127.0.0.1", tls);
    clients.push(made);
    return made;
  }

  async function greeted(port: number): Promise<SmtpClient> {
    const made = client(port);
    assert.match(await made.reply(), /^220 /);
    return made;
  }

  async function loggedIn(port: number): Promise<SmtpClient> {
    const made = client(port);
    assert.match(await made.login("user", "secret"), /^235 /);
    return made;
  }

  /** In the middle of a message. */
  async function sending(port: number): Promise<SmtpClient> {
    const made = await loggedIn(port);
    await made.say("MAIL FROM:<a@example.com>");
    await made.say("RCPT TO:<b@example.org>");
    assert.match(await made.say("DATA"), /^354/);
    return made;
  }

  /** A socket that says nothing by itself; what it reads is lost. */
  async function bare(port: number): Promise<{ socket: Socket; closed: Promise<void> }> {
    const socket = connect({ host: "127.0.0.1", port });
    clients.push(socket);
    socket.on("error", () => {});
    socket.resume();
    const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
    await new Promise<void>((resolve) => socket.once("connect", resolve));
    return { socket, closed };
  }

  /** The server has accepted so many, greeted or not. */
  async function connected(server: SmtpServer<true>, count: number): Promise<void> {
    while (server.connections < count) await new Promise((resolve) => setTimeout(resolve, 5));
  }

  /** Sends an octet at once and then now and then, for as long as the other side takes them. */
  function drip(send: (octet: string) => void, octets: () => string): () => void {
    send(octets());
    const timer = setInterval(() => send(octets()), 50);
    const stop = { destroy: () => clearInterval(timer) };
    clients.push(stop);
    return stop.destroy;
  }

  describe("MAX_CONNECTIONS", () => {
    it("lets in as many", async () => {
      const { port, limited, server } = await start({ connections: 3 });
      for (let i = 0; i < 3; i++) await greeted(port);
      assert.equal(server.connections, 3);
      assert.deepEqual(limited, []);
    });

    it("ends the one longest without progress for one more: 421 4.4.2", async () => {
      const { port, limited } = await start({ connections: 3 });
      const first = await greeted(port);
      const second = await greeted(port);
      const third = await greeted(port);
      // Progress, which NOOP is not.
      assert.match(await first.say("EHLO client.example"), /^250/);
      assert.match(await second.say("NOOP"), /^250/);
      const fourth = await greeted(port);
      assert.match(await second.reply(), /^421 4\.4\.2 /);
      await second.closed();
      assert.match(await first.say("NOOP"), /^250/);
      assert.match(await third.say("NOOP"), /^250/);
      assert.match(await fourth.say("NOOP"), /^250/);
      assert.deepEqual(limited, ["MAX_CONNECTIONS"]);
    });

    it("refuses the new one where all have logged in: 421 4.3.2; and takes one again when one leaves", async () => {
      const { port, limited, oneEnds } = await start({ connections: 2 });
      const [leaving] = [await loggedIn(port), await loggedIn(port)];
      const refused = client(port);
      assert.match(await refused.reply(), /^421 4\.3\.2 /);
      await refused.closed();
      assert.deepEqual(limited, ["MAX_CONNECTIONS"]);
      await oneEnds();
      leaving.destroy();
      await oneEnds();
      await loggedIn(port);
    });

    it("ends one of an account that has more than its share: 421 4.4.2", async () => {
      const { port, limited } = await start({ connections: 10, login: login("greedy") });
      const greedy = [];
      for (let i = 0; i < 10; i++) greedy.push(await loggedIn(port));
      const honest = client(port);
      assert.match(await honest.reply(), /^220 /);
      assert.match(await greedy[0]!.reply(), /^421 4\.4\.2 /);
      await greedy[0]!.closed();
      assert.match(await greedy[1]!.say("NOOP"), /^250/);
      assert.deepEqual(limited, ["MAX_CONNECTIONS"]);
    });

    it("puts a message off that waits for its turn: 451 4.3.2, then the 421", async () => {
      const waiting = Promise.withResolvers<void>();
      let waits = 0;
      const { port } = await start({
        connections: 10,
        login: login("greedy"),
        submit: (_account, _message, onWait) =>
          new Promise((resolve) => {
            onWait!(() => {
              onWait!(undefined);
              resolve(reply(451, "4.3.2", "Later"));
            });
            if (++waits === 10) waiting.resolve();
          }),
      });
      const greedy = [];
      for (let i = 0; i < 10; i++) {
        const one = await sending(port);
        one.write("x\r\n.\r\n");
        greedy.push(one);
      }
      await waiting.promise;
      assert.match(await client(port).reply(), /^220 /);
      // The one whose turn would have come last.
      const latest = greedy.at(-1)!;
      assert.match(await latest.reply(), /^451 4\.3\.2 Later/);
      assert.match(await latest.reply(), /^421 4\.4\.2 /);
      await latest.closed();
    });

    it("has the place of a client with its last reply for another at once", async () => {
      const { port, oneEnds } = await start({ connections: 1 });
      const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
      clients.push(socket);
      socket.on("error", () => {});
      socket.resume();
      const farewell = new Promise<void>((resolve) => socket.once("end", () => resolve()));
      socket.write("QUIT\r\n");
      await farewell;
      assert.match(await client(port).reply(), /^220 /);
      assert.equal((await oneEnds()).reason, "quit");
    });

    for (const tls of [false, true]) {
      it(`lets a client read its last reply though another takes its place${tls ? ", on TLS" : ""}`, async () => {
        const asked = Promise.withResolvers<void>();
        const answer = Promise.withResolvers<Login<true>>();
        // Time stands still, so that no connection does.
        const limiter = new ConnectionLimiter({ connections: 2, perAddress: 1000, now: () => 0 });
        const { port } = await start({
          limiter,
          implicitTls: tls,
          login: () => {
            asked.resolve();
            return answer.promise;
          },
        });
        const leaving = client(port, tls);
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

    it("has the place of a client that has ended its side, which reads its reply all the same", async () => {
      const begun = Promise.withResolvers<void>();
      const verdict = Promise.withResolvers<Reply>();
      const { port } = await start({
        connections: 1,
        submit: () => {
          begun.resolve();
          return verdict.promise;
        },
      });
      const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
      clients.push(socket);
      let text = "";
      socket.setEncoding("latin1").on("data", (piece: string) => text += piece);
      const ended = new Promise<void>((resolve) => socket.once("end", () => resolve()));
      const auth = Buffer.from("\0user\0secret").toString("base64");
      socket.end(
        `EHLO client.example\r\nAUTH PLAIN ${auth}\r\nMAIL FROM:<a@example.com>\r\n` +
          "RCPT TO:<b@example.org>\r\nBDAT 3 LAST\r\nx\r\n",
      );
      await begun.promise;
      // When the end of its side has been seen, its place is there to be had.
      let other = client(port);
      while (!(await other.reply()).startsWith("220 ")) {
        await other.closed();
        other = client(port);
      }
      verdict.resolve(reply(250, "2.0.0", "OK taken"));
      await ended;
      assert.match(text, /250 2\.0\.0 OK taken/);
    });

    it("spares whose login is being checked", async () => {
      const asked = Promise.withResolvers<void>();
      const answer = Promise.withResolvers<Login<true>>();
      const { port, server } = await start({
        connections: 1,
        login: () => {
          asked.resolve();
          return answer.promise;
        },
      });
      const checking = client(port);
      const login = checking.login("user", "secret");
      await asked.promise;
      // It waits: the place may come back with the answer.
      const waiting = client(port).reply();
      await connected(server, 2);
      answer.resolve({ reply: REPLIES.authenticated, account: true });
      assert.match(await login, /^235/);
      assert.match(await waiting, /^421 4\.3\.2 /);
    });

    it("spares whose message is under way, though its login is not proved yet", async () => {
      const begun = Promise.withResolvers<void>();
      const verdict = Promise.withResolvers<Reply>();
      const { port, server } = await start({
        connections: 1,
        login: () =>
          Promise.resolve({ reply: REPLIES.authenticated, account: true, proved: false }),
        submit: () => {
          begun.resolve();
          return verdict.promise;
        },
      });
      const busy = await sending(port);
      busy.write("x\r\n.\r\n");
      await begun.promise;
      const waiting = client(port).reply();
      await connected(server, 2);
      verdict.resolve(reply(451, "4.3.0", "Not now"));
      assert.match(await busy.reply(), /^451 /);
      // Nothing is proved: it gives way.
      assert.match(await waiting, /^220 /);
      assert.match(await busy.reply(), /^421 4\.4\.2 /);
    });

    it("ends half-open TLS handshakes, too, without a word", async () => {
      const { port, limited } = await start({ connections: 2, implicitTls: true });
      const one = await bare(port);
      const two = await bare(port);
      two.socket.write(HELLO.subarray(0, 20));
      for (let i = 0; i < 2; i++) {
        const honest = client(port, true);
        assert.match(await honest.login("user", "secret"), /^235/);
      }
      await one.closed;
      await two.closed;
      assert.deepEqual(limited, ["MAX_CONNECTIONS", "MAX_CONNECTIONS"]);
    });

    it("stays reachable for one honest client among many that come and say nothing", async () => {
      const { port, faults, server } = await start({ connections: 50 });
      for (let round = 0; round < 5; round++) {
        await Promise.all(Array.from({ length: 60 }, () => bare(port)));
        const honest = await loggedIn(port);
        assert.match(await honest.send("a@example.com", "b@example.org"), /^250/);
        honest.destroy();
      }
      assert.deepEqual(faults, []);
      assert.ok(server.connections <= 50 + 300, String(server.connections));
    });
  });

  describe("MAX_CONNECTIONS_PER_IP", () => {
    it("of 3: the fourth idle one gets 421 4.7.0, others go on", async () => {
      const { port, limited } = await start({ perAddress: 3 });
      const idle = [await greeted(port), await greeted(port), await greeted(port)];
      assert.deepEqual(limited, []);
      const fourth = client(port);
      assert.match(await fourth.reply(), /^421 4\.7\.0 /);
      await fourth.closed();
      for (const other of idle) assert.match(await other.say("NOOP"), /^250/);
      assert.deepEqual(limited, ["MAX_CONNECTIONS_PER_IP"]);
    });

    it("of 5, and 20 at once: 15 get 421 4.7.0", async () => {
      const { port, limited } = await start({ perAddress: 5 });
      const replies = await Promise.all(Array.from({ length: 20 }, () => client(port).reply()));
      assert.equal(replies.filter((reply) => reply.startsWith("220 ")).length, 5);
      assert.equal(replies.filter((reply) => reply.startsWith("421 4.7.0 ")).length, 15);
      assert.equal(limited.length, 15);
    });

    it("counts an IPv6 client by its /64 (RFC 6177 §2), the one behind a proxy, too", async () => {
      const { port, limited } = await start({ perAddress: 2, proxies: "127.0.0.1" });
      const from = (address: string) => {
        const made = client(port);
        made.write(`PROXY TCP6 ${address} 2001:db8:ffff::25 4711 25\r\n`);
        return made.reply();
      };
      assert.match(await from("2001:db8:0:1::1"), /^220 /);
      assert.match(await from("2001:db8:0:1:ffff::2"), /^220 /);
      assert.match(await from("2001:db8:0:1::3"), /^421 4\.7\.0 /);
      assert.deepEqual(limited, ["MAX_CONNECTIONS_PER_IP"]);
      assert.match(await from("2001:db8:0:2::1"), /^220 /);
    });

    it("counts only those that have not logged in", async () => {
      const { port, limited } = await start({ perAddress: 2 });
      for (let i = 0; i < 10; i++) await loggedIn(port);
      assert.deepEqual(limited, []);
    });

    it("holds the next one until one has logged in, or is gone; what it has said meanwhile is answered", async () => {
      const { port, limited } = await start({ perAddress: 2 });
      const [one, two] = [await greeted(port), await greeted(port)];
      const held = client(port);
      held.write("EHLO early.example\r\nNOOP\r\n");
      // The third is behind it in the queue, which shows that the second is held.
      await one.say("EHLO client.example");
      await one.say(`AUTH PLAIN ${Buffer.from("\0user\0secret").toString("base64")}`);
      assert.match(await held.reply(), /^220 /);
      assert.match(await held.reply(), /^250-relay\.example/);
      assert.match(await held.reply(), /^250 2\.0\.0 OK/);
      const next = client(port);
      two.destroy();
      assert.match(await next.reply(), /^220 /);
      assert.deepEqual(limited, []);
    });

    it("holds one before TLS as well, and just closes where there is no place (RFC 8314 §3.3)", async () => {
      const { port, limited } = await start({ perAddress: 1, implicitTls: true });
      const silent = await bare(port);
      const held = client(port, true);
      silent.socket.destroy();
      assert.match(await held.login("user", "secret"), /^235/);
      await bare(port);
      const refused = await bare(port);
      refused.socket.write(HELLO);
      await refused.closed;
      assert.deepEqual(limited, ["MAX_CONNECTIONS_PER_IP"]);
    });

    it("lets a whole burst of honest clients in, ten times the limit", async () => {
      const { port, limited } = await start({ perAddress: 10 });
      await Promise.all(Array.from({ length: 100 }, () => loggedIn(port)));
      assert.deepEqual(limited, []);
    });

    it("in a flood lets an honest client in, and keeps as many as the limit of the others: 421 4.7.0", async () => {
      const { port, limited, faults } = await start({ perAddress: 2, connections: 1000 });
      const idle = Array.from({ length: floodSize(2) + 20 }, () => client(port));
      const greetings = Promise.all(idle.map((one) => one.reply()));
      for (let i = 0; i < 5; i++) await loggedIn(port);
      for (const greeting of await greetings) assert.match(greeting, /^220 /);
      let left = idle.length;
      await new Promise<void>((resolve, reject) => {
        for (const one of idle) {
          one.reply().then((end) => {
            assert.match(end, /^421 4\.7\.0 /);
            if (--left === 2) resolve();
          }).catch(reject);
        }
      });
      assert.ok(limited.every((setting) => setting === "MAX_CONNECTIONS_PER_IP"));
      assert.deepEqual(faults, []);
    });

    it("says 421 4.3.2 to those that are held when the server stops", async () => {
      const { port, server } = await start({ perAddress: 1 });
      const idle = await greeted(port);
      const held = client(port);
      // Accepted, as the next one is behind it.
      while (server.connections < 2) await new Promise((resolve) => setTimeout(resolve, 5));
      const stopped = server.stop(5_000);
      assert.match(await held.reply(), /^421 4\.3\.2 /);
      assert.match(await idle.reply(), /^421 4\.3\.2 /);
      await stopped;
    });
  });

  describe("COMMAND_TIMEOUT", () => {
    it("is not extended by a client that drips its command, nor inside of AUTH", async () => {
      await Promise.all([[], ["EHLO client.example", "AUTH LOGIN"]].map(async (line) => {
        const { port, limited } = await start({ command: 300 });
        const slow = await greeted(port);
        for (const command of line) await slow.say(command);
        const stop = drip((octet) => slow.write(octet), () => "A");
        assert.match(await slow.reply(), /^421 4\.4\.2 Timed out/);
        stop();
        assert.deepEqual(limited, ["COMMAND_TIMEOUT"]);
      }));
    });

    it("is not extended by commands that bring an open transaction no further", async () => {
      const lines = ["NOOP", "VRFY <a@example.com>", "RCPT TO:<nobody>", "MAIL FROM:<b@x.test>"];
      await Promise.all(lines.map(async (line) => {
        const { port, limited } = await start({ command: 400 });
        const idle = await loggedIn(port);
        assert.match(await idle.say("MAIL FROM:<a@example.com>"), /^250/);
        let answer = "";
        while (!answer.startsWith("421")) answer = await idle.say(line);
        assert.match(answer, /^421 4\.4\.2 Timed out/);
        assert.deepEqual(limited, ["COMMAND_TIMEOUT"]);
      }));
    });

    it("begins anew with each command", async () => {
      const { port, limited } = await start({ command: 1_500 });
      const slow = await greeted(port);
      for (let i = 0; i < 5; i++) {
        await new Promise((resolve) => setTimeout(resolve, 500));
        assert.match(await slow.say("NOOP"), /^250/);
      }
      assert.deepEqual(limited, []);
    });
  });

  describe("DATA_TIMEOUT and MIN_DATA_RATE", () => {
    it("end a message that drips: 421 4.4.2", async () => {
      const { port, limited } = await start({ data: 300, dataRate: 1000 });
      const slow = await sending(port);
      const stop = drip((octet) => slow.write(octet), () => "x");
      assert.match(await slow.reply(), /^421 4\.4\.2 The message comes too slowly/);
      stop();
      assert.deepEqual(limited, ["MIN_DATA_RATE"]);
    });

    it("end one that drips in chunks (RFC 3030)", async () => {
      const { port, limited } = await start({ data: 300, dataRate: 100_000 });
      const slow = await loggedIn(port);
      await slow.say("MAIL FROM:<a@example.com>");
      await slow.say("RCPT TO:<b@example.org>");
      const stop = drip((chunk) => slow.write(chunk), () => "BDAT 1\r\nx");
      let last = "";
      while (!last.startsWith("421")) last = await slow.reply();
      stop();
      assert.match(last, /^421 4\.4\.2 The message comes too slowly/);
      assert.deepEqual(limited, ["MIN_DATA_RATE"]);
    });

    it("let one through that comes fast enough, or where the rate is off", async () => {
      const rates = [[1000, 200], ["off", 1]] as const;
      await Promise.all(rates.map(async ([dataRate, octets]) => {
        const { port, limited } = await start({ data: 700, dataRate });
        const slow = await sending(port);
        const stop = drip((piece) => slow.write(piece), () => "x".repeat(octets));
        await new Promise((resolve) => setTimeout(resolve, 2_000));
        stop();
        assert.match(await slow.say("\r\n."), /^250/);
        assert.deepEqual(limited, []);
      }));
    });

    it("say what is wrong where the last line is a dot that ended in LF, after a short silence", async () => {
      const ends = ["x\n.\r\n", "x\n.\n", "x\r\n.\n", "\n.\r\r\n"];
      await Promise.all(ends.map(async (end) => {
        const { port, limited } = await start({ data: 60_000, missedEnd: 300 });
        const mistaken = await sending(port);
        mistaken.write("Subject: lines that end in LF\n\n" + end);
        assert.match(await mistaken.reply(), /^421 4\.4\.2 .*single dot ended in LF.*CRLF$/);
        assert.deepEqual(limited, ["DATA_TIMEOUT"]);
      }));
    });

    it("wait on where more follows such a dot, for it is content (RFC 5321 §4.1.1.4)", async () => {
      const { port, limited } = await start({ data: 60_000, missedEnd: 300 });
      const patient = await sending(port);
      patient.write("x\n.\r\n");
      patient.write("y");
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      assert.match(await patient.say("\r\n."), /^250/);
      assert.deepEqual(limited, []);
    });

    it("end a silent one: DATA_TIMEOUT", async () => {
      const { port, limited } = await start({ data: 300, dataRate: 500 });
      const silent = await sending(port);
      silent.write("x".repeat(10_000));
      assert.match(await silent.reply(), /^421 4\.4\.2 Timed out/);
      assert.deepEqual(limited, ["DATA_TIMEOUT"]);
    });
  });

  describe("the time for a TLS handshake", () => {
    it("is not extended by a client that drips its ClientHello", async () => {
      await Promise.all([true, false].map(async (implicitTls) => {
        const { port, oneEnds } = await start({ handshake: 400, implicitTls });
        const slow = await bare(port);
        if (!implicitTls) {
          // What comes before the reply to STARTTLS is thrown away (RFC 3207 §4.2).
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
        const hello = HELLO;
        let at = 0;
        const stop = drip(
          (octet) => slow.socket.write(Buffer.from(octet, "latin1")),
          () => String.fromCharCode(hello[at++]!),
        );
        const { reason, handshakeFailed, wrongPort } = await oneEnds();
        stop();
        assert.deepEqual([reason, handshakeFailed], ["TLS handshake timed out", true]);
        assert.equal(wrongPort, undefined);
        await slow.closed;
      }));
    });
  });

  it("tells of a client that waits for a greeting where TLS comes first (RFC 8314 §3.3)", async () => {
    const { port, oneEnds } = await start({ handshake: 200, implicitTls: true });
    const silent = await bare(port);
    const { wrongPort } = await oneEnds();
    assert.equal(wrongPort, "silent");
    await silent.closed;
  });

  describe("the time to hang up", () => {
    it("is over at last for a client that has its last reply and stays", async () => {
      const { port, oneEnds, server } = await start({ linger: 400 });
      const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
      clients.push(socket);
      socket.on("error", () => {});
      socket.resume();
      const farewell = new Promise<void>((resolve) => socket.once("end", () => resolve()));
      socket.write("QUIT\r\n");
      await farewell;
      assert.equal((await oneEnds()).reason, "quit");
      assert.equal(server.connections, 0);
    });
  });

  describe("MAX_ERRORS and MAX_IDLE_COMMANDS", () => {
    it("end a session, and are counted", async () => {
      const { port, limited } = await start({ session: { maxErrors: 3, maxIdleCommands: 4 } });
      const wrong = await greeted(port);
      assert.match(await wrong.say("XYZZY"), /^500/);
      assert.match(await wrong.say("XYZZY"), /^500/);
      assert.match(await wrong.say("NOOP"), /^250/);
      assert.deepEqual(limited, []);
      assert.match(await wrong.say("XYZZY"), /^500/);
      assert.match(await wrong.reply(), /^421 4\.7\.0 Too many errors/);
      await wrong.closed();
      const idle = await greeted(port);
      for (let i = 0; i < 4; i++) assert.match(await idle.say("NOOP"), /^250/);
      assert.match(await idle.reply(), /^421 4\.7\.0 /);
      await idle.closed();
      assert.deepEqual(limited, ["MAX_ERRORS", "MAX_IDLE_COMMANDS"]);
    });
  });
});
