/** One connection without a socket: what the order of its events means, event by event. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ConnectionEvent, RelayEvent } from "../../src/observe/relay_event.ts";
import { ConnectionLimiter } from "../../src/server/connection_limiter.ts";
import { MemoryBudget } from "../../src/server/memory.ts";
import { type Reply, reply } from "../../src/smtp/reply.ts";
import type { ReceivedMessage } from "../../src/submission/submission_service.ts";
import type { Timeouts } from "../../src/server/connection_deadline.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { MemoryRuntime } from "../support/memory_runtime.ts";
import { type ServerParts, smtpServer, type TestHandlers } from "../support/smtp_server.ts";
import { settle } from "../delivery/waiting_client.ts";

const SENT = reply(250, "2.0.0", "OK id=1");
const MAIL = "MAIL FROM:<a@example.com>";
const RCPT = "RCPT TO:<b@example.org>";

interface Setup extends Partial<Omit<ServerParts, "handlers">> {
  readonly implicitTls?: boolean;
  readonly handlers?: TestHandlers;
  readonly timeouts?: Partial<Timeouts>;
}

async function start({ implicitTls = false, handlers = {}, ...parts }: Setup = {}) {
  const runtime = new MemoryRuntime();
  const clock = new FakeClock();
  const events: RelayEvent[] = [];
  /** Messages under way, whose verdicts are the test's. */
  const messages: { message: ReceivedMessage; answer(reply: Reply): void }[] = [];
  const left: string[] = [];
  const answered: string[] = [];
  const server = await smtpServer({
    ...parts,
    runtime,
    clock,
    handlers: {
      submit: (_, message) => {
        const { promise, resolve } = Promise.withResolvers<Reply>();
        messages.push({ message, answer: resolve });
        return promise;
      },
      abandoned: ({ envelope }, gone) => {
        left.push(envelope.from);
        void gone.then((isGone) => left.push(`${envelope.from} ${isGone ? "gone" : "there"}`));
      },
      answered: ({ envelope }) => void answered.push(envelope.from),
      ...handlers,
      notify(event) {
        events.push(event);
        handlers.notify?.(event);
      },
    },
  });
  server.listen("127.0.0.1", 0, implicitTls);
  const authed = async (address?: string) => {
    const client = runtime.client(address);
    assert.match(await client.logIn("user", "secret"), /^235 /);
    return client;
  };
  const ended = () =>
    events.filter((event): event is ConnectionEvent => event.type === "connection");
  return { server, runtime, clock, events, messages, left, answered, authed, ended };
}

const chunk = (from: string) => [`MAIL FROM:<${from}>`, RCPT, "BDAT 3 LAST", "x"] as const;

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

describe("a place", () => {
  const full = (connections = 1) => {
    const clock = new FakeClock();
    return new ConnectionLimiter({ connections, perAddress: 10, now: () => clock.now() });
  };
  const NO = reply(535, "5.7.8", "No");

  it("may be had again after a login that has failed", async () => {
    const { runtime } = await start({
      limiter: full(),
      handlers: { authenticate: () => Promise.resolve({ reply: NO }) },
    });
    const failed = runtime.client("192.0.2.1");
    assert.match(await failed.logIn("user", "wrong"), /^535 /);
    const other = runtime.client("192.0.2.2");
    assert.match(failed.text, /421 4\.4\.2 /);
    assert.match(other.text, /^220 /);
  });

  it("is kept while a login is being checked, and while a message is under way", async () => {
    const login = Promise.withResolvers<{ reply: Reply; account: true; proved: false }>();
    const { runtime, messages } = await start({
      limiter: full(),
      handlers: { authenticate: () => login.promise },
    });
    const busy = runtime.client("192.0.2.1");
    await busy.logIn("user", "secret");
    const other = runtime.client("192.0.2.2");
    assert.deepEqual([busy.ended, other.text], [false, ""]);
    other.close();
    login.resolve({ reply: reply(235, "2.7.0", "OK"), account: true, proved: false });
    await settle();
    await busy.say(...chunk("a@x.test"));
    const another = runtime.client("192.0.2.3");
    assert.deepEqual([messages.length, busy.ended, another.text], [1, false, ""]);
    another.close();
    messages[0]!.answer(reply(451, "4.3.2", "Later"));
    await settle();
    assert.match(busy.text, /451 4\.3\.2 Later\r\n$/);
    assert.match(runtime.client("192.0.2.4").text, /^220 /);
    assert.equal(busy.ended, true, "its token is still unverified");
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
