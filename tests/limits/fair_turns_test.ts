/** Turns for costly work, on a fake clock: a bound for what waits, and no client before all others. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FairTurns } from "../../src/limits/fair_turns.ts";
import type { Release } from "../../src/limits/semaphore.ts";
import { FakeClock } from "../support/fake_clock.ts";

async function settled(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

function open(waiting = 1000) {
  const clock = new FakeClock();
  const turns = new FairTurns({ atOnce: 2, waiting, clock });
  /** Who has got a turn, in order, and who was turned away. */
  const begun: string[] = [];
  const away: string[] = [];
  const releases: Release[] = [];
  const ask = (client: string, timeout = 30_000) => {
    void turns.acquire(client, timeout).then((release) => {
      if (release === undefined) away.push(client);
      else {
        begun.push(client);
        releases.push(release);
      }
    });
  };
  /** The oldest turn ends. */
  const end = async () => {
    releases.shift()!();
    await settled();
  };
  return { clock, turns, begun, away, releases, ask, end };
}

describe("turns for costly work", () => {
  it("are as many at once as are allowed; the next begins when one ends", async () => {
    const { begun, ask, end, turns } = open();
    for (const client of ["a", "b", "c"]) ask(client);
    await settled();
    assert.deepEqual([begun, turns.waiting], [["a", "b"], 1]);
    await end();
    assert.deepEqual([begun, turns.waiting], [["a", "b", "c"], 0]);
  });

  it("go from client to client, however much work one of them has", async () => {
    const { begun, releases, ask, end } = open();
    for (let i = 0; i < 100; i++) ask("flood");
    for (const client of ["a", "b", "a"]) ask(client);
    await settled();
    while (begun.length < 9) await end();
    assert.deepEqual(begun.slice(2), ["flood", "a", "b", "flood", "a", "flood", "flood"]);
    while (releases.length > 0) await end();
    assert.equal(begun.length, 103);
  });

  it("are not waited for longer than the given time", async () => {
    const { clock, begun, away, ask, end, turns } = open();
    for (const client of ["a", "b", "c"]) ask(client);
    ask("d", 40_000);
    clock.pass(29_999);
    await settled();
    assert.deepEqual(away, []);
    clock.pass(1);
    await settled();
    assert.deepEqual([away, turns.waiting], [["c"], 1]);
    await end();
    assert.deepEqual(begun, ["a", "b", "d"]);
    assert.equal(clock.alarms, 0);
  });

  it("have a bound of waiters, which the client with the most of them pays for", async () => {
    const { away, begun, ask, end } = open(5);
    for (let i = 0; i < 10; i++) ask("flood");
    await settled();
    assert.deepEqual(away, ["flood", "flood", "flood"]);
    ask("a");
    ask("b");
    await settled();
    assert.deepEqual(away, Array(5).fill("flood"));
    await end();
    await end();
    await end();
    assert.deepEqual(begun.slice(2), ["flood", "a", "b"]);
  });

  it("do not begin any more when the relay stops", async () => {
    const { turns, away, begun, ask, end } = open();
    for (const client of ["a", "b", "c", "d"]) ask(client);
    turns.stop();
    ask("e");
    await settled();
    assert.deepEqual(away, ["c", "d", "e"]);
    await end();
    assert.deepEqual(begun, ["a", "b"]);
  });

  it("come free once, however often one is ended", async () => {
    const { releases, begun, ask } = open();
    for (const client of ["a", "b", "c", "d"]) ask(client);
    await settled();
    const [first] = releases;
    first!();
    first!();
    await settled();
    assert.deepEqual(begun, ["a", "b", "c"]);
  });
});
