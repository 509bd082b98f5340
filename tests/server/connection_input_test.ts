/** What one connection takes of what its client sends before it can look at it, event by event. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { MemoryBudget } from "../../src/server/memory.ts";
import type { Reply } from "../../src/smtp/reply.ts";
import { Networks } from "../../src/networks.ts";
import { settle } from "../delivery/waiting_client.ts";
import { chunk, LOGGED_IN, MAIL, RCPT, SENT, start } from "./memory_server.ts";

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
