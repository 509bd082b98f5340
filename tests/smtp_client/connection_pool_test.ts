// Connections kept for further messages: whose, how many, how long, and what becomes of a message whose
// connection has gone meanwhile.

import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import type { MailServer, SendOptions, SendResult } from "../../src/smtp_client/mail_client.ts";
import { SmtpClient, type SmtpClientOptions } from "../../src/smtp_client/smtp_client.ts";
import { Secret } from "../../src/secret.ts";
import { createAuthority } from "../support/authority.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { startProxy } from "../support/proxy.ts";
import { message, NO_LOGIN, OPTIONS, server } from "./client.ts";
import { type MailServerOptions, startMailServer } from "./mail_server.ts";

const opened: { close(): unknown }[] = [];
afterEach(async () => {
  for (const thing of opened.splice(0).reverse()) await thing.close();
});

async function start(options: MailServerOptions = {}, client: Partial<SmtpClientOptions> = {}) {
  const clock = new FakeClock();
  const mail = await startMailServer({ extensions: ["PIPELINING"], ...options });
  opened.push(mail);
  const smtp = new SmtpClient({ name: "client.example", clock, ...client });
  return {
    clock,
    mail,
    smtp,
    send: (
      target: Partial<MailServer> = {},
      options: Partial<SendOptions> = {},
      sent = message(),
    ) => smtp.send(server(mail.port, target), NO_LOGIN, sent, { ...OPTIONS, ...options }),
    async over() {
      await smtp.close();
      assert.equal(smtp.connections, 0);
      assert.equal(clock.alarms, 0, "a timer is left");
    },
    /** Messages that have arrived on each connection. */
    arrived: () => mail.connections.map(({ contents }) => contents.length),
  };
}

/** Questions that are answered when the test says so. */
function held() {
  const waiting: (() => void)[] = [];
  const options: MailServerOptions = {
    answer(question, _, connection) {
      if (question !== "content") return undefined;
      waiting.push(() => connection.write("250 2.0.0 Queued\r\n"));
      return "silence";
    },
  };
  return {
    options,
    waiting,
    release() {
      for (const answer of waiting.splice(0)) answer();
    },
  };
}

const types = (results: readonly SendResult[]) => results.map(({ type }) => type);

describe("a connection", () => {
  it("is used again, without a login or a handshake", async () => {
    const { mail, send, over, arrived } = await start();
    for (let i = 0; i < 3; i++) {
      const { type, conversation } = await send();
      assert.deepEqual([type, conversation.reused, conversation.connections], [
        "accepted",
        i > 0,
        1,
      ]);
    }
    assert.deepEqual(arrived(), [3]);
    assert.equal(mail.connections[0]!.commands.filter((line) => /^EHLO/.test(line)).length, 1);
    await over();
    assert.equal(mail.connections[0]!.commands.at(-1), "QUIT");
  });

  it("is used again after a refused message, once that is taken back (RFC 5321 §4.1.1.5)", async () => {
    let refusals = 0;
    const { mail, send, over, arrived } = await start({
      extensions: [],
      answer: (question) =>
        question === "RCPT" && refusals++ === 0 ? { say: "550 5.1.1 No such user\r\n" } : undefined,
    });
    const one = { limit: { connections: 1 } };
    const results = [await send(one), await send(one)];
    assert.deepEqual(types(results), ["refused", "accepted"]);
    assert.deepEqual(arrived(), [1]);
    assert.ok(mail.connections[0]!.commands.includes("RSET"));
    await over();
  });

  it("is left to an account that has none, however many messages of another wait", async () => {
    const { send, over } = await start({}, { maxConnections: 1 });
    const order: string[] = [];
    const one = async (account: string) => {
      await send({ account, limit: { connections: 1 } });
      order.push(account);
    };
    const busy = () => Array.from({ length: 10 }, () => one("busy"));
    await Promise.all([...busy(), one("quiet"), ...busy()]);
    assert.ok(order.indexOf("quiet") < 5, order.join());
    await over();
  });

  it("is never used for another account, host, port or kind of TLS", async () => {
    const { mail, send, over } = await start();
    const targets: Partial<MailServer>[] = [
      {},
      { account: "other" },
      { hostname: "localhost" },
      { account: 'account"' },
    ];
    for (const target of [...targets, ...targets]) await send(target);
    assert.equal(mail.connections.length, targets.length);
    await over();
  });

  it("is closed with QUIT when it has not been used for a while", async () => {
    const { clock, mail, send, smtp, over } = await start({}, { keepAlive: 8000 });
    await send();
    clock.pass(7900);
    assert.equal(smtp.connections, 1);
    clock.pass(200);
    await mail.connections[0]!.ended;
    assert.equal(mail.connections[0]!.commands.at(-1), "QUIT");
    await over();
  });

  it("is closed without an answer to QUIT, if none comes", async () => {
    const { clock, mail, send, smtp } = await start({
      answer: (question) => question === "QUIT" ? "silence" : undefined,
    });
    await send();
    const closing = smtp.close();
    await mail.until(() => mail.connections[0]!.hasHeard("QUIT"));
    clock.pass(6000);
    await closing;
    assert.equal(clock.alarms, 0);
  });

  it("carries so many messages and no more", async () => {
    const { send, over, arrived } = await start({}, { maxMessages: 2 });
    for (let i = 0; i < 5; i++) assert.equal((await send()).type, "accepted");
    assert.deepEqual(arrived(), [2, 2, 1]);
    await over();
  });
});

describe("a kept connection that has gone", () => {
  it("is not used if its end has been noticed", async () => {
    const { mail, send, smtp, over, arrived } = await start();
    await send();
    mail.connections[0]!.write("421 4.4.2 Timeout\r\n");
    mail.connections[0]!.destroy();
    while (smtp.connections > 0) await new Promise((resolve) => setImmediate(resolve));
    const { type, conversation } = await send();
    assert.deepEqual([type, conversation], [
      "accepted",
      { connections: 1, reused: false, tls: false, sent: 22 },
    ]);
    assert.deepEqual(arrived(), [1, 1]);
    await over();
  });

  for (const answer of [{ say: "421 4.4.2 Timeout\r\n" }, "close", "reset"] as const) {
    const what = typeof answer === "object" ? "421" : answer;
    it(`is replaced unseen at MAIL (${what}): nothing has been sent on it`, async () => {
      const { send, over, arrived } = await start({
        answer: (question, _, { index, commands }) =>
          question === "MAIL" && index === 0 && commands.filter(isMail).length === 2
            ? answer
            : undefined,
      });
      await send();
      let asked = 0;
      const beforeSending = () => Promise.resolve(++asked > 0);
      const { type, conversation } = await send({}, { beforeSending });
      assert.deepEqual([type, conversation.connections, conversation.reused], [
        "accepted",
        2,
        false,
      ]);
      assert.equal(asked, 1);
      assert.deepEqual(arrived(), [1, 1]);
      await over();
    });
  }

  it("is not replaced twice, nor is a new connection", async () => {
    const { mail, send, over } = await start({
      answer: (question, _, { commands }) =>
        question === "MAIL" && commands.filter(isMail).length === 2 ? "close" : undefined,
    });
    await send();
    assert.equal((await send()).type, "accepted");
    // The second connection has carried one message: it is a kept one now.
    assert.equal((await send()).type, "accepted");
    assert.equal(mail.connections.length, 3);
    const refusing = await start({
      answer: (question) => question === "MAIL" ? "close" : undefined,
    });
    const result = await refusing.send();
    assert.deepEqual([result.type, result.conversation.connections], ["failed", 1]);
    assert.equal(refusing.mail.connections.length, 1);
    await over();
    await refusing.over();
  });

  for (const question of ["RCPT", "DATA", "content"] as const) {
    it(`is not replaced once MAIL was answered: ${question}`, async () => {
      const { mail, send, over, arrived } = await start({
        extensions: [],
        answer: (asked, _, { contents, commands }) =>
          asked === question && commands.filter(isMail).length === 2 && contents.length > 0
            ? "close"
            : undefined,
      });
      await send();
      const result = await send();
      assert.deepEqual(
        result.type === "failed" && [result.stage, result.ambiguous, result.conversation.reused],
        [question, question === "content", true],
      );
      assert.equal(mail.connections.length, 1);
      assert.deepEqual(arrived(), [question === "content" ? 2 : 1]);
      await over();
    });
  }
});

const isMail = (line: string) => line.startsWith("MAIL");

describe("messages at the same time", () => {
  it("share the connections of their account, and wait for one in order", async () => {
    const { options, waiting, release } = held();
    const { mail, send, over, arrived } = await start(options);
    const waits: boolean[] = [];
    const sending = Array.from(
      { length: 8 },
      () => send({ limit: { connections: 2 } }, { waiting: (isWaiting) => waits.push(isWaiting) }),
    );
    for (let left = 8; left > 0; left -= 2) {
      await mail.until(() => waiting.length === 2);
      release();
    }
    assert.deepEqual(types(await Promise.all(sending)), Array(8).fill("accepted"));
    assert.deepEqual(arrived(), [4, 4]);
    assert.deepEqual([waits.filter((one) => one).length, waits.length], [6, 12]);
    await over();
  });

  it("wait for the last reply as RFC 5321 4.5.3.2.6 allows, if no client waits for them", async () => {
    for (const awaitsLastReply of [true, false]) {
      const { options, waiting, release } = held();
      const { clock, mail, send, over } = await start(options);
      const sending = send({}, { timeout: 60_000, awaitsLastReply });
      await mail.until(() => waiting.length === 1);
      clock.pass(599_000);
      if (awaitsLastReply) release();
      const result = await sending;
      assert.equal(result.type, awaitsLastReply ? "accepted" : "failed");
      if (result.type === "failed") {
        assert.deepEqual([result.code, result.ambiguous], ["ETIMEDOUT", true]);
      }
      // The next message has its own time, and a server that stays silent is given up.
      if (awaitsLastReply) {
        const next = send({}, { timeout: 60_000, awaitsLastReply });
        await mail.until(() => waiting.length === 1);
        clock.pass(600_001);
        const lost = await next;
        assert.ok(lost.type === "failed" && lost.ambiguous);
      }
      await over();
    }
  });

  it("give up waiting in time, or when they are told to, with nothing sent", async () => {
    const { options, waiting, release } = held();
    const { clock, mail, send, over, arrived } = await start(options);
    const first = send({ limit: { connections: 1 } });
    await mail.until(() => waiting.length === 1);
    const stop = new AbortController();
    const impatient = send({ limit: { connections: 1 } }, { waitTimeout: 5000 });
    const stopped = send({ limit: { connections: 1 } }, { signal: stop.signal });
    stop.abort();
    clock.pass(5000);
    for (const [sending, code] of [[impatient, "BUSY"], [stopped, "ABORTED"]] as const) {
      const result = await sending;
      assert.ok(result.type === "failed");
      assert.deepEqual([result.stage, result.code, result.ambiguous, result.conversation], [
        "connect",
        code,
        false,
        { connections: 0, reused: false, tls: false, sent: 0 },
      ]);
    }
    release();
    assert.equal((await first).type, "accepted");
    assert.deepEqual(arrived(), [1]);
    await over();
  });

  it("get the place of a connection that is lost", async () => {
    const { mail, send, over } = await start({
      answer: (question, _, { index }) =>
        question === "content" && index === 0 ? "close" : undefined,
    });
    const results = await Promise.all([1, 2, 3].map(() => send({ limit: { connections: 1 } })));
    assert.deepEqual(types(results), ["failed", "accepted", "accepted"]);
    assert.equal(mail.connections.length, 2);
    await over();
  });

  it("of all accounts have so many connections and no more: unused ones make room", async () => {
    const { options, waiting, release } = held();
    const { mail, send, smtp, over } = await start(options, { maxConnections: 2 });
    const first = [send({ account: "a" }), send({ account: "b" })];
    await mail.until(() => waiting.length === 2);
    const third = send({ account: "c" });
    release();
    await Promise.all(first);
    // One of the two is closed for it.
    await mail.until(() => waiting.length === 1);
    assert.equal(smtp.connections, 2);
    const fourth = send({ account: "d" });
    await mail.until(() => waiting.length === 2);
    release();
    assert.deepEqual(types(await Promise.all([third, fourth])), ["accepted", "accepted"]);
    assert.equal(mail.connections.length, 4);
    await over();
  });

  it("share a limit that belongs to a mailbox, and never a connection", async () => {
    // Two apps on one mailbox, or one app with a new token: Exchange counts the mailbox's connections.
    const { mail, send, smtp, over, arrived } = await start();
    let most = 0;
    const one = async (account: string) => {
      const limit = { connections: 3, shared: "ann" };
      const { type } = await send({ account, limit }, {}, message({ from: `${account}@x.test` }));
      most = Math.max(most, smtp.connections);
      return type;
    };
    await Promise.all(["old", "old", "old"].map(one));
    assert.equal(smtp.connections, 3);
    const results = await Promise.all(["new", "new", "old", "new", "old", "new"].map(one));
    assert.deepEqual(new Set(results), new Set(["accepted"]));
    assert.equal(most, 3);
    assert.equal(arrived().reduce((sum, count) => sum + count), 9);
    for (const { commands } of mail.connections) {
      assert.equal(new Set(commands.filter((line) => /^MAIL/.test(line))).size, 1);
    }
    await send({ account: "other", limit: { connections: 3, shared: "bea" } });
    assert.equal(smtp.connections, 4);
    await over();
  });

  it("are all sent where a hundred come at once", async () => {
    const { mail, send, over, arrived } = await start();
    const results = await Promise.all(Array.from({ length: 100 }, () => send()));
    assert.deepEqual(new Set(types(results)), new Set(["accepted"]));
    assert.equal(mail.connections.length, 3);
    assert.equal(arrived().reduce((sum, one) => sum + one), 100);
    await over();
  });
});

describe("a proxy", () => {
  it("is used for the servers that it is for, and TLS is with the server itself", async () => {
    const authority = await createAuthority("the tests' authority");
    const certificate = await authority.issue({ names: ["mail.example"] });
    const mail = await startMailServer({ certificate, extensions: ["PIPELINING"] });
    const proxy = await startProxy({ route: () => mail.port });
    opened.push(mail, proxy);
    const smtp = new SmtpClient({
      name: "client.example",
      authorities: [authority.certificate],
      proxyFor: (hostname) =>
        hostname === "mail.example" ? { hostname: "127.0.0.1", port: proxy.port } : undefined,
    });
    const target = server(587, { hostname: "mail.example", tls: "starttls" });
    const { type, conversation } = await smtp.send(target, NO_LOGIN, message(), OPTIONS);
    assert.deepEqual([type, conversation.tls], ["accepted", true]);
    assert.match(proxy.requests[0]!, /^CONNECT mail\.example:587 /);
    assert.match(proxy.tunnelled(), /^EHLO client\.example\r\nSTARTTLS\r\n(?!EHLO)/);
    await smtp.close();
  });
});

describe("an observer", () => {
  it("sees the dialogue, without credentials and content", async () => {
    const dialogue: string[] = [];
    const secret = new Secret("a-secret");
    const { mail, smtp, over } = await start({
      extensions: ["AUTH LOGIN", "PIPELINING"],
      answer: (question, _, { commands }) =>
        question === "AUTH" && commands.length < 4 ? { say: "334 \r\n" } : undefined,
    }, {
      observer: {
        said: (text) => dialogue.push(...text.split("\r\n").map((line) => `C: ${line}`)),
        heard: ({ code }) => dialogue.push(`S: ${code}`),
      },
    });
    const login = { type: "password", username: "user", password: secret } as const;
    await smtp.send(server(mail.port), login, message(), OPTIONS);
    assert.deepEqual(dialogue.slice(3), [
      ...["C: AUTH LOGIN", "S: 334", "C: (credentials)", "S: 334", "C: (credentials)", "S: 235"],
      ...["C: MAIL FROM:<alice@example.com>"],
      ...["C: RCPT TO:<bob@example.org>", "C: DATA", "S: 250", "S: 250", "S: 354"],
      ...["C: (the message)", "C: .", "S: 250"],
    ]);
    await over();
  });
});

describe("a stop", () => {
  it("lets the messages on their way end, and then their connections", async () => {
    const { options, waiting, release } = held();
    const { mail, send, smtp } = await start(options);
    const running = send();
    await mail.until(() => waiting.length === 1);
    let isClosed = false;
    const closing = smtp.close().then(() => isClosed = true);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(isClosed, false);
    release();
    assert.equal((await running).type, "accepted");
    await closing;
    assert.equal(mail.connections[0]!.commands.at(-1), "QUIT");
    const late = send();
    await mail.until(() => waiting.length === 1);
    release();
    assert.equal((await late).type, "accepted");
    await smtp.close();
    assert.equal(smtp.connections, 0);
  });
});

describe("a probe", () => {
  it("says what the server offers after the login, and sends nothing", async () => {
    const { mail, smtp, over } = await start({ extensions: ["SIZE 5000", "PIPELINING"] });
    const result = await smtp.probe(server(mail.port), NO_LOGIN, { timeout: 1000 });
    assert.deepEqual(result.type === "ready" && [...result.extensions], [
      ["SIZE", "5000"],
      ["PIPELINING", ""],
    ]);
    await mail.connections[0]!.ended;
    assert.deepEqual(mail.connections[0]!.commands, ["EHLO client.example", "QUIT"]);
    await over();
  });

  it("says where it ends", async () => {
    const { mail, smtp, over } = await start({
      answer: (question) => question === "EHLO" ? { say: "421 4.3.2 Busy\r\n" } : undefined,
    });
    const result = await smtp.probe(server(mail.port), NO_LOGIN, { timeout: 1000 });
    assert.deepEqual(result.type === "refused" && result.stage, "EHLO");
    await over();
  });
});
