/** The queue of logins that have not worked before: which is next, and how many may wait. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { RateLimit } from "../../src/limits/rate_limit.ts";
import { UnverifiedLoginQueue } from "../../src/limits/unverified_login_queue.ts";
import { FakeClock } from "../support/fake_clock.ts";

const HERE = "192.0.2.1";
const WINDOW = 60_000;

function open(most: number) {
  const clock = new FakeClock();
  const limit = new RateLimit({ rate: { most, window: WINDOW }, clock });
  const queue = new UnverifiedLoginQueue(limit, () => undefined, clock);
  /** A login's result so far. */
  const state = async (login: unknown) => {
    const first = await Promise.race([login, Promise.resolve("waiting")]);
    return typeof first === "function" ? "begun" : first;
  };
  return { clock, limit, queue, state };
}

describe("the queue of unverified logins", () => {
  it("lets no login overtake waiting ones, although the window has made room meanwhile", async () => {
    const { clock, limit, queue, state } = open(2);
    limit.count(HERE);
    clock.pass(WINDOW - 10_000);
    const first = await queue.acquire(HERE, "a");
    assert(typeof first === "function");
    const second = queue.acquire(HERE, "b");
    assert.equal(await state(second), "waiting");
    // The failed login is forgotten, so that another check could begin.
    clock.pass(10_000);
    const third = queue.acquire(HERE, "c");
    assert.equal(await state(third), "waiting");
    first(true);
    assert.equal(await state(second), "begun");
    assert.equal(await state(third), "waiting");
    (await second as (failed: boolean) => void)(false);
    assert.equal(await state(third), "begun");
  });

  it("has room for 10,000 logins of all addresses, and again when they have left", async () => {
    const { clock, queue, state } = open(1);
    const waiting: unknown[] = [];
    for (let address = 0; address < 10; address++) {
      for (let i = 0; i < 1001; i++) waiting.push(queue.acquire(`address ${address}`, `${i}`));
    }
    const begun = await queue.acquire("address 10", "a");
    assert(typeof begun === "function");
    assert.equal(await state(queue.acquire("address 10", "b")), "timeout");
    clock.pass(30_000);
    assert.equal(clock.alarms, 0);
    const results = await Promise.all(waiting);
    assert.equal(results.filter((result) => result === "timeout").length, 10_000);
    assert.equal(await state(queue.acquire("address 10", "c")), "waiting");
  });
});
