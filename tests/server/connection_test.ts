/** One connection without a socket: what the order of its events means, event by event. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ConnectionEvent } from "../../src/observe/relay_event.ts";
import { MemoryBudget } from "../../src/server/memory.ts";
import { reply } from "../../src/smtp/reply.ts";
import { Networks } from "../../src/networks.ts";
import { settle } from "../delivery/waiting_client.ts";
import { chunk, LOGGED_IN, MAIL, RCPT, SENT, start } from "./memory_server.ts";

describe("a client that has ended its side", () => {
  it("before its message was submitted has left, and whether it is there shows after the reply", async () => {
    const { authed, messages, left, clock, ended, events } = await start();
    const client = await authed();
    await client.say(...chunk("a@x.test"), ...chunk("b@x.test"));
    client.end();
    assert.deepEqual(left, [], "there was more to come");
    messages[0]!.answer(SENT);
    await settle();
    assert.equal(messages.length, 2);
    assert.deepEqual(left, ["b@x.test"]);
    messages[1]!.answer(SENT);
    await settle();
    assert.match(client.text, /(250 2\.0\.0 OK id=1\r\n){1}.*250 2\.0\.0 OK id=1\r\n$/s);
    assert.equal(client.ended, false, "a reset may come yet");
    clock.pass(1_000);
    assert.equal(client.ended, true);
    client.close();
    await settle();
    assert.deepEqual(left, ["b@x.test", "b@x.test there"]);
    assert.doesNotMatch(client.text, /^421 /m);
    const [{ reason, error, messages: count }] = ended() as [ConnectionEvent];
    assert.deepEqual([reason, error, count], ["the client hung up", false, 2]);
    assert.equal(events.filter(({ type }) => type === "limit").length, 0);
  });

  it("and is reset after the reply has not read it", async () => {
    const { authed, messages, left } = await start();
    const client = await authed();
    await client.say(...chunk("a@x.test"));
    client.end();
    messages[0]!.answer(SENT);
    await settle();
    client.close(new Error("ECONNRESET"));
    await settle();
    assert.deepEqual(left, ["a@x.test", "a@x.test gone"]);
  });

  it("and closes in order before the reply has not read it", async () => {
    const { authed, messages, left } = await start();
    const client = await authed();
    await client.say(...chunk("a@x.test"));
    client.close();
    messages[0]!.answer(SENT);
    await settle();
    assert.deepEqual(left, ["a@x.test", "a@x.test gone"]);
  });

  it("where nothing is under way gets no more than the end of the connection", async () => {
    const { runtime, ended } = await start();
    const client = runtime.client();
    const before = client.text;
    client.end();
    assert.deepEqual([client.text, client.ended], [before, true]);
    client.close();
    assert.equal(ended()[0]?.reason, "the client hung up");
  });
});

describe("a client that has logged in", () => {
  it("takes memory from the share of its account", async () => {
    const memory = new MemoryBudget(1_000_000);
    const clients: ReturnType<MemoryBudget["client"]>[] = [];
    const open = memory.client.bind(memory);
    memory.client = (key) => {
      const client = open(key);
      clients.push(client);
      return client;
    };
    const owner = { key: "an account", known: true };
    const authenticate = () => Promise.resolve({ reply: LOGGED_IN, account: true, owner } as const);
    const { authed } = await start({ memory, handlers: { authenticate } });
    await authed();
    assert.equal(clients[0]!.owner, owner);
  });
});

describe("a client that does not read", () => {
  it("is not read from either, until it does; then what it has sent is answered", async () => {
    const { runtime, clock } = await start({ timeouts: { unread: 30_000 } });
    const client = runtime.client();
    client.reads = false;
    await client.say("NOOP");
    assert.equal(client.paused, true);
    client.drain();
    assert.equal(client.paused, false);
    clock.pass(31_000);
    assert.equal(client.destroyed, false);
    assert.match(await client.say("NOOP"), /^250 /);
  });

  it("is ended when it has had its time, and why is said", async () => {
    const { runtime, clock, ended } = await start({ timeouts: { unread: 30_000 } });
    const client = runtime.client();
    client.reads = false;
    await client.say("NOOP");
    const before = client.text;
    clock.pass(31_000);
    await settle();
    assert.deepEqual([client.destroyed, client.text], [true, before]);
    const [{ reason, error }] = ended() as [ConnectionEvent];
    assert.deepEqual([reason, error], ["the client does not read the replies", true]);
  });
});

describe("the end of a connection", () => {
  it("is told with what it was: why, how long, how much, and what was sent", async () => {
    const { authed, clock, ended, messages } = await start();
    const client = await authed();
    clock.pass(1_234);
    await client.say(...chunk("a@x.test"));
    messages[0]!.answer(SENT);
    await settle();
    await client.say("QUIT");
    client.close();
    const [event] = ended();
    assert.deepEqual(event, {
      type: "connection",
      client: { ...event!.client, address: "192.0.2.7", port: 4711 },
      secure: false,
      handshakeFailed: false,
      received: event!.received,
      messages: 1,
      milliseconds: 1_234,
      reason: event!.reason,
      error: false,
    });
    assert.ok(event!.received > 100);
    assert.match(event!.client.connection, /^[0-9a-f]{8}$/);
    assert.match(event!.reason, /quit/);
  });

  it("is the client's where nothing else is known, and the network's where that broke", async () => {
    const { runtime, ended } = await start();
    runtime.client().close();
    runtime.client().close(new Error("ECONNRESET"));
    assert.deepEqual(ended().map(({ reason, error }) => [reason, error]), [
      ["the client hung up", false],
      ["ECONNRESET", true],
    ]);
  });
});

describe("a client of a trusted network", () => {
  it("goes on as the trusted account after a login of its own has failed", async () => {
    const { runtime, messages } = await start({
      isTrusted: () => true,
      handlers: {
        authenticate: (credentials) =>
          Promise.resolve(
            credentials === "trusted"
              ? { reply: LOGGED_IN, account: true }
              : { reply: reply(535, "5.7.8", "No") },
          ),
      },
    });
    const client = runtime.client();
    await client.say("EHLO client.example");
    assert.match(await client.say(MAIL), /^250 /);
    await client.say("RSET");
    assert.match(await client.logIn("user", "wrong"), /^535 /);
    await client.say(...chunk("a@x.test"));
    messages[0]?.answer(SENT);
    await settle();
    assert.match(client.text, /250 2\.0\.0 OK id=1\r\n$/);
  });
});

describe("a fault", () => {
  for (const where of ["authenticate", "submit"] as const) {
    it(`of ${where} ends its session alone, with 421 4.3.0, and is reported`, async () => {
      const error = new Error("a bug");
      const broken = { failing: false };
      const { runtime, events, authed, messages } = await start({
        handlers: {
          [where]: () =>
            broken.failing
              ? Promise.reject(error)
              : Promise.resolve(where === "submit" ? SENT : { reply: LOGGED_IN, account: true }),
        },
      });
      const client = where === "submit" ? await authed() : runtime.client();
      const other = await authed();
      broken.failing = true;
      if (where === "submit") await client.say(...chunk("a@x.test"));
      else await client.logIn("user", "secret");
      assert.match(client.text, /421 4\.3\.0 [^]*\r\n$/);
      assert.equal(client.ended, true);
      const faults = events.filter(({ type }) => type === "connectionFault");
      assert.deepEqual(faults.map((event) => "error" in event && event.error), [error]);
      assert.match(await other.say("NOOP"), /^250 /);
      assert.equal(messages.length, 0);
    });
  }

  it("in the middle of a command ends its session alone, too", async () => {
    const error = new Error("a bug");
    const { authed, events, runtime } = await start({
      handlers: {
        authenticate: () =>
          Promise.resolve({
            reply: LOGGED_IN,
            account: true,
            checkSender() {
              throw error;
            },
          }),
      },
    });
    const client = await authed();
    const other = runtime.client();
    assert.match(await client.say(MAIL, RCPT), /^421 4\.3\.0 [^\r]*\r\n$/);
    assert.equal(client.ended, true);
    const faults = events.filter(({ type }) => type === "connectionFault");
    assert.deepEqual(faults.map((event) => "error" in event && event.error), [error]);
    assert.match(await other.say("NOOP"), /^250 /);
  });

  it("while TLS has not begun ends the connection without a word", async () => {
    const { runtime, events } = await start({
      implicitTls: true,
    });
    const client = runtime.client();
    assert.deepEqual([client.text, client.destroyed], ["", true]);
    assert.deepEqual(events.map(({ type }) => type), ["connectionFault"]);
  });

  it("of a message gives its memory back, and the message does not count", async () => {
    const memory = new MemoryBudget(1_000_000);
    const { authed, ended } = await start({
      memory,
      handlers: { submit: () => Promise.reject(new Error("a bug")) },
    });
    const client = await authed();
    await client.say(...chunk("a@x.test"));
    assert.equal(memory.used, 0);
    client.close();
    assert.equal(ended()[0]?.messages, 0);
  });

  it("while deadlines are looked at keeps no other connection from being looked at", async () => {
    const networks = Networks.parse("192.0.2.0/24")!;
    const error = new Error("a bug");
    let faults = 0;
    const { runtime, clock, events } = await start({
      proxies: { networks, headerTimeout: 5_000 },
      handlers: {
        notify(event) {
          if (event.type === "proxyHeader" && faults++ === 0) throw error;
        },
      },
    });
    const clients = [runtime.client("192.0.2.1"), runtime.client("192.0.2.2")];
    clock.pass(6_000);
    assert.deepEqual(clients.map(({ destroyed }) => destroyed), [true, true]);
    const reported = events.filter(({ type }) => type === "connectionFault");
    assert.deepEqual(reported.map((event) => "error" in event && event.error), [error]);
  });

  it("of the listener is reported", async () => {
    const { runtime, events } = await start();
    const error = new Error("too many open files");
    runtime.failAccept(error);
    assert.deepEqual(events, [{ type: "acceptFailed", error }]);
  });
});

describe("TLS", () => {
  const certificate = { certificate: "", privateKey: "" } as never;

  it("that is not done in time ends the connection, and its event says what may be wrong", async () => {
    const { runtime, clock, ended } = await start({
      implicitTls: true,
      certificate,
      timeouts: { handshake: 30_000 },
    });
    runtime.client();
    clock.pass(31_000);
    await settle();
    const [{ reason, error, handshakeFailed, wrongPort }] = ended() as [ConnectionEvent];
    assert.deepEqual([reason, error, handshakeFailed, wrongPort], [
      "TLS handshake timed out",
      true,
      true,
      "silent",
    ]);
  });

  it("that a client leaves in the middle of is a failed handshake, by what it sent instead", async () => {
    const { runtime, ended } = await start({ implicitTls: true, certificate });
    const opening = (text: string) => new TextEncoder().encode(text);
    runtime.client().close(new Error("not TLS"), opening("EHLO x"));
    runtime.client().close(new Error("no cipher"), Uint8Array.of(22, 3, 1));
    runtime.client().close();
    assert.deepEqual(
      ended().map(({ wrongPort, error, handshakeFailed }) => [wrongPort, error, handshakeFailed]),
      [["plain", true, true], [undefined, true, true], [undefined, false, true]],
    );
  });

  it("is secure from the end of the handshake on, and the client logs in again", async () => {
    const { runtime, ended } = await start({ certificate, session: { requireTls: true } });
    const client = runtime.client();
    await client.say("EHLO client.example", "STARTTLS");
    assert.ok(client.identity !== undefined);
    client.secured();
    assert.match(await client.logIn("user", "secret"), /^235 /);
    client.close();
    const [{ secure, handshakeFailed, error }] = ended() as [ConnectionEvent];
    assert.deepEqual([secure, handshakeFailed, error], [true, false, false]);
  });

  it("on a port in plain text is recognised", async () => {
    const { runtime, ended } = await start();
    const client = runtime.client();
    await client.say("\x16\x03\x01");
    client.close();
    assert.equal(ended()[0]?.wrongPort, "tls");
  });
});

describe("an observer of a session", () => {
  it("sees no replies that nobody reads", async () => {
    const seen: string[] = [];
    const { authed, messages, clock } = await start({
      handlers: {},
      observe: () => ({
        command: (shown) => void seen.push(shown),
        reply: (text) => void seen.push(text.slice(0, 3)),
      }),
    });
    const client = await authed();
    await client.say(...chunk("a@x.test"));
    const before = seen.length;
    assert.ok(before > 5);
    client.close();
    messages[0]!.answer(SENT);
    await settle();
    clock.pass(1_000);
    assert.equal(seen.length, before);
  });
});

describe("a stop", () => {
  it("ends idle clients at once, waits for those that have not gone, and lets go of them", async () => {
    const { server, runtime, clock } = await start();
    const idle = runtime.client();
    let cutOff = 0;
    const stopped = server.stop(10_000, () => void cutOff++);
    assert.match(idle.text, /421 4\.3\.2 [^\r]*\r\n$/);
    assert.deepEqual([idle.ended, idle.destroyed], [true, false]);
    clock.pass(10_000);
    await settle();
    assert.equal(idle.destroyed, false, "it may still read");
    clock.pass(500);
    assert.deepEqual(await stopped, { cutOff: 0 });
    assert.equal(cutOff, 0, "there was nothing to cut off");
    assert.equal(idle.destroyed, true);
    assert.equal(clock.alarms, 0);
  });

  it("lets a message come to its verdict, and then takes no other", async () => {
    const { server, authed, messages, ended } = await start();
    const client = await authed();
    await client.say(...chunk("a@x.test"));
    const stopped = server.stop(10_000);
    await settle();
    assert.equal(client.ended, false);
    messages[0]!.answer(SENT);
    await settle();
    assert.match(client.text, /250 2\.0\.0 OK id=1\r\n421 4\.3\.2 [^\r]*\r\n$/);
    client.close();
    assert.deepEqual(await stopped, { cutOff: 0 });
    assert.equal(ended()[0]?.messages, 1);
  });

  it("whose time is over interrupts content, and cuts a message off: 451 4.4.2, then 421", async () => {
    const { server, authed, clock, messages } = await start();
    const [writing, waiting] = [await authed(), await authed()];
    await writing.say(MAIL, RCPT, "DATA", "half of a message");
    await waiting.say(...chunk("a@x.test"));
    let cutOff = 0;
    const stopped = server.stop(10_000, () => void cutOff++);
    await settle();
    assert.deepEqual([writing.ended, waiting.ended], [false, false]);
    clock.pass(10_000);
    await settle();
    assert.match(writing.text, /421 4\.3\.2 [^\r]*\r\n$/);
    assert.deepEqual([cutOff, writing.ended, waiting.ended], [1, true, false]);
    clock.pass(2_000);
    await settle();
    assert.match(waiting.text, /451 4\.4\.2 [^\r]*may have been sent\r\n421 4\.3\.2 [^\r]*\r\n$/);
    clock.pass(500);
    assert.deepEqual(await stopped, { cutOff: 1 });
    assert.equal(waiting.destroyed, true);
    messages[0]!.answer(SENT);
  });

  it("just closes what must not be answered in plain text (RFC 8314 §3.3)", async () => {
    const certificate = { certificate: "", privateKey: "" } as never;
    const { server, runtime, ended } = await start({ implicitTls: true, certificate });
    const client = runtime.client();
    const stopped = server.stop(10_000);
    assert.deepEqual([client.destroyed, client.text], [true, ""]);
    assert.deepEqual(await stopped, { cutOff: 0 });
    assert.equal(ended()[0]?.reason, "the relay is stopping");
  });
});
