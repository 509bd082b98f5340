/**
 * Exchange takes three connections of a mailbox at a time, and thirty messages a minute: a burst is slowed down
 * and does not fail.
 * https://learn.microsoft.com/exchange/troubleshoot/send-emails/smtp-submission-improvements
 */
import assert from "node:assert/strict";
import { setImmediate } from "node:timers/promises";
import { describe, it } from "node:test";
import type { ServiceOutcome } from "../../src/delivery/delivery.ts";
import { Pacer } from "../../src/smtp_backend/pacer.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { ACCOUNT, accountWith, mailOf, tokenOf } from "../support/submissions.ts";
import { exchangeBackend, FakeServer, refused } from "./server.ts";

const AUTHORIZATION = accountWith(tokenOf("t"));
const MINUTE = 60_000;

/** The most messages that begin within any minute. */
function mostPerMinute(server: FakeServer): number {
  const starts = server.sendings.map(({ at }) => at);
  return Math.max(
    ...starts.map((start) =>
      starts.filter((other) => other >= start && other < start + MINUTE).length
    ),
  );
}

async function finish(clock: FakeClock, pending: Promise<unknown>): Promise<void> {
  let isOver = false;
  void pending.then(() => isOver = true);
  while (!isOver) {
    await setImmediate();
    clock.pass(250);
  }
}

describe("a burst of 200 messages to one mailbox", () => {
  it("has never more than three connections and 30 messages a minute, and none is lost", async () => {
    const clock = new FakeClock();
    const server = new FakeServer(clock, 700);
    const backend = exchangeBackend(server, clock, { pacingTimeout: 10 * MINUTE });
    const all = Promise.all(
      Array.from(
        { length: 200 },
        () => backend.deliver(mailOf("ann@x.test"), { authorization: AUTHORIZATION }),
      ),
    );
    await finish(clock, all);
    assert((await all).every(({ type }) => type === "sent"));
    assert.equal(server.sendings.length, 200);
    assert.equal(server.mostActive, 3);
    assert(mostPerMinute(server) <= 30, String(mostPerMinute(server)));
    // Not slower than it has to be either.
    assert(clock.now() < 8 * MINUTE, String(clock.now()));
  });

  it("over PACING_TIMEOUT, the rest is deferred at once with the time to come back", async () => {
    const clock = new FakeClock();
    const server = new FakeServer(clock, 100);
    const backend = exchangeBackend(server, clock);
    const outcomes: ServiceOutcome[] = [];
    const all = Promise.all(Array.from({ length: 200 }, async () => {
      outcomes.push(await backend.deliver(mailOf("ann@x.test"), { authorization: AUTHORIZATION }));
    }));
    for (let i = 0; i < 20; i++) await setImmediate();
    const early = outcomes.filter(({ type }) => type === "later");
    // Four minutes of 30, and those of now.
    assert.equal(early.length, 200 - 4 * 30);
    for (const outcome of early) {
      assert(outcome.type === "later" && outcome.code === "PACING_TIMEOUT" && !outcome.ambiguous);
      assert(outcome.retryAfter !== undefined && outcome.retryAfter > 4 * MINUTE);
    }
    await finish(clock, all);
    // The rest comes again as a client or a queue would bring it.
    assert.equal(outcomes.filter(({ type }) => type === "sent").length, 120);
    assert.equal(server.sendings.length, 120);
  });

  it("from a queue is given back with the time to come back, not waited for", async () => {
    const clock = new FakeClock();
    const server = new FakeServer(clock);
    const backend = exchangeBackend(server, clock);
    const deliver = () =>
      backend.deliver(mailOf("ann@x.test"), { authorization: AUTHORIZATION, mayWait: false });
    let left = 200;
    let tries = 0;
    while (left > 0) {
      const outcome = await deliver();
      tries++;
      if (outcome.type === "sent") left--;
      else {
        assert.equal(outcome.code, "PACING_TIMEOUT");
        clock.pass(outcome.retryAfter!);
      }
    }
    assert.equal(server.sendings.length, 200);
    assert(mostPerMinute(server) <= 30);
    // One wait each minute.
    assert.equal(tries, 206);
  });

  it("slows down no other mailbox", async () => {
    const clock = new FakeClock();
    const server = new FakeServer(clock);
    const backend = exchangeBackend(server, clock);
    for (let i = 0; i < 30; i++) {
      await backend.deliver(mailOf("ann@x.test"), { authorization: AUTHORIZATION });
    }
    const deliver = (mailbox: string) =>
      backend.deliver(mailOf(mailbox), { authorization: AUTHORIZATION, mayWait: false });
    assert.equal((await deliver("ANN@x.test")).type, "later");
    assert.equal((await deliver("bea@x.test")).type, "sent");
  });
});

describe("a mailbox whose server answers 432 4.3.2", () => {
  it("is left alone for a while, and the message is sent then", async () => {
    const clock = new FakeClock();
    const server = new FakeServer(clock);
    server.answers = [refused("AUTH", "432 4.3.2 busy"), refused("AUTH", "432 4.3.2 busy")];
    const backend = exchangeBackend(server, clock);
    const sent = backend.deliver(mailOf("ann@x.test"), { authorization: AUTHORIZATION });
    await finish(clock, sent);
    assert.equal((await sent).type, "sent");
    const [first, second, third] = server.sendings.map(({ at }) => at);
    assert(second! - first! >= 2_500 && third! - second! >= 5_000);
  });

  it("goes back to the queue with the time to wait, and others of it do not begin meanwhile", async () => {
    const clock = new FakeClock();
    const server = new FakeServer(clock);
    server.answers = [refused("MAIL", "432 4.3.2 busy")];
    const backend = exchangeBackend(server, clock);
    const attempt = { authorization: AUTHORIZATION, mayWait: false };
    const outcome = await backend.deliver(mailOf("ann@x.test"), attempt);
    assert(outcome.type === "later" && outcome.retryAfter! > 0);
    const next = await backend.deliver(mailOf("ann@x.test"), attempt);
    assert(next.type === "later" && next.code === "PACING_TIMEOUT" && next.retryAfter! > 0);
    assert.equal(server.sendings.length, 1);
    clock.pass(outcome.retryAfter!);
    assert.equal((await backend.deliver(mailOf("ann@x.test"), attempt)).type, "sent");
  });

  it("is deferred when it lasts longer than PACING_TIMEOUT", async () => {
    const clock = new FakeClock();
    const server = new FakeServer(clock);
    server.answers = Array.from({ length: 100 }, () => refused("AUTH", "432 4.3.2 busy"));
    const backend = exchangeBackend(server, clock);
    const pending = backend.deliver(mailOf("ann@x.test"), { authorization: AUTHORIZATION });
    await finish(clock, pending);
    const outcome = await pending;
    assert(outcome.type === "later" && outcome.code === "SMTP 432 4.3.2");
    assert(clock.now() <= 6 * MINUTE);
  });
});

describe("the pacer", () => {
  it("forgets a mailbox a minute after its last message, and leaves no alarm", () => {
    const clock = new FakeClock();
    const pacer = new Pacer({ connections: 3, perMinute: 30, timeout: MINUTE, clock });
    for (const key of ["a", "b"]) {
      const turn = pacer.acquire(key);
      assert("release" in turn);
      turn.release();
      turn.release();
    }
    assert.equal(pacer.size, 2);
    clock.pass(2 * MINUTE);
    assert.deepEqual([pacer.size, clock.alarms], [0, 0]);
  });

  it("ends a wait by the client's signal, and passes its place on", async () => {
    const clock = new FakeClock();
    const pacer = new Pacer({ connections: 1, timeout: MINUTE, clock });
    const turn = pacer.acquire("a");
    assert("release" in turn);
    const gone = new AbortController();
    const states: boolean[] = [];
    const waiter = { signal: gone.signal, waiting: (is: boolean) => void states.push(is) };
    const [ended, next] = [pacer.acquire("a", { client: waiter }), pacer.acquire("a")];
    gone.abort();
    assert.deepEqual(await ended, { type: "ended" });
    assert.deepEqual(states, [true, false]);
    turn.release();
    assert.equal((await next).type, "turn");
  });

  it("gives up in time, and lets nobody wait once it is closed", async () => {
    const clock = new FakeClock();
    const pacer = new Pacer({ connections: 1, timeout: MINUTE, clock });
    assert.equal((await pacer.acquire("a")).type, "turn");
    const waiting = pacer.acquire("a");
    assert.deepEqual(pacer.load, { active: 1, waiting: 1, throttled: 0 });
    clock.pass(MINUTE);
    assert.equal((await waiting).type, "late");
    const another = pacer.acquire("a");
    pacer.close();
    assert.equal((await another).type, "late");
    assert.equal((await pacer.acquire("a")).type, "late");
  });
});

describe("one login of the relay for all accounts", () => {
  const of = (clientId: string) => {
    const mail = mailOf(`${clientId}@x.test`);
    return { ...mail, account: { ...ACCOUNT, clientId } };
  };
  const smarthost = (server: FakeServer, clock: FakeClock) =>
    exchangeBackend(server, clock, {
      id: "smarthost",
      login: { type: "none" },
      service: { connections: 20, perMailbox: false, nullSender: true },
    });

  it("is never all taken by one of them", async () => {
    const clock = new FakeClock();
    const server = new FakeServer(clock, 1_000);
    const backend = smarthost(server, clock);
    const deliver = (account: string) =>
      backend.deliver(of(account), { authorization: AUTHORIZATION });
    const busy = Array.from({ length: 100 }, () => deliver("busy"));
    await setImmediate();
    assert.deepEqual([server.active, backend.load.waiting], [15, 85]);
    const quiet = deliver("quiet");
    await setImmediate();
    assert.equal(server.active, 16);
    await finish(clock, Promise.all([...busy, quiet]));
    assert.equal(server.sendings.length, 101);
    assert.equal(clock.alarms, 0);
  });

  it("is used by them in turns", async () => {
    const clock = new FakeClock();
    const server = new FakeServer(clock, 1_000);
    const backend = smarthost(server, clock);
    const order: string[] = [];
    const deliver = async (account: string) => {
      await backend.deliver(of(account), { authorization: AUTHORIZATION });
      order.push(account);
    };
    const accounts = ["a", "b"].flatMap((account) => Array<string>(50).fill(account));
    const all = Promise.all([...accounts, "quiet", "a", "quiet"].map(deliver));
    await finish(clock, all);
    // The first 20 were on their way; then each of the three accounts has its turn.
    assert(order.lastIndexOf("quiet") < 20 + 6, order.join());
    assert.equal(server.mostActive, 20);
  });
});

describe("an unverified token", () => {
  it("does not use up the turns of the app that it claims to be of", async () => {
    const clock = new FakeClock();
    const server = new FakeServer(clock);
    const backend = exchangeBackend(server, clock);
    const claimed = { ...accountWith(tokenOf("claimed")), unverified: () => "claim" };
    for (let i = 0; i < 30; i++) {
      await backend.deliver(mailOf("ann@x.test"), { authorization: claimed, mayWait: false });
    }
    const outcome = await backend.deliver(mailOf("ann@x.test"), { authorization: AUTHORIZATION });
    assert.equal(outcome.type, "sent");
    const accounts = new Set(server.sendings.map(({ server: { account } }) => account));
    assert.equal(accounts.size, 2, "a kept connection must not be used by another login");
    assert(![...accounts].some((account) => account.includes("secret")));
    assert(ACCOUNT.tenantId !== "");
  });
});
