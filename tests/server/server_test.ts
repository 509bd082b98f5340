// What the server does around its sessions: timeouts, faults, stops, clients that disconnect.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import type { ConnectionEvent } from "../../src/observe/relay_event.ts";
import type { ReceivedMessage } from "../../src/submission/submission_service.ts";
import { ConnectionLimiter } from "../../src/server/connection_limiter.ts";
import { selfSignedCertificate } from "../../src/certificates/self_signed.ts";
import { MemoryBudget } from "../../src/server/memory.ts";
import type { Refusal } from "../../src/smtp/effects.ts";
import { type Reply, reply } from "../../src/smtp/reply.ts";
import type { SmtpClient } from "../end_to_end/smtp_client.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { type ServerSetup, type TestHandlers, TestServers } from "../support/smtp_server.ts";

const SENT = reply(250, "2.0.0", "OK id=1");
describe("a server", () => {
  const servers = new TestServers();
  const start = (handlers: TestHandlers = {}, setup: ServerSetup = {}) =>
    servers.start({ ...setup, handlers });

  it("replies 421 4.4.2 to a client that sends no command in time (RFC 5321 §4.5.3.2.7)", async () => {
    const clock = new FakeClock();
    const { greeted } = await start({}, { clock, timeouts: { command: 60_000 } });
    const silent = await greeted();
    clock.pass(60_000);
    assert.match(await silent.reply(), /^421 4\.4\.2 /);
    await silent.closed();
  });

  it("replies 421 4.4.2 to a client that stops inside its message, and submits nothing", async () => {
    const submitted: ReceivedMessage[] = [];
    const clock = new FakeClock();
    const { sending, hasRead } = await start({
      submit: (_, message) => {
        submitted.push(message);
        return Promise.resolve(SENT);
      },
    }, { clock, timeouts: { data: 60_000 } });
    const stuck = await sending();
    stuck.write("Subject: half\r\n\r\nof a mess");
    await hasRead();
    clock.pass(60_000);
    assert.match(await stuck.reply(), /^421 4\.4\.2 /);
    await stuck.closed();
    assert.deepEqual(submitted, []);
  });

  it("has no timeout while the client waits for a delivery, however long that takes", async () => {
    const delivery = Promise.withResolvers<Reply>();
    const begun = Promise.withResolvers<void>();
    const clock = new FakeClock();
    const { sending } = await start({
      submit: () => {
        begun.resolve();
        return delivery.promise;
      },
    }, { clock, timeouts: { command: 60_000, data: 60_000 } });
    const waiting = await sending();
    waiting.write("x\r\n.\r\n");
    await begun.promise;
    clock.pass(600_000);
    delivery.resolve(SENT);
    assert.match(await waiting.reply(), /^250 2\.0\.0 /);
  });

  it("does not submit a message whose connection breaks", async () => {
    const submitted: ReceivedMessage[] = [];
    const ended = Promise.withResolvers<ConnectionEvent>();
    const { sending } = await start({
      submit: (_, message) => {
        submitted.push(message);
        return Promise.resolve(SENT);
      },
      ended: ended.resolve,
    });
    const leaving = await sending();
    leaving.write("half a message\r\n");
    leaving.end();
    await ended.promise;
    assert.deepEqual(submitted, []);
  });

  it("finishes a delivery whose client has disconnected, and counts it", async () => {
    const delivery = Promise.withResolvers<Reply>();
    const begun = Promise.withResolvers<void>();
    const ended = Promise.withResolvers<ConnectionEvent>();
    const { sending } = await start({
      submit: () => {
        begun.resolve();
        return delivery.promise;
      },
      ended: ended.resolve,
    });
    const leaving = await sending();
    leaving.write("x\r\n.\r\n");
    await begun.promise;
    leaving.end();
    delivery.resolve(SENT);
    assert.equal((await ended.promise).messages, 1);
  });

  it("delivers nothing of what a client had pipelined once its connection breaks", async () => {
    const delivery = Promise.withResolvers<Reply>();
    const begun = Promise.withResolvers<void>();
    const ended = Promise.withResolvers<ConnectionEvent>();
    const abandoned = Promise.withResolvers<ReceivedMessage>();
    let submitted = 0;
    const { connect } = await start({
      submit: () => {
        submitted++;
        begun.resolve();
        return delivery.promise;
      },
      abandoned: abandoned.resolve,
      ended: ended.resolve,
    });
    const eager = connect();
    await eager.login("user", "secret");
    const message = "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\nBDAT 3 LAST\r\nx\r\n";
    eager.write(message.repeat(3));
    await begun.promise;
    eager.reset();
    await abandoned.promise;
    delivery.resolve(SENT);
    await ended.promise;
    // A round trip on another connection: enough time for a second delivery to begin.
    const other = connect();
    await other.login("user", "secret");
    assert.equal(submitted, 1);
  });

  it("answers what a client pipelined after its message only after the message's reply, and reads no further", async () => {
    const delivery = Promise.withResolvers<Reply>();
    const { sending } = await start({ submit: () => delivery.promise });
    const eager = await sending();
    eager.write("x\r\n.\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n");
    // More than any buffer in between: it waits in the client, not in the relay's memory.
    eager.write(Buffer.alloc(40_000_000, "y\r\n"));
    delivery.resolve(SENT);
    assert.match(await eager.reply(), /^250 2\.0\.0/);
    assert.match(await eager.reply(), /^250 2\.1\.0/);
    assert.match(await eager.reply(), /^250 2\.1\.5/);
    assert.match(await eager.reply(), /^354/);
    eager.write("\r\n.\r\n");
    assert.match(await eager.reply(), /^250 2\.0\.0/);
  });

  it("counts octets after a message as memory, and drops them when there is no room", async () => {
    const memory = new MemoryBudget(1_000_000);
    const delivery = Promise.withResolvers<Reply>();
    const begun = Promise.withResolvers<void>();
    const { sending } = await start({
      submit: () => {
        begun.resolve();
        return delivery.promise;
      },
    }, { memory });
    const other = memory.client("192.0.2.2").open(0)!;
    assert(other.ensure(600_000));
    const eager = await sending();
    eager.write(Buffer.concat([Buffer.from("x\r\n.\r\n"), Buffer.alloc(300_000, "NOOP\r\n")]));
    await begun.promise;
    delivery.resolve(SENT);
    assert.match(await eager.reply(), /^250 2\.0\.0/);
    let reply = "250";
    while (reply.startsWith("250")) reply = await eager.reply();
    assert.match(reply, /^421 4\.3\.1 /);
    await eager.closed();
    other.release();
    assert.equal(memory.used, 0);
  });

  it("answers 100,000 commands sent in one piece, and other clients meanwhile", async () => {
    const { connect } = await start();
    const eager = connect();
    await eager.login("user", "secret");
    eager.write(Buffer.from("EHLO a\r\n".repeat(20_000) + "VRFY\r\n"));
    const other = connect();
    assert.match(await other.login("user", "secret"), /^235/);
    let count = 0;
    let reply = await eager.reply();
    for (; reply.startsWith("250"); reply = await eager.reply()) count++;
    assert.equal(count, 20_000);
    assert.match(reply, /^501 /);
  });

  describe("reports that a message's client has gone while the message is being sent", () => {
    const MESSAGE = "x\r\n.\r\n";
    const LEAVE: Readonly<Record<string, { leave(client: SmtpClient): void; gone: boolean }>> = {
      "half-closes but still reads": { leave: (leaving) => leaving.end(), gone: false },
      "closes": { leave: (leaving) => leaving.destroy(), gone: true },
      "resets the connection": { leave: (leaving) => leaving.reset(), gone: true },
    };
    const each = Object.entries(LEAVE).flatMap(([how, way]) => [
      { ...way, how, tls: false },
      { ...way, how: `${how}, on TLS`, tls: true },
    ]);
    for (const { how, leave, gone, tls } of each) {
      it(`when it ${how}, once, and keeps the connection until the message has its reply`, async () => {
        const delivery = Promise.withResolvers<Reply>();
        const begun = Promise.withResolvers<ReceivedMessage>();
        const abandoned = Promise.withResolvers<ReceivedMessage>();
        const isGone = Promise.withResolvers<boolean>();
        const ended = Promise.withResolvers<ConnectionEvent>();
        const clock = new FakeClock();
        let reports = 0;
        let answered = 0;
        const { server, sending } = await start({
          submit: (_, message) => {
            begun.resolve(message);
            return delivery.promise;
          },
          abandoned: (message, gone) => {
            reports++;
            abandoned.resolve(message);
            isGone.resolve(gone);
          },
          answered: () => void answered++,
          ended: ended.resolve,
        }, {
          clock,
          ...(tls ? { implicitTls: true, certificate: await selfSignedCertificate() } : {}),
        });
        const leaving = await sending();
        leaving.write(MESSAGE);
        const message = await begun.promise;
        leave(leaving);
        assert.equal(await abandoned.promise, message);
        assert.equal(server.connections, 1);
        delivery.resolve(SENT);
        assert.equal(await clock.passUntil(isGone.promise), gone);
        assert.equal((await ended.promise).messages, 1);
        assert.deepEqual([reports, answered], [1, 0]);
      });
    }

    it("and keeps the connection until the message has its reply during a stop", async () => {
      const delivery = Promise.withResolvers<Reply>();
      const abandoned = Promise.withResolvers<void>();
      const { server, sending } = await start({
        submit: () => delivery.promise,
        abandoned: () => abandoned.resolve(),
      });
      const leaving = await sending();
      leaving.write(MESSAGE);
      leaving.end();
      await abandoned.promise;
      const stopped = server.stop(10_000);
      assert.equal(server.connections, 1);
      delivery.resolve(SENT);
      assert.deepEqual(await stopped, { cutOff: 0 });
    });

    it("when it had half-closed before the message's turn", async () => {
      const first = Promise.withResolvers<Reply>();
      const second = Promise.withResolvers<Reply>();
      const answers = [first.promise, second.promise];
      const abandoned: ReceivedMessage[] = [];
      const ended = Promise.withResolvers<ConnectionEvent>();
      const clock = new FakeClock();
      const { connect } = await start({
        submit: () => answers.shift()!,
        abandoned: (message) => {
          abandoned.push(message);
          second.resolve(SENT);
        },
        ended: ended.resolve,
      }, { clock });
      const eager = connect();
      await eager.login("user", "secret");
      const message = (name: string) =>
        `MAIL FROM:<${name}@example.com>\r\nRCPT TO:<b@example.org>\r\nBDAT 3 LAST\r\nx\r\n`;
      eager.write(message("a") + message("b"));
      eager.end();
      first.resolve(SENT);
      assert.equal((await clock.passUntil(ended.promise)).messages, 2);
      // While the first was sent, more was still to be handled.
      assert.deepEqual(abandoned.map(({ envelope }) => envelope.from), ["b@example.com"]);
    });

    it("but not when it half-closes after its QUIT, as scripts do", async () => {
      const delivery = Promise.withResolvers<Reply>();
      const begun = Promise.withResolvers<void>();
      let reports = 0;
      const { connect, sending } = await start({
        submit: () => {
          begun.resolve();
          return delivery.promise;
        },
        abandoned: () => void reports++,
      });
      const script = await sending();
      script.write(`${MESSAGE}QUIT\r\n`);
      script.end();
      await begun.promise;
      // A round trip on another connection: enough time to see that the first has half-closed.
      await connect().login("user", "secret");
      assert.equal(reports, 0);
      delivery.resolve(SENT);
      assert.match(await script.reply(), /^250 /);
      assert.match(await script.reply(), /^221 /);
    });

    it("once, when it half-closes first and closes afterwards", async () => {
      const delivery = Promise.withResolvers<Reply>();
      const abandoned = Promise.withResolvers<void>();
      const ended = Promise.withResolvers<ConnectionEvent>();
      let reports = 0;
      const { connect, sending } = await start({
        submit: () => delivery.promise,
        abandoned: () => {
          reports++;
          abandoned.resolve();
        },
        ended: ended.resolve,
      });
      const leaving = await sending();
      leaving.write(MESSAGE);
      leaving.end();
      await abandoned.promise;
      leaving.reset();
      // A round trip on another connection: enough time to see that the first has closed.
      await connect().login("user", "secret");
      delivery.resolve(SENT);
      await ended.promise;
      assert.equal(reports, 1);
    });

    it("although another takes its slot before its reset has arrived", async () => {
      const delivery = Promise.withResolvers<Reply>();
      const begun = Promise.withResolvers<void>();
      const abandoned = Promise.withResolvers<void>();
      const isGone = Promise.withResolvers<boolean>();
      const limiter = new ConnectionLimiter({ connections: 1, perAddress: 10 });
      const { sending } = await start({
        submit: () => {
          begun.resolve();
          return delivery.promise;
        },
        abandoned: (_, gone) => {
          abandoned.resolve();
          void gone.then(isGone.resolve);
        },
      }, { limiter });
      const leaving = await sending();
      leaving.write(MESSAGE);
      await begun.promise;
      leaving.destroy();
      await abandoned.promise;
      delivery.resolve(SENT);
      // The reply is written within these; nothing can have been read.
      for (let i = 0; i < 50; i++) await Promise.resolve();
      limiter.add({ admit() {}, evict() {} }).identify("other");
      assert.equal(await isGone.promise, true);
    });

    it("but not when it pipelines its next commands and reads its reply", async () => {
      const answered: ReceivedMessage[] = [];
      const { sending } = await start({ answered: (message) => answered.push(message) });
      const pipelining = await sending();
      assert.match(await pipelining.say(`${MESSAGE}QUIT`), /^250/);
      assert.match(await pipelining.reply(), /^221/);
      assert.equal(answered.length, 1);
    });

    it("but not when it stays", async () => {
      const abandoned: ReceivedMessage[] = [];
      const answered: ReceivedMessage[] = [];
      const { sending } = await start({
        abandoned: (message) => abandoned.push(message),
        answered: (message) => answered.push(message),
      });
      const staying = await sending();
      assert.match(await staying.say("x\r\n."), /^250/);
      assert.equal(answered.length, 1);
      assert.match(await staying.say("QUIT"), /^221/);
      await staying.closed();
      assert.deepEqual(abandoned, []);
    });
  });

  it("holds a message's memory until its reply, although its client has gone", async () => {
    const memory = new MemoryBudget(30_000);
    const delivery = Promise.withResolvers<Reply>();
    const begun = Promise.withResolvers<void>();
    const abandoned = Promise.withResolvers<ReceivedMessage>();
    const ended = Promise.withResolvers<ConnectionEvent>();
    const { connect } = await start({
      submit: () => {
        begun.resolve();
        return delivery.promise;
      },
      abandoned: abandoned.resolve,
      ended: ended.resolve,
    }, { memory });
    const leaving = connect();
    await leaving.login("user", "secret");
    await leaving.say("MAIL FROM:<a@example.com> SIZE=18000");
    await leaving.say("RCPT TO:<b@example.org>");
    leaving.write(Buffer.concat([Buffer.from("BDAT 18000 LAST\r\n"), Buffer.alloc(18_000, "x")]));
    await begun.promise;
    leaving.reset();
    await abandoned.promise;
    const other = connect();
    await other.login("user", "secret");
    assert.equal(memory.used, 18_000 * 1.5);
    assert.match(await other.say("MAIL FROM:<a@example.com> SIZE=18000"), /^452 4\.3\.1 /);
    delivery.resolve(SENT);
    await ended.promise;
    assert.equal(memory.used, 0);
    assert.match(await other.say("MAIL FROM:<a@example.com> SIZE=18000"), /^250/);
  });

  it("releases a message's memory when its handler fails, and when its connection breaks", async () => {
    const memory = new MemoryBudget(1_000_000);
    const ends: (() => void)[] = [];
    const { sending } = await start({
      submit: () => Promise.reject(new Error("bug")),
      failed: () => {},
      ended: () => ends.shift()!(),
    }, { memory });
    const oneEnds = () => new Promise<void>((resolve) => ends.push(resolve));
    const failing = oneEnds();
    assert.match(await (await sending()).say("x\r\n."), /^421 4\.3\.0 /);
    await failing;
    assert.equal(memory.used, 0);
    const breaking = oneEnds();
    const leaving = await sending();
    leaving.write("half a mess");
    leaving.reset();
    await breaking;
    assert.equal(memory.used, 0);
  });

  it("reports what a session refuses, with account and address", async () => {
    const refusals: [Refusal, string, string | undefined][] = [];
    const { connect } = await start({
      refused: (refusal, { address }, principal) =>
        refusals.push([refusal, address, principal?.account.clientId]),
    });
    const refused = connect();
    await refused.reply();
    await refused.say("EHLO client.example");
    await refused.say("AUTH CRAM-MD5");
    await refused.say(`AUTH PLAIN ${Buffer.from("\0user\0secret").toString("base64")}`);
    await refused.say("MAIL FROM:<nobody>");
    assert.deepEqual(
      refusals.map(([{ command, authenticated, reply }, address, client]) => [
        command,
        authenticated,
        reply.code,
        address,
        client,
      ]),
      [["AUTH", false, 504, "127.0.0.1", undefined], ["MAIL", true, 501, "127.0.0.1", "client"]],
    );
  });

  it("closes a client that does not read its replies", async () => {
    const ended = Promise.withResolvers<ConnectionEvent>();
    const clock = new FakeClock();
    const { connect } = await start({ ended: ended.resolve }, { clock });
    const deaf = connect();
    await deaf.reply();
    deaf.pause();
    // Each reply is larger than its command: they fill whatever buffers there are.
    deaf.write("HELP\r\n".repeat(500_000));
    const { reason, error } = await clock.passUntil(ended.promise);
    assert.deepEqual([reason, error], ["the client does not read the replies", true]);
  });

  it("replies 421 4.3.0 to an internal fault, in that session alone", async () => {
    const faults: unknown[] = [];
    let broken = true;
    const { sending } = await start({
      submit: () => broken ? Promise.reject(new Error("bug")) : Promise.resolve(SENT),
      failed: (error) => faults.push(error),
    });
    const unlucky = await sending();
    const lucky = await sending();
    assert.match(await unlucky.say("x\r\n."), /^421 4\.3\.0 /);
    await unlucky.closed();
    broken = false;
    assert.match(await lucky.say("x\r\n."), /^250 /);
    assert.deepEqual(faults.map(String), ["Error: bug"]);
  });

  it("stops with 421 for idle clients, and finishes and answers a delivery in flight (RFC 5321 §3.8)", async () => {
    const delivery = Promise.withResolvers<Reply>();
    const begun = Promise.withResolvers<void>();
    const { server, connect, sending } = await start({
      submit: () => {
        begun.resolve();
        return delivery.promise;
      },
    });
    const idle = connect();
    await idle.reply();
    const busy = await sending();
    busy.write("x\r\n.\r\n");
    await begun.promise;
    const stopped = server.stop(10_000);
    assert.match(await idle.reply(), /^421 4\.3\.2 /);
    delivery.resolve(SENT);
    assert.match(await busy.reply(), /^250 2\.0\.0 /);
    assert.match(await busy.reply(), /^421 4\.3\.2 /);
    assert.deepEqual(await stopped, { cutOff: 0 });
    assert.equal(server.connections, 0);
  });

  it("starts nothing more of what a client had pipelined when it stops", async () => {
    const delivery = Promise.withResolvers<Reply>();
    const begun = Promise.withResolvers<void>();
    let submitted = 0;
    const { server, connect } = await start({
      submit: () => {
        submitted++;
        begun.resolve();
        return delivery.promise;
      },
    });
    const eager = connect();
    await eager.login("user", "secret");
    const message = "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\nBDAT 3 LAST\r\nx\r\n";
    eager.write(message.repeat(2));
    await begun.promise;
    const stopped = server.stop(10_000);
    delivery.resolve(SENT);
    assert.match(await eager.reply(), /^250 2\.1\.0/);
    assert.match(await eager.reply(), /^250 2\.1\.5/);
    assert.match(await eager.reply(), /^250 2\.0\.0/);
    assert.match(await eager.reply(), /^421 4\.3\.2/);
    await stopped;
    assert.equal(submitted, 1);
  });

  it("sends clients the replies of messages cut off at the shutdown timeout", async () => {
    const delivery = Promise.withResolvers<Reply>();
    const begun = Promise.withResolvers<void>();
    const clock = new FakeClock();
    const { server, sending } = await start({
      submit: () => {
        begun.resolve();
        return delivery.promise;
      },
    }, { clock });
    const half = await sending();
    half.write("half a mess");
    const waiting = await sending();
    waiting.write("x\r\n.\r\n");
    await begun.promise;
    const stopped = server.stop(5_000, () => delivery.resolve(reply(451, "4.4.1", "Not sent")));
    clock.pass(5_000);
    assert.match(await waiting.reply(), /^451 4\.4\.1 /);
    assert.match(await waiting.reply(), /^421 4\.3\.2 /);
    assert.match(await half.reply(), /^421 4\.3\.2 /);
    assert.deepEqual(await stopped, { cutOff: 1 });
  });

  it("stops even when a delivery does not end", async () => {
    const begun = Promise.withResolvers<void>();
    const clock = new FakeClock();
    const { server, sending } = await start({
      submit: () => {
        begun.resolve();
        return new Promise(() => {});
      },
    }, { clock });
    const stuck = await sending();
    stuck.write("x\r\n.\r\n");
    await begun.promise;
    assert.deepEqual(await clock.passUntil(server.stop(5_000)), { cutOff: 1 });
    assert.match(await stuck.reply(), /^451 4\.4\.2 The relay is stopping; the message may have/);
    assert.match(await stuck.reply(), /^421 4\.3\.2 /);
    await stuck.closed();
  });
});
