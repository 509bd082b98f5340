/** Turns of a mailbox: how many at once, in which order, and what ends a wait. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  type LimitedMailbox,
  MailboxLimiter,
  type WaitEnd,
} from "../../src/graph/mailbox_limiter.ts";
import { FakeClock } from "../support/fake_clock.ts";

const TENANT = "11111111-2222-4333-8444-555555555555";
const APP = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee";

interface Asked {
  /** Undefined while it waits. */
  slot: LimitedMailbox | WaitEnd | undefined;
  /** Ends the wait, while there is one. */
  end: (() => void) | undefined;
}

function setUp({ concurrency = 2, timeout = 60_000 } = {}) {
  const clock = new FakeClock();
  const limiter = new MailboxLimiter({ concurrency, timeout, clock });
  /** Requests a turn; an immediate result is set immediately. */
  function ask(mailbox = "ann@x.test", app = APP, tenant = TENANT): Asked {
    const asked: Asked = { slot: undefined, end: undefined };
    const controller = new AbortController();
    const turn = limiter.acquire(tenant, app, mailbox, {
      signal: controller.signal,
      waiting: (isWaiting) => asked.end = isWaiting ? () => controller.abort() : undefined,
    });
    if (turn instanceof Promise) void turn.then((slot) => asked.slot = slot);
    else asked.slot = turn;
    return asked;
  }
  return { clock, limiter, ask };
}

/** Runs the callbacks of settled promises. */
async function settle(): Promise<void> {
  for (let i = 0; i < 5; i++) await Promise.resolve();
}

function mailboxOf({ slot }: Asked): LimitedMailbox {
  assert(typeof slot === "object", "has no turn");
  return slot;
}

function states(asked: readonly Asked[]): string {
  const state = ({ slot }: Asked) =>
    slot === undefined ? "w" : slot === "late" ? "x" : slot === "ended" ? "e" : "T";
  return asked.map(state).join("");
}

describe("the mailbox limiter", () => {
  it("gives as many concurrent turns as GRAPH_CONCURRENCY, without waiting", () => {
    const { ask, clock } = setUp({ concurrency: 3 });
    assert.equal(states([ask(), ask(), ask(), ask(), ask()]), "TTTww");
    assert.equal(clock.alarms, 1);
  });

  it("sets no alarm and creates no promise while there is room", () => {
    const { limiter, clock } = setUp();
    const first = limiter.acquire(TENANT, APP, "ann@x.test");
    const second = limiter.acquire(TENANT, APP, "ann@x.test");
    assert(!(first instanceof Promise) && !(second instanceof Promise));
    first.release();
    second.release();
    assert.equal(clock.alarms, 0);
  });

  it("gives the others their turn in the order of their arrival", async () => {
    const { ask } = setUp({ concurrency: 1 });
    const asked = Array.from({ length: 6 }, () => ask());
    for (let turn = 0; turn < asked.length; turn++) {
      await settle();
      assert.equal(states(asked), "T".repeat(turn + 1) + "w".repeat(5 - turn));
      mailboxOf(asked[turn]!).release();
    }
  });

  it("ends a cancelled wait, and removes it from the queue", async () => {
    const { ask, limiter, clock } = setUp({ concurrency: 1 });
    const asked = Array.from({ length: 4 }, () => ask());
    assert.equal(asked[0]!.end, undefined);
    asked[1]!.end!();
    asked[3]!.end!();
    await settle();
    assert.equal(states(asked), "Tewe");
    // The end of the wait is reported once.
    assert.deepEqual(asked.map(({ end }) => end !== undefined), [false, false, true, false]);
    mailboxOf(asked[0]!).release();
    await settle();
    assert.equal(states(asked), "TeTe");
    assert.equal(asked[2]!.end, undefined);
    mailboxOf(asked[2]!).release();
    assert.equal(limiter.size, 0);
    clock.pass(60_000);
    await settle();
    assert.equal(states(asked), "TeTe");
  });

  it("lets no newcomer in before those that wait when a turn becomes free", async () => {
    const { ask } = setUp({ concurrency: 1 });
    const first = ask();
    const second = ask();
    mailboxOf(first).release();
    const third = ask();
    await settle();
    assert.equal(states([second, third]), "Tw");
  });

  it("ends each wait after its own PACING_TIMEOUT", async () => {
    const { ask, clock } = setUp({ concurrency: 1, timeout: 60_000 });
    const first = ask();
    const second = ask();
    clock.pass(20_000);
    const third = ask();
    clock.pass(39_999);
    await settle();
    assert.equal(states([first, second, third]), "Tww");
    clock.pass(1);
    await settle();
    assert.equal(states([first, second, third]), "Txw");
    // An ended wait does not block later ones.
    mailboxOf(first).release();
    await settle();
    assert.equal(states([third]), "T");
  });

  it("counts by app and mailbox, ignoring case", () => {
    const { ask, limiter } = setUp({ concurrency: 1 });
    const other = "99999999-2222-4333-8444-555555555555";
    const asked = [
      ask("ann@x.test"),
      ask("ANN@X.test"),
      ask("bea@x.test"),
      ask("ann@x.test", other),
      ask("ann@x.test", APP, other),
    ];
    assert.equal(states(asked), "TwTTT");
    assert.equal(limiter.size, 4);
  });

  it("forgets a mailbox without requests, however it was used", async () => {
    const { ask, limiter, clock } = setUp({ concurrency: 2, timeout: 1000 });
    for (let i = 0; i < 1000; i++) mailboxOf(ask(`user${i}@x.test`)).release();
    assert.equal(limiter.size, 0);

    const three = [ask(), ask(), ask()];
    for (const one of three) {
      await settle();
      mailboxOf(one).release();
    }
    assert.deepEqual([limiter.size, clock.alarms], [0, 0]);

    const asked = Array.from({ length: 5 }, () => ask());
    clock.pass(1000);
    await settle();
    assert.equal(states(asked), "TTxxx");
    mailboxOf(asked[0]!).throttled(5000);
    mailboxOf(asked[0]!).release();
    mailboxOf(asked[1]!).release();
    // The pause still has to be remembered.
    assert.equal(limiter.size, 1);
    clock.pass(5000);
    assert.equal(limiter.size, 0);
    assert.equal(clock.alarms, 0);
  });
});

describe("a mailbox that Graph throttles", () => {
  it("gives no turn before Retry-After is over, then continues in order", async () => {
    const { ask, clock } = setUp({ concurrency: 2 });
    const first = ask();
    const second = ask();
    mailboxOf(first).throttled(10_000);
    const third = ask();
    mailboxOf(second).release();
    mailboxOf(first).release();
    const fourth = ask();
    clock.pass(9_999);
    await settle();
    assert.equal(states([third, fourth]), "ww");
    clock.pass(1);
    await settle();
    assert.equal(states([third, fourth]), "Tw");
  });

  it("keeps the longest of several pauses, which count for PACING_TIMEOUT", async () => {
    const { ask, clock } = setUp({ concurrency: 4, timeout: 15_000 });
    const [first, second] = [ask(), ask()];
    mailboxOf(first).throttled(10_000);
    mailboxOf(second).throttled(2_000);
    mailboxOf(first).release();
    const third = ask();
    clock.pass(9_999);
    await settle();
    assert.equal(states([third]), "w");
    // This pause ends too late for the waiting requests: they do not wait for it.
    mailboxOf(second).throttled(20_000);
    await settle();
    assert.equal(states([third]), "x");
    const fourth = ask();
    await settle();
    assert.equal(states([fourth]), "x");
    mailboxOf(second).release();
    clock.pass(5_001);
    const fifth = ask();
    clock.pass(14_999);
    await settle();
    assert.equal(states([fifth]), "T");
  });

  it("does not slow another mailbox", () => {
    const { ask } = setUp({ concurrency: 1 });
    const ann = ask("ann@x.test");
    mailboxOf(ann).throttled(30_000);
    assert.equal(states([ask("ann@x.test"), ask("bea@x.test"), ask("cid@x.test")]), "wTT");
  });

  it("pauses for ten minutes at most, whatever Retry-After says", async () => {
    const { ask, clock } = setUp({ timeout: 3_600_000 });
    const first = mailboxOf(ask());
    first.throttled(86_400_000);
    const waiting = ask();
    first.release();
    clock.pass(599_999);
    await settle();
    assert.equal(states([waiting]), "w");
    clock.pass(1);
    await settle();
    assert.equal(states([waiting]), "T");
  });

  it("has one concurrent turn less per throttled request, but at least one", async () => {
    const { ask } = setUp({ concurrency: 4 });
    const asked = Array.from({ length: 4 }, () => ask());
    mailboxOf(asked[0]!).throttled();
    mailboxOf(asked[1]!).throttled();
    const waiting = [ask(), ask(), ask()];
    mailboxOf(asked[3]!).release();
    mailboxOf(asked[2]!).release();
    await settle();
    assert.equal(states(waiting), "www", "two are left, and two are the limit now");
    mailboxOf(asked[1]!).release();
    await settle();
    assert.equal(states(waiting), "Tww");
    for (let i = 0; i < 9; i++) mailboxOf(asked[0]!).throttled();
    mailboxOf(asked[0]!).release();
    mailboxOf(waiting[0]!).release();
    await settle();
    assert.equal(states(waiting), "TTw");
  });

  it("gets its turns back when Graph accepts one message after the other", async () => {
    const { ask } = setUp({ concurrency: 2 });
    const first = mailboxOf(ask());
    first.throttled();
    const waiting = ask();
    for (let i = 0; i < 15; i++) first.accepted();
    await settle();
    assert.equal(states([waiting]), "w");
    first.accepted();
    await settle();
    assert.equal(states([waiting]), "T");
    for (let i = 0; i < 100; i++) first.accepted();
    assert.equal(states([ask()]), "w", "but never more than the setting");
  });
});
