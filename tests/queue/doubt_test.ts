/** QUEUE_AMBIGUOUS: a message whose request that sends has no result, or was cut off by the relay's end. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { SentAnswer } from "../../src/delivery/sent_lookup.ts";
import { doubtPolicy } from "../../src/queue/doubt.ts";
import { ACCOUNT, accountWith, tokenOf } from "../support/submissions.ts";
import {
  AMBIGUOUS,
  DAY,
  HOUR,
  later,
  MINUTE,
  noToken,
  UNREACHABLE,
  World,
  type WorldOptions,
} from "./queue_world.ts";

const SENT: SentAnswer = { type: "sent" };
const NOT_FOUND: SentAnswer = { type: "notFound" };

/** A relay that ended while it sent a message: the service has got it, nobody knows. */
async function interrupted(options: WorldOptions): Promise<{ world: World; id: string }> {
  const before = new World();
  before.answer = () => new Promise(() => {});
  const id = await before.add();
  await before.run();
  const { store, sealer, clock } = before;
  void before.worker.stop();
  store.crash();
  assert.equal(store.stored(id)!.state, "sending");
  return { world: new World({ ...options, store, sealer, clock }), id };
}

/** A message whose first request had no answer. */
async function unclear(options: WorldOptions): Promise<{ world: World; id: string }> {
  const world = new World(options);
  let tries = 0;
  world.answer = () => tries++ === 0 ? AMBIGUOUS : "sent";
  const id = await world.add();
  await world.run();
  return { world, id };
}

for (const [name, begin] of Object.entries({ unclear, interrupted })) {
  describe(`QUEUE_AMBIGUOUS with a message that is ${name}`, () => {
    it("retry: sends it again", async () => {
      const { world, id } = await begin({ mode: "retry" });
      await world.run();
      await world.passUntil(() => world.store.ids().length === 0, 500, MINUTE);
      assert.equal(world.sent.at(-1), id);
      assert.deepEqual(world.questions, []);
      assert.equal(world.queueEvents("sent")[0]!.message.attempts, 2);
    });

    it("hold: holds it until an administrator tries it again", async () => {
      const { world, id } = await begin({ mode: "hold" });
      await world.run();
      await world.pass(4 * DAY, HOUR);
      assert.deepEqual(world.store.ids("held"), [id]);
      assert.match(world.told.join(), /^held/);
      const tried = world.tried.length;
      world.store.retry(id);
      await world.passUntil(() => world.sent.length === 1, 500, MINUTE);
      assert.equal(world.tried.length, tried + 1);
    });

    it("ask: asks after 60 s, and does not send what is in the mailbox", async () => {
      const { world, id } = await begin({ mode: "ask", answers: [SENT] });
      await world.run();
      const tried = world.tried.length;
      const time = await world.passUntil(() => world.questions.length === 1);
      assert(time >= 60_000 && time < 63_000, `${time}`);
      await world.settle();
      assert.deepEqual(world.store.ids(), []);
      assert.equal(world.tried.length, tried, "nothing more is sent");
      assert.equal(world.told.at(-1), `sent ${id} FOUND`);
      const [question] = world.questions;
      assert.equal(question!.sending.messageId, `<${id}@x.test>`);
      assert.equal(question!.sending.mailbox, "ann@x.test");
      assert.equal(question!.isLast, false);
      const began = world.clock.date() - time;
      assert(
        Math.abs(question!.since - began) < 3_000,
        "only copies since the first attempt count",
      );
    });

    it("ask: asks again after 5 min, and sends it if it is not found then either", async () => {
      const { world, id } = await begin({ mode: "ask", answers: [NOT_FOUND] });
      await world.run();
      const tried = world.tried.length;
      const first = await world.passUntil(() => world.questions.length === 1);
      const second = await world.passUntil(() => world.questions.length === 2);
      assert(Math.abs(first + second - 5 * MINUTE) < 5_000, `${first} ${second}`);
      await world.passUntil(() => world.sent.includes(id), 500, MINUTE);
      assert.deepEqual(world.questions.map(({ isLast }) => isLast), [false, true]);
      assert.equal(world.tried.length, tried + 1);
    });

    it("ask: finds it the second time", async () => {
      const { world, id } = await begin({ mode: "ask", answers: [NOT_FOUND, SENT] });
      await world.run();
      const tried = world.tried.length;
      await world.passUntil(() => world.store.ids().length === 0);
      assert.equal(world.tried.length, tried);
      assert.equal(world.told.at(-1), `sent ${id} FOUND`);
    });

    it("ask: sends it again where the app may not ask, with a warning", async () => {
      const forbidden: SentAnswer = { type: "forbidden", detail: "no right" };
      const { world, id } = await begin({ mode: "ask", answers: [forbidden] });
      await world.run();
      await world.passUntil(() => world.sent.includes(id), 500, 5 * MINUTE);
      assert.deepEqual(world.warned, ["no right"]);
    });

    it("ask: asks until there is an answer, but no longer than QUEUE_MAX_AGE", async () => {
      const answers: SentAnswer[] = [{ type: "later", detail: "no answer" }];
      const { world, id } = await begin({ mode: "ask", answers, maxAge: HOUR });
      await world.run();
      const tried = world.tried.length;
      const time = await world.passUntil(() => world.store.ids("dead").length === 1, 10_000);
      assert(Math.abs(time - HOUR) < 2 * MINUTE, `${time / MINUTE} minutes`);
      assert(world.questions.length > 30);
      assert.equal(world.tried.length, tried, "it was never sent without an answer");
      assert.equal(world.told.at(-1), `dead ${id} QUEUE_MAX_AGE ambiguous`);
      // The log, the page and the webhook have this text.
      assert.match(world.queueEvents("dead")[0]!.detail!, /; it may have been sent$/);
    });

    for (const mode of ["ask", "hold"] as const) {
      it(`${mode}: stays in doubt while Entra ID does not answer, also over a restart`, async () => {
        const { world: first, id } = await begin({ mode, answers: [SENT] });
        first.token = () => noToken("later", "ECONNREFUSED");
        await first.run();
        await first.pass(10 * MINUTE, 1000);
        await first.worker.stop();
        const { store, sealer, clock } = first;
        store.crash();
        const world = new World({ mode, answers: [SENT], store, sealer, clock });
        await world.run();
        await world.pass(10 * MINUTE, 1000);
        assert.deepEqual(world.tried, [], "it is not sent again");
        if (mode === "ask") assert.equal(world.told.at(-1), `sent ${id} FOUND`);
        else assert.deepEqual(world.store.ids("held"), [id]);
      });
    }
  });
}

describe("a message in doubt", () => {
  it("is not asked about early because an outage is over", async () => {
    const world = new World({ mode: "ask", answers: [SENT] });
    const [doubtful] = await world.addAll(1, { from: "doubt@x.test" });
    for (let i = 0; i < 3; i++) await world.add({ from: `m${i}@x.test` });
    // The shortest pauses.
    world.clock.chance = 0;
    world.answer = ({ id }) => id === doubtful ? AMBIGUOUS : UNREACHABLE;
    await world.run();
    const start = world.clock.now();
    await world.passUntil(() => world.tried.length > 20, 500, 50_000);
    world.answer = () => "sent";
    await world.passUntil(() => world.sent.length === 3, 500, 10_000);
    assert(world.store.log.some((line) => line.endsWith(" all")), "all are due");
    await world.passUntil(() => world.questions.length === 1);
    assert(world.clock.now() - start >= 60_000, `${world.clock.now() - start}`);
  });

  it("is told by its event, once for each request", async () => {
    const { world, id } = await unclear({ mode: "retry" });
    await world.run();
    await world.passUntil(() => world.sent.length === 1);
    assert.deepEqual(world.told, [`deferred ${id} ECONNRESET ambiguous`, `sent ${id}`]);
  });

  it("is in doubt again with each request that has no answer", async () => {
    const world = new World({ mode: "ask", answers: [NOT_FOUND] });
    let tries = 0;
    world.answer = () => tries++ < 2 ? AMBIGUOUS : "sent";
    await world.add();
    await world.run();
    await world.passUntil(() => world.sent.length === 1, 1000);
    assert.equal(world.questions.length, 4, "two questions before each further request");
    assert.deepEqual(world.questions.map(({ isLast }) => isLast), [false, true, false, true]);
    const [first] = world.questions;
    assert(world.questions.every(({ since }) => since === first!.since), "since the first attempt");
  });

  it("does not hold up its mailbox while it waits to be asked about", async () => {
    const world = new World({ mode: "ask", answers: [SENT] });
    const [doubtful, ...others] = await world.addAll(4);
    world.answer = ({ id }) => id === doubtful ? AMBIGUOUS : "sent";
    await world.run();
    await world.passUntil(() => world.sent.length === 3, 500, 10_000);
    assert.deepEqual(world.sent, others);
  });

  it("that is throttled before it is sent again is in doubt no more", async () => {
    const world = new World({ mode: "ask", answers: [NOT_FOUND] });
    const answers = [AMBIGUOUS, later("ApplicationThrottled", 1000), "sent"] as const;
    let tries = 0;
    world.answer = () => answers[tries++]!;
    await world.add();
    await world.run();
    await world.passUntil(() => world.sent.length === 1, 1000, 10 * MINUTE);
    assert.equal(world.questions.length, 2);
  });
});

describe("a message that waits to be asked about", () => {
  it("is asked about within five minutes, also if the machine's time is set back", async () => {
    const now = 10 * DAY;
    const policy = doubtPolicy({
      mode: "ask",
      service: { lookUp: () => Promise.reject(new Error("asked too early")) },
      forbidden: () => {},
      impossible: () => {},
      clock: { date: () => now },
    });
    const sending = { mailbox: "ann@x.test", messageId: "<1@x.test>" };
    const note = { doubt: true, asked: 0, firstAttempt: now, sending, askAt: now + DAY };
    const login = { account: ACCOUNT, authorization: accountWith(tokenOf("t")) };
    const plan = await policy.resolve(login, note);
    assert(plan.type === "wait");
    assert.equal(plan.due, now + 5 * MINUTE);
    assert.equal(plan.note.askAt, plan.due, "and then it is asked");
  });
});
