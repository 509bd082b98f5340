// MAX_MEMORY: what all messages in flight take together, one and a half times their size.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { MemoryBudget } from "../../src/server/memory.ts";
import { Reservation } from "../../src/smtp/reservation.ts";

describe("a memory budget", () => {
  it("counts each octet of a message one and a half times", () => {
    const memory = new MemoryBudget(150);
    assert.equal(memory.reserve(100, 100), 100);
    assert.equal(memory.used, 150);
    assert.equal(memory.reserve(1, 1), 0);
    memory.release(40);
    assert.equal(memory.reserve(40, 40), 40);
  });

  it("gives what there is, but not less than is needed", () => {
    const memory = new MemoryBudget(150);
    assert.equal(memory.reserve(10, 60), 60);
    assert.equal(memory.reserve(10, 60), 40);
    assert.equal(memory.reserve(10, 60), 0);
  });

  it("tells each time that there is no room, and how much is in use", () => {
    const told: number[] = [];
    const memory = new MemoryBudget(150, (used) => told.push(used));
    memory.reserve(90, 90);
    memory.reserve(11, 11);
    memory.reserve(10, 10);
    memory.reserve(1, 1);
    assert.deepEqual(told, [135, 150]);
  });
});

describe("a message's reservation", () => {
  it("never takes more than the largest message, and gives back all that it took", () => {
    const most = 40_000;
    const steps = fc.array(
      fc.record({
        message: fc.nat(3),
        what: fc.constantFrom("cover", "cover", "cover", "release", "hand over"),
        octets: fc.integer({ min: 1, max: most }),
      }),
    );
    fc.assert(fc.property(steps, fc.nat(200_000), (steps, limit) => {
      const memory = new MemoryBudget(limit);
      const messages = Array.from({ length: 4 }, () => new Reservation(memory, most));
      let handedOver = 0;
      for (const { message, what, octets } of steps) {
        const reservation = messages[message]!;
        if (what === "cover") reservation.cover(octets);
        else if (what === "release") reservation.release();
        else handedOver += reservation.handOver(octets);
        assert.ok(memory.used <= limit);
        assert.ok(memory.used <= (4 * most + handedOver) * 1.5);
      }
      for (const reservation of messages) reservation.release();
      memory.release(handedOver);
      assert.equal(memory.used, 0);
    }));
  });

  it("keeps no more than the message's size when it is handed over", () => {
    const memory = new MemoryBudget(1_000_000);
    const reservation = new Reservation(memory, 500_000);
    reservation.cover(300_000);
    assert.equal(reservation.handOver(100), 100);
    assert.equal(memory.used, 150);
  });
});
