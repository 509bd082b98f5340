/** A semaphore on a clock: how many hold it, which waiter is next, and how long the others wait. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Release, Semaphore } from "../../src/limits/semaphore.ts";
import { FakeClock } from "../support/fake_clock.ts";

function open(permits: number) {
  const clock = new FakeClock();
  return { clock, semaphore: new Semaphore(permits, clock) };
}

describe("a semaphore", () => {
  it("is held by a limited number, and passes to the waiters in order", async () => {
    const { clock, semaphore } = open(2);
    const first = semaphore.tryAcquire()!;
    const second = (await semaphore.acquire(1000))!;
    assert.equal(semaphore.tryAcquire(), undefined);
    const order: string[] = [];
    const waiters = ["a", "b"].map(async (name) => {
      const release = await semaphore.acquire(1000);
      assert(release !== undefined);
      order.push(name);
      return release;
    });
    first();
    assert.equal(semaphore.tryAcquire(), undefined, "a waiter is before one who has just come");
    second();
    const releases: Release[] = await Promise.all(waiters);
    assert.deepEqual(order, ["a", "b"]);
    assert.equal(clock.alarms, 0);
    assert.equal(semaphore.tryAcquire(), undefined);
    for (const release of releases) release();
    assert.notEqual(semaphore.tryAcquire(), undefined);
    assert.notEqual(semaphore.tryAcquire(), undefined);
    assert.equal(semaphore.tryAcquire(), undefined);
  });

  it("is awaited for a limited time, and passes to no waiter that has left", async () => {
    const { clock, semaphore } = open(1);
    const release = semaphore.tryAcquire()!;
    const late = semaphore.acquire(1000);
    clock.pass(999);
    const inTime = semaphore.acquire(1000);
    clock.pass(1);
    assert.equal(await late, undefined);
    release();
    assert.notEqual(await inTime, undefined);
    assert.equal(semaphore.tryAcquire(), undefined);
  });

  it("is awaited by a thousand; more are rejected immediately", async () => {
    const { clock, semaphore } = open(1);
    semaphore.tryAcquire();
    const waiting = Array.from({ length: 1000 }, () => semaphore.acquire(1000));
    assert.equal(await semaphore.acquire(1000), undefined);
    assert.equal(clock.alarms, 1000);
    clock.pass(1000);
    assert.deepEqual(new Set(await Promise.all(waiting)), new Set([undefined]));
  });
});
