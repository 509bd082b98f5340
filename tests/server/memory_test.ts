// MAX_MEMORY: what all messages in flight use together, and which gives up its memory when it is full.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "../support/property.ts";
import type { Owner } from "../../src/submission/submission_service.ts";
import { COPIES, MemoryBudget, PROMISE_MS } from "../../src/server/memory.ts";
import type { Reservation } from "../../src/smtp/reservation.ts";

const STEP = 16 * 1024;

/** A budget for so many octets of mail, on a clock that the test moves. */
class World {
  now = 0;
  readonly exhausted: number[] = [];
  readonly memory: MemoryBudget;
  readonly #owners = new Map<string, { key: string; known: boolean }>();

  constructor(readonly octets: number) {
    this.memory = new MemoryBudget(octets * COPIES, {
      exhausted: (used) => this.exhausted.push(used / COPIES),
      now: () => this.now,
    });
  }

  owner(key: string): { key: string; known: boolean } {
    let owner = this.#owners.get(key);
    if (owner === undefined) this.#owners.set(key, owner = { key, known: true });
    return owner;
  }

  /** Opens a message, with MAIL's SIZE. */
  open(announced: number, account = "ann", address = "192.0.2.1"): Message | undefined {
    const client = this.memory.client(address);
    client.owner = this.owner(account) satisfies Owner;
    const reservation = client.open(announced);
    return reservation && new Message(reservation);
  }

  get used(): number {
    return this.memory.used / COPIES;
  }
}

class Message {
  givenUp = false;
  constructor(readonly reservation: Reservation) {
    reservation.giveUp = () => this.givenUp = true;
  }
  /** So many of its octets have arrived. */
  has(octets: number): boolean {
    return this.reservation.ensure(octets);
  }
}

describe("a memory budget", () => {
  it("reserves room as octets arrive, and a little ahead", () => {
    const world = new World(1_000_000);
    const message = world.open(0)!;
    assert.equal(world.used, STEP);
    assert(message.has(STEP + 1));
    assert.equal(world.used, 2 * STEP);
    message.reservation.settle(20_000);
    assert.equal(world.used, 20_000);
    message.reservation.release();
    message.reservation.release();
    assert.equal(world.used, 0);
    assert.equal(world.memory.holders, 0);
  });

  it("counts each message's overhead: many small ones fill it as well", () => {
    for (const announced of [0, 20]) {
      const world = new World(1000 * STEP);
      let messages = 0;
      for (; messages <= 1000; messages++) {
        const message = world.open(announced);
        if (message === undefined) break;
        assert(message.has(20));
        message.reservation.settle(20);
      }
      assert.equal(messages, 1000);
    }
  });

  it("refuses a SIZE beyond the limit, and reports how much is in use", () => {
    const world = new World(100_000);
    assert(world.open(90_000));
    assert.equal(world.open(10_001), undefined);
    assert(world.open(10_000));
    assert.equal(world.open(0), undefined);
    assert.deepEqual(world.exhausted, [90_000, 100_000]);
  });

  it("keeps what SIZE announced for 2 s without an octet", () => {
    const world = new World(100_000);
    const first = world.open(100_000)!;
    world.now = PROMISE_MS - 1;
    assert.equal(world.open(50_000), undefined);
    // Octets arrive: the reservation is kept.
    assert(first.has(20_000));
    world.now = 2 * PROMISE_MS - 2;
    assert.equal(world.open(50_000), undefined);
    world.now += 1;
    const second = world.open(50_000)!;
    assert(second.has(50_000));
    // The first gets as far as there is room, as it would have without SIZE.
    assert(first.has(50_000));
    assert(!first.has(100_000));
    assert.equal(world.used, 50_000);
  });

  it("keeps what a chunk announces for the same time, and no longer", () => {
    const world = new World(100_000);
    const first = world.open(0)!;
    assert(!first.reservation.expect(100_001));
    const second = world.open(0)!;
    assert(second.reservation.expect(100_000));
    assert.equal(world.used, 100_000);
    world.now = PROMISE_MS;
    assert(world.open(50_000));
  });

  describe("that is full", () => {
    it("takes back reservations of an account over its share, before received octets", () => {
      const world = new World(100_000);
      const complete = world.open(20_000, "greedy")!;
      complete.has(20_000);
      const announced = world.open(80_000, "greedy")!;
      const honest = world.open(30_000, "honest");
      assert(honest?.has(30_000));
      assert(!complete.givenUp && !announced.givenUp);
      assert(world.used <= 100_000);
    });

    it("releases messages that can be given up, the latest first, and as few as needed", () => {
      const world = new World(100_000);
      const greedy = Array.from({ length: 5 }, () => world.open(20_000, "greedy")!);
      for (const message of greedy) message.has(20_000);
      const honest = world.open(0, "honest")!;
      assert(honest.has(30_000));
      assert.deepEqual(greedy.map(({ givenUp }) => givenUp), [false, false, false, true, true]);
      assert(!greedy[4]!.has(20_001));
      assert.equal(world.used, 60_000 + 2 * STEP);
    });

    it("releases nothing when that would not make enough room", () => {
      const world = new World(100_000);
      const greedy = Array.from({ length: 5 }, () => world.open(20_000, "greedy")!);
      for (const message of greedy) message.has(20_000);
      // Four of them are being sent to the mail service.
      for (const { reservation } of greedy.slice(1)) reservation.giveUp = undefined;
      assert.equal(world.open(30_000, "honest"), undefined);
      assert.deepEqual(greedy.map(({ givenUp }) => givenUp), [false, false, false, false, false]);
      assert(world.open(20_000, "honest"));
    });

    it("leaves an account its share, and releases nothing for an account that would have more", () => {
      const world = new World(100_000);
      for (let i = 0; i < 4; i++) world.open(25_000, "ann")!.has(25_000);
      assert.equal(world.open(50_000, "ann"), undefined);
      // Half of it, and no more.
      assert(world.open(50_000, "bob")!.has(50_000));
      assert.equal(world.open(1, "bob"), undefined);
      assert.equal(world.open(50_001, "cid"), undefined);
      assert(world.open(25_000, "cid")!.has(25_000));
    });

    it("counts all accounts without an accepted message as one", () => {
      const world = new World(100_000);
      const strangers = Array.from({ length: 10 }, (_, i) => {
        world.owner(`stranger ${i}`).known = false;
        const message = world.open(10_000, `stranger ${i}`)!;
        message.has(10_000);
        return message;
      });
      assert(world.open(40_000, "known")!.has(40_000));
      assert.equal(strangers.filter(({ givenUp }) => givenUp).length, 4);
      // Among themselves each account counts on its own: none has more than a new one would.
      world.owner("one more").known = false;
      assert.equal(world.open(10_000, "one more"), undefined);
    });

    it("shares among unauthenticated clients as well", () => {
      const world = new World(100_000);
      world.owner("greedy").known = world.owner("new").known = false;
      for (let i = 0; i < 10; i++) world.open(10_000, "greedy")!.has(10_000);
      assert(world.open(40_000, "new")!.has(40_000));
    });

    it("takes from an address with many accounts for another address, but not for its own", () => {
      const world = new World(100_000);
      for (let i = 0; i < 10; i++) world.open(10_000, `account ${i}`, "greedy")!.has(10_000);
      assert.equal(world.open(20_000, "one more", "greedy"), undefined);
      assert(world.open(20_000, "one more", "other")!.has(20_000));
    });

    it("gives a single account all of it", () => {
      const world = new World(100_000);
      for (let i = 0; i < 4; i++) assert(world.open(25_000)!.has(25_000));
      assert.equal(world.open(1), undefined);
    });
  });

  it("never holds more than its limit, and forgets everything with the last message", () => {
    const steps = fc.array(
      fc.record({
        message: fc.nat(5),
        what: fc.constantFrom("open", "ensure", "ensure", "expect", "settle", "release", "wait"),
        octets: fc.integer({ min: 1, max: 60_000 }),
        known: fc.boolean(),
      }),
    );
    fc.assert(fc.property(steps, fc.nat(200_000), (steps, limit) => {
      const world = new World(limit);
      const messages: (Message | undefined)[] = [];
      for (const { message: i, what, octets, known } of steps) {
        const message = messages[i];
        world.owner(`account ${i % 3}`).known = known;
        if (what === "open" && message === undefined) {
          messages[i] = world.open(octets, `account ${i % 3}`, `address ${i % 2}`);
        } else if (what === "ensure") {
          const room = message?.has(octets);
          assert(room !== true || !message!.givenUp);
        } else if (what === "expect") message?.reservation.expect(octets);
        else if (what === "settle") message?.reservation.settle(octets);
        else if (what === "wait") world.now += octets % 3000;
        else if (what === "release") {
          message?.reservation.release();
          messages[i] = undefined;
        }
        assert(world.used <= limit && world.used >= 0);
      }
      for (const message of messages) message?.reservation.release();
      assert.equal(world.used, 0);
      assert.equal(world.memory.holders, 0);
    }));
  });
});
