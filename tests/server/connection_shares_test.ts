// Which authenticated connection makes room for a new one: shares of MAX_CONNECTIONS.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  accountShare,
  type Activity,
  addressShare,
  ConnectionShares,
  LEAST_SHARE,
  SETTLED_MS,
} from "../../src/server/connection_shares.ts";

/** Of forty slots, an account's share is ten, an address's twenty. */
const PLACES = 40;

class World {
  now = 0;
  readonly shares: ConnectionShares<string>;
  readonly #owners = new Map<string, { key: string; known: boolean }>();

  constructor(places = PLACES) {
    this.shares = new ConnectionShares(places);
  }

  owner(key: string): { key: string; known: boolean } {
    let owner = this.#owners.get(key);
    if (owner === undefined) this.#owners.set(key, owner = { key, known: true });
    return owner;
  }

  /** As many connections of an account, a millisecond apart: `name 0`, `name 1`, … */
  add(count: number, account: string, address = account): void {
    for (let i = 0; i < count; i++) {
      this.shares.add(`${account} ${i}`, this.owner(account), address, ++this.now);
    }
  }

  setActivity(member: string, activity: Activity): void {
    this.shares.setActivity(member, activity, ++this.now);
  }

  /** The connection that makes room for a new one of this address. */
  nextToEvict(address = "elsewhere", now = this.now + SETTLED_MS): string | undefined {
    return this.shares.nextToEvict(address, now);
  }
}

describe("authenticated connections", () => {
  it("are not closed while each account keeps to a quarter of MAX_CONNECTIONS", () => {
    const world = new World();
    for (const account of ["a", "b", "c", "d"]) world.add(10, account);
    assert.equal(world.nextToEvict(), undefined);
    assert.equal(world.shares.hasOverShare("elsewhere"), false);
  });

  it("make room when their account has more: the one idle longest", () => {
    const world = new World();
    world.add(10, "small");
    world.add(11, "large");
    assert.equal(world.nextToEvict(), "large 0");
    // It has sent a message.
    world.setActivity("large 0", "busy");
    world.setActivity("large 0", "idle");
    assert.equal(world.nextToEvict(), "large 1");
    world.shares.delete("large 1");
    assert.equal(world.nextToEvict(), undefined);
  });

  it("make room whatever the address of the new one is, because it may be of another account", () => {
    const world = new World();
    world.add(11, "large", "shared");
    assert.equal(world.nextToEvict("shared"), "large 0");
  });

  it("have the same time for progress as all connections", () => {
    const world = new World();
    world.add(11, "large");
    assert.equal(world.nextToEvict("elsewhere", SETTLED_MS), undefined);
    assert.equal(world.shares.hasOverShare("elsewhere"), true);
    assert.equal(world.nextToEvict("elsewhere", SETTLED_MS + 1), "large 0");
  });

  it("make room next when their message waits for its turn, the latest first, then when it is arriving", () => {
    const world = new World();
    world.add(11, "large");
    for (let i = 0; i < 11; i++) world.setActivity(`large ${i}`, i < 4 ? "receiving" : "waiting");
    assert.equal(world.nextToEvict(), "large 10");
    for (let i = 4; i < 11; i++) world.setActivity(`large ${i}`, "busy");
    assert.equal(world.nextToEvict(), "large 0");
    for (let i = 0; i < 4; i++) world.setActivity(`large ${i}`, "busy");
    // All of them are sending to the mail service or logging in: their slots will become free.
    assert.equal(world.nextToEvict(), undefined);
    assert.equal(world.shares.hasOverShare("elsewhere"), true);
  });

  it("count as one account until the mail service has accepted a message of theirs", () => {
    const world = new World();
    for (let i = 0; i < 4; i++) {
      world.owner(`stranger ${i}`).known = false;
      world.add(i === 2 ? 4 : 2, `stranger ${i}`);
    }
    assert.equal(world.nextToEvict(), undefined);
    world.owner("one more").known = false;
    world.add(1, "one more");
    assert.equal(world.nextToEvict(), "stranger 2 0");
    // Its first message is accepted.
    world.owner("stranger 2").known = true;
    world.setActivity("stranger 2 3", "idle");
    assert.equal(world.nextToEvict(), undefined);
    world.add(7, "stranger 2");
  });

  it("make room for another address when theirs has more than half", () => {
    const world = new World();
    for (const account of ["a", "b", "c"]) world.add(7, account, "shared");
    assert.equal(world.nextToEvict("elsewhere"), "a 0");
    assert.equal(world.nextToEvict("shared"), undefined);
    world.shares.delete("b 3");
    assert.equal(world.nextToEvict("elsewhere"), undefined);
  });

  it("keep their slots when there are too few to share", () => {
    const world = new World(LEAST_SHARE);
    world.add(LEAST_SHARE, "only");
    assert.equal(world.nextToEvict(), undefined);
    assert.deepEqual([accountShare(1000), addressShare(1000)], [250, 500]);
    assert.deepEqual([accountShare(10), addressShare(10)], [8, 8]);
  });

  it("leave no state", () => {
    const world = new World();
    world.owner("a").known = false;
    world.add(20, "a");
    world.owner("a").known = true;
    for (let i = 0; i < 20; i++) world.shares.delete(`a ${i}`);
    assert.equal(world.shares.size, 0);
    assert.equal(world.nextToEvict(), undefined);
    world.owner("b").known = false;
    world.add(11, "b");
    assert.equal(world.nextToEvict(), "b 0");
  });
});
