/** Work other than mail inside MAX_MEMORY: it waits for memory, for a limited time, and never takes it all. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { MemoryBudget } from "../../src/server/memory.ts";
import { WorkMemory } from "../../src/server/work_memory.ts";
import { FakeClock } from "../support/fake_clock.ts";

const MIB = 1024 ** 2;
const NEEDED = 16 * MIB;
const TIMEOUT = 30_000;

async function settled(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

function open(limit: number) {
  const clock = new FakeClock();
  const exhausted: number[] = [];
  const budget = new MemoryBudget(limit, {
    exhausted: (used) => exhausted.push(used),
    now: () => clock.now(),
  });
  const work = new WorkMemory(budget, "work", clock);
  /** How many have their memory. */
  const state = { begun: 0, late: 0 };
  const releases: (() => void)[] = [];
  const acquire = () =>
    void work.acquire(NEEDED, TIMEOUT).then((release) => {
      if (release === undefined) state.late++;
      else {
        state.begun++;
        releases.push(release);
      }
    });
  /** A message that has arrived with so many octets of memory. */
  const message = (memory: number, account = "ann") => {
    const client = budget.client("192.0.2.1");
    client.owner = { key: account, known: true };
    const reservation = client.open(0)!;
    assert(reservation.ensure(Math.floor(memory / 1.5)));
    return reservation;
  };
  return { clock, budget, state, releases, acquire, message, exhausted };
}

describe("memory for work", () => {
  it("counts in MAX_MEMORY while the work lasts, and does not lapse", async () => {
    const { clock, budget, acquire, releases, message } = open(256 * MIB);
    acquire();
    acquire();
    await settled();
    clock.pass(60_000);
    message(1).release();
    assert(Math.abs(budget.used - 2 * NEEDED) < 10, `${budget.used}`);
    for (const release of releases) release();
    assert.deepEqual([budget.used, budget.holders], [0, 0]);
  });

  it("is waited for, and comes with the first message that gives back enough", async () => {
    const { clock, budget, state, acquire, message, exhausted } = open(64 * MIB);
    const messages = [message(30 * MIB), message(20 * MIB), message(12 * MIB)];
    acquire();
    await settled();
    assert.equal(state.begun, 0);
    messages[2]!.release();
    await settled();
    assert.deepEqual([state.begun, exhausted.length], [0, 0]);
    clock.pass(10_000);
    await settled();
    assert.deepEqual([state.begun, exhausted.length], [0, 1], "it is reported once");
    messages[1]!.release();
    await settled();
    assert.equal(state.begun, 1);
    assert(budget.used <= 64 * MIB);
  });

  it("is waited for no longer than the given time: what holds the rest may wait for a login", async () => {
    const { clock, state, acquire, message } = open(64 * MIB);
    const kept = message(60 * MIB);
    acquire();
    clock.pass(TIMEOUT - 1);
    await settled();
    assert.deepEqual(state, { begun: 0, late: 0 });
    clock.pass(1);
    await settled();
    assert.deepEqual(state, { begun: 0, late: 1 });
    kept.release();
    await settled();
    assert.deepEqual(state, { begun: 0, late: 1 });
    assert.equal(clock.alarms, 0);
  });

  it("is taken from an account over its share after five seconds, as for a message", async () => {
    const { clock, state, acquire, message } = open(64 * MIB);
    let givenUp = false;
    message(20 * MIB);
    message(40 * MIB).giveUp = () => givenUp = true;
    acquire();
    clock.pass(4_999);
    await settled();
    assert.deepEqual([state.begun, givenUp], [0, false]);
    clock.pass(1);
    await settled();
    assert.deepEqual([state.begun, givenUp], [1, true]);
  });

  for (const [limit, atOnce] of [[16, 1], [32, 1], [64, 2], [256, 8]] as const) {
    it(`leaves half of ${limit} MiB for mail, and is there all the same`, async () => {
      const { budget, state, releases, acquire, message } = open(limit * MIB);
      for (let i = 0; i < 10; i++) acquire();
      await settled();
      assert.equal(state.begun, atOnce);
      assert(budget.used <= limit * MIB / 2 + 1);
      message((limit / 2 - 1) * MIB).release();
      for (let i = 0; i < 10; i++) {
        releases.shift()?.();
        await settled();
      }
      assert.deepEqual([state.begun, budget.used], [10, 0]);
    });
  }
});
