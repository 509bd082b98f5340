/** One connection without a socket: what the order of its events means, event by event. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ConnectionEvent, RelayEvent } from "../../src/observe/relay_event.ts";
import { ConnectionLimiter } from "../../src/server/connection_limiter.ts";
import { MemoryBudget } from "../../src/server/memory.ts";
import { type Reply, reply } from "../../src/smtp/reply.ts";
import type { ReceivedMessage } from "../../src/submission/submission_service.ts";
import type { Timeouts } from "../../src/server/connection_deadline.ts";
import { Networks } from "../../src/networks.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { MemoryRuntime } from "../support/memory_runtime.ts";
import { type ServerParts, smtpServer, type TestHandlers } from "../support/smtp_server.ts";
import { settle } from "../delivery/waiting_client.ts";

const SENT = reply(250, "2.0.0", "OK id=1");
const LOGGED_IN = reply(235, "2.7.0", "OK");
const MAIL = "MAIL FROM:<a@example.com>";
const RCPT = "RCPT TO:<b@example.org>";

interface Setup extends Partial<Omit<ServerParts, "handlers">> {
  readonly implicitTls?: boolean;
  readonly handlers?: TestHandlers;
  readonly timeouts?: Partial<Timeouts>;
  /** MAX_CONNECTIONS; no limit when left out. */
  readonly connections?: number;
}

async function start({ implicitTls = false, handlers = {}, connections, ...parts }: Setup = {}) {
  const runtime = new MemoryRuntime();
  const clock = new FakeClock();
  const events: RelayEvent[] = [];
  /** Messages under way, whose verdicts are the test's. */
  const messages: { message: ReceivedMessage; answer(reply: Reply): void }[] = [];
  const left: string[] = [];
  const answered: string[] = [];
  const limiter = connections === undefined
    ? undefined
    : new ConnectionLimiter({ connections, perAddress: 1_000, now: () => clock.now() });
  const server = await smtpServer({
    ...parts,
    runtime,
    clock,
    limiter: parts.limiter ?? limiter,
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
  const NO = reply(535, "5.7.8", "No");

  it("may be had again after a login that has failed", async () => {
    const { runtime, clock } = await start({
      connections: 1,
      handlers: { authenticate: () => Promise.resolve({ reply: NO }) },
    });
    const failed = runtime.client("192.0.2.1");
    assert.match(await failed.logIn("user", "wrong"), /^535 /);
    const other = runtime.client("192.0.2.2");
    clock.pass(3_000);
    assert.match(failed.text, /421 4\.4\.2 /);
    assert.match(other.text, /^220 /);
  });

  it("is kept while a login is being checked, and while a message is under way", async () => {
    const login = Promise.withResolvers<{ reply: Reply; account: true; proved: false }>();
    const { runtime, messages, clock } = await start({
      connections: 1,
      handlers: { authenticate: () => login.promise },
    });
    const busy = runtime.client("192.0.2.1");
    await busy.logIn("user", "secret");
    const other = runtime.client("192.0.2.2");
    clock.pass(10_000);
    assert.deepEqual([busy.ended, other.text, other.paused], [false, "", true]);
    other.close();
    login.resolve({ reply: LOGGED_IN, account: true, proved: false });
    await settle();
    await busy.say(...chunk("a@x.test"));
    const another = runtime.client("192.0.2.3");
    clock.pass(10_000);
    assert.deepEqual([messages.length, busy.ended, another.text], [1, false, ""]);
    another.close();
    messages[0]!.answer(reply(451, "4.3.2", "Later"));
    await settle();
    assert.match(busy.text, /451 4\.3\.2 Later\r\n$/);
    const last = runtime.client("192.0.2.4");
    clock.pass(3_000);
    assert.match(last.text, /^220 /);
    assert.equal(last.paused, false);
    assert.equal(busy.ended, true, "its token is still unverified");
  });
});

describe("what the limiter is told", () => {
  it("is each step to a login, and then what the connection does, once each time", async () => {
    const told: string[] = [];
    const limiter = {
      add: (connection: { admit(): void }) => ({
        identify: () => connection.admit(),
        progress: () => void told.push("progress"),
        pin: () => void told.push("pin"),
        unpin: () => void told.push("unpin"),
        authenticated: () => void told.push("authenticated"),
        setActivity: (activity: string) => void told.push(activity),
        retire: () => void told.push("retire"),
        remove: () => void told.push("remove"),
      }),
      tick() {},
      close() {},
    } as unknown as ConnectionLimiter;
    const { runtime, messages } = await start({ limiter });
    const since = () => told.splice(0).join(" ");
    const client = runtime.client();
    await client.say("EHLO client.example");
    assert.equal(since(), "progress");
    await client.say("NOOP", "EHLO client.example", "NOOP");
    assert.equal(since(), "", "these bring it no nearer to a login");
    await client.logIn("user", "secret");
    assert.equal(since(), "pin progress authenticated");
    await client.say(MAIL, RCPT, "BDAT 3", "x");
    assert.equal(since(), "receiving");
    await client.say("BDAT 3", "x");
    assert.equal(since(), "");
    await client.say("RSET");
    assert.equal(since(), "idle");
    await client.say(MAIL, RCPT, "DATA");
    assert.equal(since(), "receiving");
    await client.say("x", ".");
    assert.equal(since(), "pin");
    messages[0]!.answer(SENT);
    await settle();
    assert.equal(since(), "authenticated");
    await client.say("QUIT");
    assert.equal(since(), "retire");
    client.close();
    assert.equal(since(), "remove");
  });
});

describe("a place that its client needs no more", () => {
  it("is another's at once where the client has left, though its message goes on", async () => {
    const { authed, runtime, messages, ended } = await start({ connections: 1 });
    const client = await authed();
    await client.say(...chunk("a@x.test"));
    client.end();
    const other = runtime.client("192.0.2.9");
    assert.match(other.text, /^220 /);
    assert.equal(client.destroyed, false);
    messages[0]!.answer(SENT);
    await settle();
    assert.match(client.text, /250 2\.0\.0 OK id=1\r\n$/);
    client.close();
    assert.equal(ended()[0]?.messages, 1);
  });

  it("is another's at once after the last reply, which the client has a second to read", async () => {
    const { authed, runtime, clock } = await start({ connections: 1 });
    const client = await authed();
    await client.say("QUIT");
    const other = runtime.client("192.0.2.9");
    assert.match(other.text, /^220 /);
    clock.pass(900);
    assert.equal(client.destroyed, false);
    clock.pass(600);
    assert.equal(client.destroyed, true);
    const late = await start({ connections: 1 });
    const slow = await late.authed();
    await slow.say("QUIT");
    late.clock.pass(2_000);
    assert.equal(slow.destroyed, false, "nobody needs the place");
    assert.match(late.runtime.client("192.0.2.9").text, /^220 /);
    await settle();
    assert.equal(slow.destroyed, true);
  });
});

describe("a connection that must begin with a PROXY header", () => {
  it("ends without a word where none comes, and its event says why", async () => {
    const networks = Networks.parse("192.0.2.0/24")!;
    const { runtime, ended, events } = await start({ proxies: { networks, headerTimeout: 5_000 } });
    const client = runtime.client("192.0.2.1");
    await client.say("EHLO client.example");
    assert.deepEqual([client.text, client.destroyed], ["", true]);
    assert.deepEqual(events.map(({ type }) => type), ["proxyHeader", "connection"]);
    assert.equal(ended()[0]?.reason, "PROXY header");
  });

  it("is a listed proxy's alone: another address is greeted, and must not send one", async () => {
    const networks = Networks.parse("192.0.2.0/24")!;
    const { runtime, events } = await start({ proxies: { networks, headerTimeout: 5_000 } });
    const stranger = runtime.client("198.51.100.1");
    assert.match(stranger.text, /^220 /);
    const before = stranger.text;
    await stranger.say("PROXY TCP4 203.0.113.5 192.0.2.1 5555 25");
    assert.deepEqual([stranger.text, stranger.destroyed], [before, true]);
    const dripping = runtime.client("198.51.100.1");
    for (const octet of "PROXY TCP4") if (!dripping.destroyed) dripping.write(octet);
    assert.deepEqual([dripping.text, dripping.destroyed], [before, true]);
    const reasons = events.flatMap((event) => event.type === "proxyHeader" ? [event.reason] : []);
    assert.deepEqual(reasons, ["foreign", "foreign"]);
    const late = runtime.client("198.51.100.1");
    await late.say("NOOP");
    assert.match(await late.say("ROXY TCP4"), /^500 /, "the first octets alone can be a header");
    assert.match(await late.say("PROXY TCP4 203.0.113.5 192.0.2.1 5555 25"), /^500 /);
  });

  it("has what comes after the header kept until there is a place, up to 4 KiB", async () => {
    const networks = Networks.parse("192.0.2.0/24")!;
    for (const [octets, kept] of [[4_096, true], [4_097, false]] as const) {
      const { runtime, ended } = await start({
        connections: 1,
        proxies: { networks, headerTimeout: 5_000 },
        handlers: { authenticate: () => new Promise(() => {}) },
      });
      const busy = runtime.client("198.51.100.1");
      await busy.logIn("user", "secret");
      const waiting = runtime.client("192.0.2.1");
      await waiting.say("PROXY TCP4 203.0.113.5 192.0.2.1 5555 25");
      await waiting.say("x".repeat(octets - 2));
      assert.deepEqual([waiting.text, waiting.destroyed], ["", !kept]);
      if (kept) continue;
      assert.equal(ended()[0]?.reason, "the client sent too much before the greeting");
    }
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

describe("what a client sends ahead", () => {
  const pending = () => {
    const login = Promise.withResolvers<{ reply: Reply; account: true }>();
    return { ...login, handlers: { authenticate: () => login.promise } };
  };
  const lines = (octets: number) => Array.from({ length: octets / 8 }, () => "NOOP x");

  it("while its login is checked is not read beyond 4 KiB, and is answered after it", async () => {
    const { handlers, resolve } = pending();
    const { runtime } = await start({ handlers, session: { maxIdleCommands: 10_000 } });
    const client = runtime.client();
    await client.logIn("user", "secret");
    assert.equal(client.paused, false);
    await client.say(...lines(8_000));
    assert.equal(client.paused, true);
    resolve({ reply: LOGGED_IN, account: true });
    await settle();
    assert.equal(client.paused, false);
    assert.equal(client.text.match(/^250 2\.0\.0 .*$/gm)?.length, 1_000);
  });

  it("is too much over 128 KiB before it has logged in, and is memory over 32 KiB after it", async () => {
    const { handlers } = pending();
    const memory = new MemoryBudget(10_000_000);
    const { runtime, clock } = await start({ handlers, memory, timeouts: { linger: 5_000 } });
    const stranger = runtime.client();
    await stranger.logIn("user", "secret");
    await stranger.say(...lines(120_000));
    assert.ok(memory.used > 120_000);
    assert.equal(stranger.ended, false);
    await stranger.say(...lines(16_000));
    assert.match(stranger.text, /421 4\.3\.1 /);
    assert.deepEqual([stranger.ended, stranger.destroyed], [true, false]);
    clock.pass(6_000);
    assert.equal(stranger.destroyed, true);
    assert.equal(memory.used, 0);
    const { authed, messages } = await start({ memory });
    const client = await authed();
    await client.say(...chunk("a@x.test"));
    const before = memory.used;
    await client.say(...lines(160_000));
    assert.equal(client.ended, false);
    assert.ok(memory.used - before > 160_000);
    client.close();
    assert.equal(memory.used, before, "the message is still under way");
    messages[0]!.answer(SENT);
    await settle();
    assert.equal(memory.used, 0);
  });

  it("is dropped where there is no memory for it: what is under way is answered, then 421", async () => {
    const memory = new MemoryBudget(150_000);
    const { authed, messages, clock } = await start({ memory, timeouts: { linger: 5_000 } });
    const client = await authed();
    await client.say(...chunk("a@x.test"));
    await client.say(...lines(200_000));
    assert.deepEqual([client.ended, client.paused], [false, true]);
    messages[0]!.answer(SENT);
    await settle();
    assert.match(client.text, /250 2\.0\.0 OK id=1\r\n421 4\.3\.1 [^\r]*\r\n$/);
    assert.deepEqual([client.ended, memory.used], [true, 0]);
    clock.pass(6_000);
    assert.equal(client.destroyed, true);
  });

  it("is given up where its account has more memory than its share, and another needs it", async () => {
    const memory = new MemoryBudget(600_000);
    let accounts = 0;
    const { authed, messages } = await start({
      memory,
      handlers: {
        authenticate: () => {
          const owner = { key: `account ${++accounts}`, known: true };
          return Promise.resolve({ reply: LOGGED_IN, account: true, owner });
        },
      },
    });
    const greedy = await authed("192.0.2.1");
    await greedy.say(...chunk("a@x.test"));
    await greedy.say(...lines(320_000));
    const before = memory.used;
    const other = await authed("192.0.2.2");
    assert.match(await other.say(`${MAIL} SIZE=150000`), /^250 /);
    assert.ok(memory.used < before);
    assert.equal(greedy.ended, false);
    messages[0]!.answer(SENT);
    await settle();
    assert.match(greedy.text, /250 2\.0\.0 OK id=1\r\n421 4\.3\.1 [^\r]*\r\n$/);
  });

  it("is not read on while the replies to much of it are being written", async () => {
    const { runtime } = await start({ session: { maxIdleCommands: 1_000 } });
    const client = runtime.client();
    const answered = client.say(...Array.from({ length: 150 }, () => "EHLO client.example"));
    assert.equal(client.paused, true);
    await answered;
    await client.say("NOOP");
    assert.match(client.text, /250 2\.0\.0 [^\r]*\r\n$/);
    assert.equal(client.text.match(/^250 HELP\r$/gm)?.length, 150);
    assert.equal(client.paused, false);
  });

  it("after the last reply is read, and not looked at", async () => {
    const { runtime } = await start();
    const client = runtime.client();
    await client.say("QUIT");
    const before = client.text;
    await client.say("NOOP");
    assert.deepEqual([client.text, client.paused], [before, false]);
  });
});

describe("the memory of a message", () => {
  it("counts for the account and the address, as a proxy names it", async () => {
    const memory = new MemoryBudget(1_000_000);
    const networks = Networks.parse("192.0.2.0/24")!;
    const { runtime } = await start({ memory, proxies: { networks, headerTimeout: 5_000 } });
    const holders: number[] = [];
    for (const address of ["203.0.113.1", "203.0.113.2"]) {
      const client = runtime.client("192.0.2.1");
      await client.say(`PROXY TCP4 ${address} 192.0.2.1 5555 25`);
      await client.logIn("user", "secret");
      await client.say(MAIL, RCPT, "DATA");
      holders.push(memory.holders);
    }
    assert.deepEqual(holders, [2, 4]);
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

describe("a client that has lost its place", () => {
  it("has a second to read why", async () => {
    const { authed, runtime, clock } = await start({ connections: 1 });
    await authed("192.0.2.1");
    const refused = runtime.client("192.0.2.2");
    assert.match(refused.text, /^421 4\.3\.2 /);
    assert.deepEqual([refused.ended, refused.destroyed], [true, false]);
    clock.pass(900);
    assert.equal(refused.destroyed, false);
    clock.pass(600);
    assert.equal(refused.destroyed, true);
  });

  it("is let go of where 256 others have lost theirs since", async () => {
    const { authed, runtime } = await start({ connections: 1 });
    await authed("192.0.2.1");
    const refused = Array.from(
      { length: 257 },
      (_, i) => runtime.client(`198.51.${i >> 8}.${i & 255}`),
    );
    const gone = refused.map(({ destroyed }, i) => destroyed ? i : -1).filter((i) => i >= 0);
    assert.deepEqual(gone, [0]);
  });

  it("with its last reply is let go of in the same way", async () => {
    const { runtime } = await start({ connections: 1 });
    const leaving = [];
    for (let i = 0; i < 258; i++) {
      const client = runtime.client(`198.51.${i >> 8}.${i & 255}`);
      assert.match(client.text, /^220 /, `${i}`);
      await client.say("QUIT");
      leaving.push(client);
    }
    const gone = leaving.map(({ destroyed }, i) => destroyed ? i : -1).filter((i) => i >= 0);
    assert.deepEqual(gone, [0]);
  });

  it("is the one whose last step to a login is longest ago", async () => {
    const { runtime, clock } = await start({ connections: 2 });
    const [first, second] = [runtime.client("192.0.2.1"), runtime.client("192.0.2.2")];
    clock.pass(1_000);
    await first.say("EHLO client.example");
    runtime.client("192.0.2.3");
    clock.pass(1_000);
    assert.deepEqual([first.ended, second.ended], [false, true]);
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
