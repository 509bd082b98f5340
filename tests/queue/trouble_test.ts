/** A mailbox or the whole back end in trouble holds up no other, and works again soon after it does. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { backoff, Trouble } from "../../src/queue/trouble.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { reply } from "../../src/smtp/reply.ts";
import { ACCOUNT } from "../support/submissions.ts";
import { HOUR, later, MINUTE, UNREACHABLE, World } from "./queue_world.ts";

describe("backoff", () => {
  it("doubles up to the longest, by chance, with at least a tenth", () => {
    const most = (failures: number) => backoff({ random: () => 1 }, failures, 100, 1000);
    assert.deepEqual([1, 2, 3, 4, 5, 50, 5000].map(most), [100, 200, 400, 800, 1000, 1000, 1000]);
    const least = (failures: number) => backoff({ random: () => 0 }, failures, 100, 1000);
    assert.deepEqual([1, 2, 3, 4, 5].map(least), [10, 20, 40, 80, 100]);
  });
});

describe("trouble", () => {
  it("of a mailbox grows with each failure in a row, and ends with a success", () => {
    const clock = new FakeClock();
    clock.chance = 1;
    const trouble = new Trouble(clock);
    const pauses: number[] = [];
    for (let i = 0; i < 10; i++) {
      const pause = trouble.failed("a");
      pauses.push(pause / 1000);
      clock.pass(pause);
    }
    assert.deepEqual(pauses, [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    assert.equal(trouble.wait, 0, "one mailbox is not the back end");
    assert.equal(trouble.succeeded("a"), "mailbox");
    assert.equal(trouble.failed("a"), 2000);
    assert.equal(trouble.succeeded("a"), undefined, "it was no outage");
  });

  it("counts tries that had begun together as one", () => {
    const clock = new FakeClock();
    clock.chance = 1;
    const trouble = new Trouble(clock);
    for (let i = 0; i < 4; i++) assert.equal(trouble.failed("a"), 2000);
    clock.pass(2000);
    assert.equal(trouble.failed("a"), 4000);
  });

  it("of many mailboxes of one account is not that of the back end, where there are others", () => {
    const trouble = new Trouble(new FakeClock());
    trouble.tried("other");
    trouble.tried("hostile");
    for (let i = 0; i < 100; i++) trouble.failed(`${i}`, "hostile");
    assert.equal(trouble.isOutage, false);
    assert.equal(trouble.wait, 0);
    trouble.tried("other");
    trouble.failed("of the other", "other");
    assert.equal(trouble.isOutage, true);
    trouble.succeeded("of the other");
    assert.equal(trouble.isOutage, false);
  });

  it("of many mailboxes of the only account is that of the back end", () => {
    const trouble = new Trouble(new FakeClock());
    trouble.tried("only");
    for (const mailbox of ["a", "b", "c"]) trouble.failed(mailbox, "only");
    assert.equal(trouble.isOutage, true);
    trouble.tried("new");
    assert.equal(trouble.isOutage, false, "another one may work");
  });

  it("of mailboxes that are full is not that of the back end", () => {
    const trouble = new Trouble(new FakeClock());
    for (let i = 0; i < 100; i++) assert(trouble.failed(`${i}`, "only", false) > 0);
    assert.equal(trouble.isOutage, false);
    assert.equal(trouble.failing.size, 100);
  });

  it("of three mailboxes in a row is that of the back end", () => {
    const trouble = new Trouble(new FakeClock());
    for (const mailbox of ["a", "b", "a", "b"]) {
      trouble.failed(mailbox);
      assert.equal(trouble.isOutage, false);
    }
    trouble.failed("c");
    assert.equal(trouble.isOutage, true);
    assert(trouble.wait > 0);
    trouble.succeeded("d");
    assert.equal(trouble.isOutage, false);
    assert.equal(trouble.wait, 0);
    assert.deepEqual(
      [...trouble.failing.keys()],
      ["a", "b", "c"],
      "they may fail for other reasons",
    );
  });

  it("of the back end has short pauses, so that a mailbox that works waits for no long one", () => {
    const clock = new FakeClock();
    clock.chance = 1;
    const trouble = new Trouble(clock);
    for (let i = 0; i < 1000; i++) {
      trouble.failed(`${i}`);
      assert(trouble.wait <= 15_000);
      clock.pass(trouble.wait);
    }
  });

  it("is remembered of 10000 mailboxes at most", () => {
    const trouble = new Trouble(new FakeClock());
    for (let i = 0; i < 10_010; i++) trouble.failed(`${i}`);
    assert.equal(trouble.failing.size, 10_000);
    assert.equal(trouble.failing.has("9"), false);
    assert.equal(trouble.failing.has("10"), true);
  });

  it("does not end with the success of a mailbox that had none", () => {
    const clock = new FakeClock();
    const trouble = new Trouble(clock);
    for (let i = 0; i < 12; i++) {
      for (const mailbox of ["a", "b", "c"]) trouble.failed(mailbox);
      clock.pass(HOUR);
    }
    assert.equal(trouble.succeeded("d"), undefined);
    assert.equal(trouble.succeeded("a"), "all", "the first that failed for long");
    assert.equal(trouble.succeeded("b"), undefined);
  });
});

describe("a queue in trouble", () => {
  it("tries one message of a mailbox that fails at a time, then the oldest again", async () => {
    const world = new World();
    const ids = await world.addAll(8);
    world.answer = () => UNREACHABLE;
    await world.run();
    assert.deepEqual(world.tried, ids.slice(0, 4));
    world.mostOfMailbox = 0;
    await world.pass(10 * MINUTE, 1000);
    assert.equal(world.mostOfMailbox, 1);
    assert(world.tried.length < 20, `${world.tried.length} tries in ten minutes`);
  });

  it("sends mail of others while two mailboxes fail", async () => {
    const world = new World();
    world.answer = ({ mailbox }) => mailbox.startsWith("bad") ? UNREACHABLE : "sent";
    await world.addAll(20, { from: "bad1@x.test" });
    await world.addAll(20, { from: "bad2@x.test" });
    const good = await world.addAll(20, { from: "good@x.test" });
    const now = world.clock.now();
    await world.run();
    assert.deepEqual(world.sent, good);
    assert.equal(world.clock.now(), now);
  });

  it("sends mail of others soon while many mailboxes fail, though their mail is older", async () => {
    const world = new World();
    world.answer = ({ mailbox }) => mailbox.startsWith("bad") ? UNREACHABLE : "sent";
    for (let i = 0; i < 200; i++) await world.addAll(5, { from: `bad${i}@x.test` });
    await world.run();
    await world.pass(HOUR, 5_000);
    const tries = world.tried.length;
    for (let i = 0; i < 10; i++) {
      const [id] = await world.addAll(1, { from: `good${i}@x.test` });
      const time = await world.passUntil(() => world.sent.includes(id!));
      assert(time <= 16_000, `${time} ms`);
      await world.pass(MINUTE, 5_000);
    }
    assert(tries < 1500, `${tries} tries in an hour: the service is not pressed`);
  });

  it("gives mailboxes whose tries take long no more than a quarter of the places", async () => {
    const world = new World();
    world.answer = ({ mailbox }) =>
      mailbox.startsWith("bad") ? world.clock.sleep(MINUTE).then(() => UNREACHABLE) : "sent";
    for (let i = 0; i < 100; i++) await world.addAll(3, { from: `bad${i}@x.test` });
    await world.run();
    await world.pass(30 * MINUTE, 5_000);
    await world.add({ from: "good@x.test" });
    await world.passUntil(() => world.sent.length === 1);
    await world.pass(10 * MINUTE, 5_000);
    const [id] = await world.addAll(1, { from: "good@x.test" });
    const time = await world.passUntil(() => world.sent.includes(id!));
    assert(time <= 76_000, `${time} ms`);
  });

  it("sends mail of others at once while the mailboxes of many accounts are full", async () => {
    const world = new World();
    const full = { ...later("ErrorQuotaExceeded"), reply: reply(452, "4.2.2", "full") };
    world.answer = ({ mailbox }) => mailbox.startsWith("full") ? full : "sent";
    for (let i = 0; i < 20; i++) {
      await world.add({ from: `full${i}@x.test`, account: { ...ACCOUNT, clientId: `${i}` } });
    }
    await world.run();
    const [id] = await world.addAll(1, { from: "good@x.test" });
    await world.settle();
    assert.deepEqual(world.sent, [id]);
  });

  it("tries eight messages at a time of mailboxes in trouble, if they were so one by one", async () => {
    const world = new World();
    const isBad = (mailbox: string) => mailbox.startsWith("bad");
    world.answer = ({ mailbox }) => isBad(mailbox) ? UNREACHABLE : "sent";
    await world.run();
    for (let i = 0; i < 20; i++) {
      await world.addAll(2, { from: `bad${i}@x.test`, connection: `of ${i}` });
      await world.settle();
      await world.add({ from: "good@x.test" });
      await world.settle();
    }
    assert.equal(world.sent.length, 20, "the back end works");
    let open = () => {};
    const opened = new Promise<"sent">((resolve) => open = () => resolve("sent"));
    world.answer = ({ mailbox }) => isBad(mailbox) ? opened : "sent";
    world.most = 0;
    await world.pass(5 * MINUTE, 1_000);
    assert.equal(world.most, 8);
    await world.add({ from: "good@x.test" });
    await world.settle();
    assert.equal(world.sent.length, 21);
    open();
    await world.passUntil(() => world.store.ids().length === 0);
  });

  it("sends all in the old order soon after an outage", async () => {
    const world = new World();
    world.clock.chance = 0.9;
    const ids = new Map<string, string[]>();
    for (let i = 0; i < 20; i++) {
      const from = `m${i}@x.test`;
      ids.set(from, await world.addAll(20, { from, connection: from }));
    }
    world.answer = () => UNREACHABLE;
    await world.run();
    await world.pass(HOUR, 1_000);
    const { length } = world.tried;
    assert(length < 1000, `${length} tries in an hour`);
    world.answer = () => "sent";
    const time = await world.passUntil(() => world.sent.length === 400);
    assert(time <= 20_000, `${time} ms`);
    for (const own of ids.values()) {
      assert.deepEqual(world.sent.filter((id) => own.includes(id)), own);
    }
    assert(world.mostOfMailbox <= 4);
  });

  it("sends a mailbox's mail in the old order after its own trouble", async () => {
    const world = new World({ limits: { mailbox: 1 } });
    const ids = await world.addAll(6);
    world.answer = () => later("ErrorMailboxMoveInProgress");
    await world.run();
    await world.pass(HOUR, 1_000);
    world.answer = () => "sent";
    const time = await world.passUntil(() => world.sent.length === 6);
    assert(time <= 6 * MINUTE, `${time} ms`);
    assert(world.store.log.some((line) => line.endsWith(" mailbox")));
    // The one that shows that the mailbox works need not be the oldest.
    const [first, ...rest] = world.sent;
    assert.deepEqual(rest, ids.filter((id) => id !== first));
  });

  it("goes on when the machine's time is set back in an outage", async () => {
    const world = new World();
    world.answer = () => UNREACHABLE;
    for (let i = 0; i < 5; i++) await world.add({ from: `m${i}@x.test` });
    await world.run();
    await world.pass(MINUTE);
    const date = world.clock.date.bind(world.clock);
    world.clock.date = () => date() - HOUR;
    world.answer = () => "sent";
    const [id] = await world.addAll(1, { from: "new@x.test" });
    const time = await world.passUntil(() => world.sent.includes(id!));
    assert(time <= 16_000, `${time} ms`);
  });
});

describe("one account's many mailboxes that fail", () => {
  const HOSTILE = { ...ACCOUNT, clientId: "99999999-bbbb-4ccc-8ddd-eeeeeeeeeeee" };

  for (
    const [what, count, refusal] of [
      ["are full", 300, { ...later("ErrorQuotaExceeded"), reply: reply(452, "4.2.2", "full") }],
      ["get no token", 300, later("AADSTS90055")],
    ] as const
  ) {
    it(`because they ${what} hold up no other account`, async () => {
      const world = new World();
      world.answer = ({ mailbox }) => mailbox.startsWith("bad") ? refusal : "sent";
      await world.add({ from: "before@x.test" });
      await world.run();
      for (let i = 0; i < count; i++) await world.add({ from: `bad${i}@x.test`, account: HOSTILE });
      const good = await world.add({ from: "good@x.test" });
      const waited = await world.passUntil(() => world.sent.includes(good), 500, HOUR);
      assert(waited < 10_000, `${waited}`);
      await world.worker.stop();
    });
  }
});
