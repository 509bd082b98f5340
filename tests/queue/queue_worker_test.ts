/** Which messages the worker sends, how many at once, in which order; a store that fails; the stop. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { StoreError } from "../../src/queue/store.ts";
import { lengthOf } from "../../src/smtp/content.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { MemoryQueue } from "../support/memory_queue.ts";
import { until } from "../support/until.ts";
import { AMBIGUOUS, HOUR, later, MINUTE, UNREACHABLE, World } from "./queue_world.ts";
import { ACCOUNT } from "../support/submissions.ts";

/** Answers that are given when the test says so. */
function gate(world: World) {
  const waiting = new Map<string, () => void>();
  world.answer = ({ id }) =>
    new Promise((resolve) =>
      waiting.set(id, () => {
        waiting.delete(id);
        resolve("sent");
      })
    );
  return {
    open: async (...ids: readonly string[]) => {
      for (const id of ids) waiting.get(id)!();
      await world.settle();
    },
    openAll: () => {
      world.answer = () => "sent";
      for (const open of [...waiting.values()]) open();
    },
    get waiting() {
      return [...waiting.keys()];
    },
  };
}

const FULL = () => {
  throw new StoreError("SQLITE_FULL", "the disk is full", true);
};

describe("the queue's worker", () => {
  it("records that a message is sent before the request, and removes it after the answer", async () => {
    const world = new World();
    const id = await world.add();
    await world.run();
    assert.deepEqual(world.store.log, [`add ${id}`, `sending ${id}`, `remove ${id}`]);
    assert.deepEqual(world.told, [`sent ${id}`]);
    const [event] = world.queueEvents();
    assert.equal(event!.message.attempts, 1);
    assert.equal(event!.message.record!.envelope.from, "ann@x.test");
  });

  it("sends what is added while it waits, without a poll", async () => {
    const world = new World();
    await world.run();
    const now = world.clock.now();
    await world.add();
    await world.settle();
    assert.equal(world.sent.length, 1);
    assert.equal(world.clock.now(), now);
  });

  it("sends what is added while the store says that there is nothing, without a poll", async () => {
    const clock = new FakeClock();
    const store = new MemoryQueue(clock);
    const take = store.take.bind(store);
    let answered = () => Promise.resolve();
    store.take = async (...asked) => {
      const taken = await take(...asked);
      await answered();
      return taken;
    };
    const world = new World({ clock, store });
    answered = async () => {
      answered = () => Promise.resolve();
      await world.add();
    };
    await world.run();
    assert.equal(world.sent.length, 1);
    assert.equal(clock.now(), 1000, "no time has passed");
  });

  it("frees the memory of a content once it was tried", async () => {
    const world = new World();
    let length = 0;
    world.answer = () => {
      length = lengthOf(world.lastContent);
      return "sent";
    };
    await world.add({ content: "x".repeat(100_000) });
    await world.run();
    assert.equal(length, 100_000);
    assert.equal(lengthOf(world.lastContent), 0);
  });

  it("asks the store seldom while there is nothing to do", async () => {
    const world = new World();
    await world.run();
    const { takes } = world.store;
    await world.pass(MINUTE);
    assert(world.store.takes - takes <= 12, `${world.store.takes - takes} times in a minute`);
  });

  it("does not ask the store about a message whose mailbox it leaves alone", async () => {
    const world = new World();
    world.refusal = () => UNREACHABLE;
    await world.add();
    await world.run();
    const { takes } = world.store;
    await world.addAll(5);
    await world.settle();
    assert.equal(world.store.takes, takes);
    world.refusal = () => undefined;
    assert(await world.passUntil(() => world.sent.length === 6) <= 5_000);
  });

  it("does not ask the store about a message whose mailbox is busy, until it is not", async () => {
    const world = new World();
    const gated = gate(world);
    const [first] = await world.addAll(4);
    await world.run();
    const { takes } = world.store;
    const last = await world.add();
    await world.settle();
    assert.equal(world.store.takes, takes);
    await gated.open(first!);
    assert(gated.waiting.includes(last));
  });

  it("sees within five seconds what an administrator changes", async () => {
    const world = new World();
    world.refusal = () => ({ ...later("AADSTS7000215"), type: "refused" });
    const id = await world.add();
    await world.run();
    assert.equal(world.store.stored(id)!.state, "held");
    await world.pass(MINUTE);
    world.refusal = () => undefined;
    world.store.retry(id);
    assert(await world.passUntil(() => world.sent.length === 1) <= 5_000);
  });

  it("sends as many of one mailbox at once as it may, and no more", async () => {
    const world = new World();
    const gated = gate(world);
    const ids = await world.addAll(10);
    await world.run();
    assert.deepEqual(gated.waiting, ids.slice(0, 4));
    await gated.open(ids[1]!);
    assert.deepEqual(gated.waiting, [ids[0], ids[2], ids[3], ids[4]]);
    gated.openAll();
    await world.settle();
    assert.equal(world.sent.length, 10);
    assert.equal(world.mostOfMailbox, 4);
  });

  it("sends 32 at once in all, and of busy mailboxes none that another could send", async () => {
    const world = new World();
    const gated = gate(world);
    for (let i = 0; i < 20; i++) await world.addAll(4, { from: `m${i}@x.test` });
    await world.run();
    assert.equal(gated.waiting.length, 32);
    const mailboxes = [...world.active.values()].filter((count) => count > 0);
    assert.equal(mailboxes.length, 20, "every mailbox has its turn");
    gated.openAll();
    await world.passUntil(() => world.sent.length === 80);
    assert.equal(world.most, 32);
  });

  it("keeps places for other accounts, however many mailboxes of one are slow", async () => {
    const world = new World();
    const gated = gate(world);
    for (let i = 0; i < 60; i++) await world.add({ from: `m${i}@x.test` });
    await world.run();
    assert.equal(gated.waiting.length, 32);
    const account = { ...ACCOUNT, clientId: "33333333-3333-3333-3333-333333333333" };
    const others: string[] = [];
    for (let i = 0; i < 10; i++) others.push(await world.add({ from: `o${i}@x.test`, account }));
    await world.settle();
    assert.deepEqual(gated.waiting.slice(32), others.slice(0, 8));
    await gated.open(others[0]!, others[1]!);
    assert.deepEqual(gated.waiting.slice(32), others.slice(2, 10));
    // The account's own next ones follow as its places become free.
    await gated.open(...gated.waiting.slice(0, 5));
    assert.equal(gated.waiting.length, 40);
    gated.openAll();
    await world.passUntil(() => world.sent.length === 70);
    assert.equal(world.most, 40);
  });

  it("gives a mailbox its turn that has failed, however much other mail there is", async () => {
    const world = new World();
    const bad = await world.add({ from: "bad@x.test" });
    for (let i = 0; i < 40; i++) await world.addAll(25, { from: `m${i}@x.test` });
    let failures = 0;
    world.answer = async ({ id }) => {
      await world.clock.sleep(1000);
      return id === bad && failures++ === 0 ? UNREACHABLE : "sent";
    };
    await world.run();
    await world.passUntil(() => world.sent.includes(bad));
    assert(world.sent.length < 500, `after ${world.sent.length} others`);
  });

  it("keeps the order within a connection, one at a time", async () => {
    const world = new World();
    const gated = gate(world);
    const first = await world.addAll(5, { connection: "one" });
    const [other] = await world.addAll(1, { connection: "two" });
    await world.run();
    assert.deepEqual(gated.waiting, [first[0], other]);
    gated.openAll();
    await world.settle();
    assert.deepEqual(world.sent.filter((id) => first.includes(id)), first);
  });

  it("sends the oldest of a mailbox first", async () => {
    const world = new World({ limits: { mailbox: 1 } });
    const ids = [...await world.addAll(7), ...await world.addAll(7, { from: "bea@x.test" })];
    await world.run();
    const ofAnn = ids.slice(0, 7);
    assert.deepEqual(world.sent.filter((id) => ofAnn.includes(id)), ofAnn);
    assert.deepEqual(world.sent.filter((id) => !ofAnn.includes(id)), ids.slice(7));
  });

  it("holds no more octets in memory than its share", async () => {
    const octets = 1000;
    const world = new World({ limits: { octets } });
    const gated = gate(world);
    const content = "x".repeat(400);
    const ids: string[] = [];
    for (let i = 0; i < 5; i++) ids.push(await world.add({ from: `m${i}@x.test`, content }));
    await world.run();
    assert.deepEqual(gated.waiting, ids.slice(0, 2));
    await gated.open(ids[0]!);
    assert.deepEqual(gated.waiting, [ids[1], ids[2]]);
    const large = await world.add({ content: "x".repeat(5000) });
    gated.openAll();
    await world.settle();
    assert.equal(world.sent.at(-1), large, "a message that is larger than the share is sent alone");
  });

  it("does not read a content that it has no memory for", async () => {
    const world = new World({ limits: { octets: 1000 } });
    const gated = gate(world);
    const read: string[] = [];
    world.store.before = (operation, id) => {
      if (operation === "content") read.push(id);
    };
    const content = "x".repeat(900);
    const ids: string[] = [];
    for (let i = 0; i < 3; i++) ids.push(await world.add({ from: `m${i}@x.test`, content }));
    await world.run();
    assert.deepEqual(read, ids.slice(0, 1));
    gated.openAll();
    await world.settle();
    assert.deepEqual(read, ids);
  });

  it("goes on if a message has a fault of its own", async () => {
    const world = new World();
    const [bad, good] = await world.addAll(2);
    world.refusal = ({ id }) => {
      if (id === bad) throw new TypeError("a bug");
      return undefined;
    };
    await world.run();
    assert.deepEqual(world.sent, [good]);
    assert.deepEqual(world.told, [`deferred ${bad} FAULT`, `sent ${good}`]);
    assert(world.events.some((event) => event.type === "fault"), "the fault is reported");
    world.refusal = () => undefined;
    await world.passUntil(() => world.sent.includes(bad!));
  });

  it("leaves a message in doubt if the fault came after its request was begun", async () => {
    const world = new World({ mode: "hold" });
    const id = await world.add();
    world.answer = () => {
      throw new TypeError("a bug");
    };
    await world.run();
    assert.deepEqual(world.told, [`held ${id} FAULT ambiguous`]);
  });

  it("goes on if a content cannot be read, and reads it again", async () => {
    const world = new World();
    const [bad, good] = await world.addAll(2);
    let broken = true;
    world.store.before = (operation, id) => {
      if (operation === "content" && id === bad && broken) throw new StoreError("EIO", "bad disk");
    };
    await world.run();
    assert.deepEqual(world.sent, [good]);
    assert.deepEqual(world.told, [`deferred ${bad} EIO`, `sent ${good}`]);
    broken = false;
    await world.passUntil(() => world.sent.length === 2);
  });
});

describe("a queue whose store fails", () => {
  it("does not send a message that it cannot record as begun", async () => {
    const world = new World();
    let fails = true;
    world.store.before = (operation) => {
      if (operation === "sending" && fails) FULL();
    };
    const id = await world.add();
    await world.run();
    await world.pass(MINUTE);
    assert.deepEqual(world.tried, []);
    assert.equal(world.store.stored(id)!.attempts, 0, "nothing was begun");
    fails = false;
    await world.passUntil(() => world.sent.length === 1);
    assert.deepEqual(world.tried, [id]);
  });

  it("records a result until that works, and sends nothing twice", async () => {
    const world = new World();
    let failures = 0;
    world.store.before = (operation) => {
      if (operation === "remove" && failures++ < 20) FULL();
    };
    const id = await world.add();
    await world.run();
    assert.deepEqual(world.sent, [id]);
    assert.deepEqual(world.told, [], "it is told once it is stored");
    await world.passUntil(() => world.store.ids().length === 0);
    assert.deepEqual(world.tried, [id]);
    assert.deepEqual(world.told, [`sent ${id}`]);
    const store = world.events.filter(({ type }) => type.startsWith("queue") && type !== "queue");
    assert.equal(store[0]!.type, "queueFailed");
    assert.equal(store.at(-1)!.type, "queueRecovered");
  });

  it("records a failure until that works too", async () => {
    const world = new World();
    let failures = 0;
    world.store.before = (operation) => {
      if (operation === "giveBack" && failures++ < 5) FULL();
    };
    world.answer = () => later("ErrorQuotaExceeded");
    const id = await world.add();
    await world.run();
    assert.equal(world.store.stored(id)!.state, "sending");
    await world.passUntil(() => world.told.length > 0);
    assert.deepEqual(world.store.log.slice(0, 3), [`add ${id}`, `sending ${id}`, `queued ${id}`]);
    assert.equal(failures >= 6, true);
  });

  it("leaves a message in doubt if it cannot record the result until the stop", async () => {
    const world = new World();
    world.store.before = (operation) => {
      if (operation === "remove") FULL();
    };
    const id = await world.add();
    await world.run();
    await world.clock.passUntil(world.worker.stop());
    assert.equal(world.store.stored(id)!.state, "sending");
    assert.deepEqual(world.sent, [id]);
  });

  it("takes again once it works, and does not ask it without a pause", async () => {
    const world = new World();
    let fails = true;
    world.store.before = (operation) => {
      if (operation === "take" && fails) FULL();
    };
    await world.add();
    await world.run();
    const { takes } = world.store;
    await world.pass(10_000);
    assert(world.store.takes - takes <= 11, `${world.store.takes - takes} times`);
    assert.deepEqual(world.sent, []);
    fails = false;
    await world.passUntil(() => world.sent.length === 1, 500, 2_000);
    assert(world.events.some(({ type }) => type === "queueRecovered"));
  });

  it("does not send a message that was deleted after it was taken", async () => {
    const world = new World();
    const id = await world.add();
    world.refusal = () => {
      world.store.delete(id);
      return undefined;
    };
    await world.run();
    await world.pass(MINUTE);
    assert.deepEqual(world.tried, []);
    assert.deepEqual(world.store.ids(), []);
    assert.deepEqual(world.told, []);
  });
});

describe("the stop of a queue", () => {
  it("takes nothing more, and waits for what is under way", async () => {
    const world = new World();
    const gated = gate(world);
    const ids = await world.addAll(6);
    await world.run();
    let stopped = false;
    const stop = world.worker.stop().then(() => stopped = true);
    await world.settle();
    assert.equal(stopped, false);
    gated.openAll();
    await stop;
    assert.deepEqual(world.sent, ids.slice(0, 4));
    assert.deepEqual(world.store.ids("queued"), ids.slice(4));
  });

  it("begins no request for what was taken already", async () => {
    const world = new World();
    const ids = await world.addAll(2);
    let release: () => void;
    const held = new Promise<void>((resolve) => release = resolve);
    world.store.before = (operation) => operation === "content" ? held : undefined;
    await world.run();
    const stop = world.worker.stop();
    release!();
    await stop;
    assert.deepEqual(world.tried, []);
    assert.deepEqual(world.store.ids("queued"), ids);
    assert.equal(world.store.stored(ids[0]!)!.attempts, 0);
    assert.deepEqual(world.told, [], "nothing has happened to them");
  });

  it("ends the wait for memory", async () => {
    const world = new World({ limits: { octets: 10 } });
    const gated = gate(world);
    const ids = await world.addAll(3);
    await world.run();
    assert.deepEqual(gated.waiting, ids.slice(0, 1));
    const stop = world.worker.stop();
    gated.openAll();
    await stop;
    assert.deepEqual(world.sent, ids.slice(0, 1));
    assert.deepEqual(world.store.ids("queued"), ids.slice(1));
  });

  it("comes at once while nothing is under way, also in an outage", async () => {
    const world = new World();
    world.answer = () => UNREACHABLE;
    for (let i = 0; i < 5; i++) await world.add({ from: `m${i}@x.test` });
    await world.run();
    await world.pass(10_000);
    await world.worker.stop();
    await world.pass(HOUR, MINUTE);
    const { length } = world.tried;
    await world.pass(HOUR, MINUTE);
    assert.equal(world.tried.length, length, "nothing is tried any more");
  });

  it("comes while a worker was never started", async () => {
    await new World().worker.stop();
  });
});

describe("a relay that starts again", () => {
  it("sends what was queued, and what was in doubt, the oldest first", async () => {
    const before = new World({ limits: { mailbox: 1 } });
    const gated = gate(before);
    const ids = await before.addAll(3);
    await before.run();
    await until(() => gated.waiting.length === 1);
    // The process ends here.
    const { store, sealer, clock } = before;
    void before.worker.stop();
    store.crash();
    const world = new World({ store, sealer, clock, limits: { mailbox: 1 } });
    assert.equal(store.stored(ids[0]!)!.state, "sending");
    await world.run();
    assert.deepEqual(world.sent, ids);
    assert.equal(world.queueEvents()[0]!.message.attempts, 2);
  });

  it("keeps how long a service has asked to wait", async () => {
    const before = new World();
    before.answer = () => later("ApplicationThrottled", 10 * MINUTE);
    const id = await before.add();
    await before.run();
    await before.worker.stop();
    const { store, sealer, clock } = before;
    store.crash();
    const world = new World({ store, sealer, clock });
    const second = await world.add();
    await world.run();
    assert(await world.passUntil(() => world.sent.length === 2) >= 10 * MINUTE);
    assert.deepEqual(world.sent, [id, second]);
  });

  it("keeps how often a message has failed", async () => {
    const before = new World();
    before.answer = () => AMBIGUOUS;
    const id = await before.add();
    await before.run();
    await before.pass(20 * MINUTE, 1000);
    const { attempts } = before.store.stored(id)!;
    assert(attempts > 3);
    await before.worker.stop();
    const { store, sealer, clock } = before;
    store.crash();
    const world = new World({ store, sealer, clock });
    await world.run();
    await world.passUntil(() => world.sent.length === 1);
    assert.equal(world.queueEvents("sent")[0]!.message.attempts, attempts + 1);
  });
});
