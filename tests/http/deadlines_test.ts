/** One timer for the deadlines of many. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Deadlines } from "../../src/http/deadlines.ts";

/** Something with a deadline so many milliseconds from now; `at` is when it was told. */
function timed(deadlines: Deadlines<Timed>, name: string, milliseconds: number): Timed {
  const { promise, resolve } = Promise.withResolvers<number>();
  return {
    name,
    deadline: performance.now() + milliseconds,
    promise,
    expired() {
      deadlines.forget(this);
      resolve(performance.now() - this.deadline);
    },
  };
}
interface Timed {
  readonly name: string;
  deadline: number;
  /** How late it was told, milliseconds. */
  readonly promise: Promise<number>;
  expired(): void;
}

describe("deadlines", () => {
  it("are told when they are over and not before, in whatever order they were set", async () => {
    const deadlines = new Deadlines<Timed>();
    const items = [300, 40, 0, 160].map((milliseconds) =>
      timed(deadlines, `${milliseconds}`, milliseconds)
    );
    for (const item of items) deadlines.watch(item);
    const order: string[] = [];
    await Promise.all(items.map(async (item) => {
      const late = await item.promise;
      order.push(item.name);
      assert(late > -2, `${item.name} was told ${-late} ms early`);
    }));
    assert.deepEqual(order, ["0", "40", "160", "300"]);
    assert.equal(deadlines.items.size, 0);
  });

  it("may be put off without a word, and brought forward with one", async () => {
    const deadlines = new Deadlines<Timed>();
    const later = timed(deadlines, "later", 20);
    const sooner = timed(deadlines, "sooner", 60_000);
    deadlines.watch(later);
    deadlines.watch(sooner);
    later.deadline += 100;
    sooner.deadline = performance.now() + 10;
    deadlines.watch(sooner);
    await sooner.promise;
    assert(performance.now() < later.deadline);
    assert(await later.promise > -2);
  });

  it("are not told once they are forgotten, and keep no program running", async () => {
    const deadlines = new Deadlines<Timed>();
    const forgotten = timed(deadlines, "forgotten", 20);
    forgotten.expired = () => assert.fail("it was told");
    const other = timed(deadlines, "other", 60);
    deadlines.watch(forgotten);
    deadlines.watch(other);
    deadlines.forget(forgotten);
    await other.promise;
    // A timer that is left would hold this process for ten minutes.
    const last = timed(deadlines, "last", 600_000);
    deadlines.watch(last);
    deadlines.forget(last);
  });
});
