/** One connection and its place among MAX_CONNECTIONS, event by event. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { WaitingClient } from "../../src/delivery/delivery.ts";
import { ConnectionLimiter } from "../../src/server/connection_limiter.ts";
import { type Reply, reply } from "../../src/smtp/reply.ts";
import { settle } from "../delivery/waiting_client.ts";
import { chunk, LOGGED_IN, MAIL, RCPT, SENT, start } from "./memory_server.ts";

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

describe("a message that waits for its turn", () => {
  it("is ended where another client needs the place, with its reply before the last one", async () => {
    const waiting: WaitingClient[] = [];
    const verdict = Promise.withResolvers<Reply>();
    const owner = { key: "greedy", known: true };
    const { runtime, authed, clock } = await start({
      connections: 10,
      handlers: {
        authenticate: () => Promise.resolve({ reply: LOGGED_IN, account: true, owner }),
        submit: (_, __, client) => {
          waiting.push(client);
          client.waiting(true);
          client.signal.addEventListener("abort", () => {
            client.waiting(false);
            verdict.resolve(reply(451, "4.3.2", "OVER_SHARE"));
          });
          return verdict.promise;
        },
      },
    });
    const greedy = [];
    for (let i = 0; i < 10; i++) greedy.push(await authed());
    for (const client of greedy) await client.say(...chunk("a@x.test"));
    clock.pass(1_000);
    assert.match(runtime.client("192.0.2.9").text, /^220 /);
    await settle();
    const [ended, ...more] = greedy.filter((client) => client.ended);
    assert.deepEqual([more.length, waiting.filter(({ signal }) => signal.aborted).length], [0, 1]);
    assert.match(ended!.text, /451 4\.3\.2 OVER_SHARE\r\n421 4\.4\.2 [^\r]*\r\n$/);
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
