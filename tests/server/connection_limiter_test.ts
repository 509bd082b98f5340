// Who may stay (MAX_CONNECTIONS, MAX_CONNECTIONS_PER_IP), on a clock that the test moves.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  ConnectionLimiter,
  CONTENTION_MS,
  type EvictionReason,
  FLOOD_WINDOW_MS,
  floodOf,
  HOLD_MS,
  type LimitedConnection,
  PROBATION_MS,
  QUEUE_MS,
  type Slot,
  STALE_MS,
  STAY_MS,
} from "../../src/server/connection_limiter.ts";

/** A client as admission treats it: "" while it is held. */
class Client implements LimitedConnection {
  fate: "" | "welcome" | EvictionReason = "";
  slot!: Slot;
  admit() {
    assert.equal(this.fate, "");
    this.fate = "welcome";
  }
  evict(why: EvictionReason) {
    this.fate = why;
  }
}

class World {
  now = 0;
  readonly limiter: ConnectionLimiter;
  constructor(connections: number, perAddress: number, queue = 10_000) {
    this.limiter = new ConnectionLimiter({ connections, perAddress, queue, now: () => this.now });
  }
  arrive(key = "a"): Client {
    const client = new Client();
    client.slot = this.limiter.add(client, key);
    client.slot.identify(key);
    return client;
  }
  many(count: number, key = "a"): Client[] {
    return Array.from({ length: count }, () => this.arrive(key));
  }
  /** As the server does: a look every half second. */
  pass(milliseconds: number) {
    for (let passed = 0; passed < milliseconds; passed += 500) {
      this.now += 500;
      this.limiter.tick();
    }
  }
}

function fates(clients: readonly Client[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { fate } of clients) counts[fate] = (counts[fate] ?? 0) + 1;
  return counts;
}

describe("MAX_CONNECTIONS", () => {
  it("takes so many, each from another address", () => {
    const world = new World(3, 1);
    const clients = ["a", "b", "c"].map((key) => world.arrive(key));
    assert.deepEqual(fates(clients), { welcome: 3 });
    assert.equal(world.limiter.connections, 3);
  });

  it("beyond that ends the one that has been longest without progress, for the new one", () => {
    const world = new World(3, 10);
    const [first, second, third] = world.many(3) as [Client, Client, Client];
    first.slot.progress();
    assert.equal(world.arrive().fate, "welcome");
    assert.equal(second.fate, "makes room");
    assert.equal(world.arrive().fate, "welcome");
    assert.equal(third.fate, "makes room");
    assert.equal(world.arrive().fate, "welcome");
    assert.equal(first.fate, "makes room");
    assert.equal(world.limiter.connections, 3);
  });

  it("does so whichever address it is from, and however many others have, while there is no queue", () => {
    const world = new World(3, 10);
    const alone = world.arrive("alone");
    world.many(2, "crowd");
    assert.equal(world.arrive("crowd").fate, "welcome");
    assert.equal(alone.fate, "makes room");
  });

  it("spares those whose login is being checked, and those that have logged in", () => {
    const world = new World(3, 10);
    const [checking, loggedIn, idle] = world.many(3) as [Client, Client, Client];
    checking.slot.pin();
    loggedIn.slot.pin();
    loggedIn.slot.authenticated();
    const next = world.arrive();
    assert.deepEqual([next.fate, idle.fate], ["welcome", "makes room"]);
    next.slot.authenticated();
    // The check will end.
    const waiting = world.arrive();
    assert.equal(waiting.fate, "");
    // Its login has failed: it is like all others again.
    checking.slot.unpin();
    world.pass(STAY_MS);
    assert.deepEqual([checking.fate, loggedIn.fate, waiting.fate], [
      "makes room",
      "welcome",
      "welcome",
    ]);
    waiting.slot.authenticated();
    assert.equal(world.arrive().fate, "full");
  });

  it("counts those whose address is not known yet, and ends them too", () => {
    const world = new World(1, 10);
    const waiting = new Client();
    waiting.slot = world.limiter.add(waiting);
    assert.equal(world.arrive().fate, "welcome");
    assert.equal(waiting.fate, "makes room");
    // Its PROXY header comes too late.
    waiting.slot.identify("a");
    assert.equal(waiting.fate, "makes room");
    assert.equal(world.limiter.connections, 1);
  });

  it("has a place again for each one that leaves, once", () => {
    const world = new World(2, 10);
    const [one, two] = world.many(2) as [Client, Client];
    two.slot.authenticated();
    one.slot.remove();
    one.slot.remove();
    two.slot.remove();
    two.slot.remove();
    assert.equal(world.limiter.connections, 0);
    assert.equal(world.limiter.addresses, 0);
  });
});

describe("MAX_CONNECTIONS, taken by clients that have logged in", () => {
  /** Of forty places, ten are an account's share. */
  const PLACES = 40;

  function loggedIn(world: World, count: number, account: string, key: string, known = true) {
    const clients = world.many(count, key);
    for (const { slot } of clients) slot.authenticated({ key: account, known });
    return clients;
  }

  it("has room for others: the account with most of them gives up what it has over its share", () => {
    for (const key of ["elsewhere", "same"]) {
      const world = new World(PLACES, 100);
      const greedy = loggedIn(world, PLACES, "greedy", "same");
      world.pass(STAY_MS);
      const honest = loggedIn(world, 10, "honest", key);
      assert.deepEqual(fates(honest), { welcome: 10 });
      assert.deepEqual(fates(greedy), { welcome: 30, "over share": 10 });
      assert.equal(world.limiter.connections, PLACES);
    }
  });

  it("so too where it is many accounts that nobody knows yet", () => {
    const world = new World(PLACES, 100);
    const strangers = range(PLACES).flatMap((i) => loggedIn(world, 1, `${i}`, `${i}`, false));
    world.pass(STAY_MS);
    assert.deepEqual(fates(loggedIn(world, 10, "honest", "honest")), { welcome: 10 });
    assert.equal(fates(strangers)["over share"], 10);
  });

  it("does not end them for strangers that already have a share", () => {
    const world = new World(PLACES, 100);
    const greedy = loggedIn(world, PLACES, "greedy", "greedy");
    world.pass(STAY_MS);
    const strangers = world.many(30, "strangers");
    assert.equal(fates(greedy)["over share"], 10);
    world.pass(20 * STAY_MS);
    assert.equal(fates(greedy)["over share"], 10);
    assert.equal(world.limiter.connections, PLACES);
    assert.equal(fates(strangers)["full"], undefined);
  });

  it("prefers one that has not logged in and stands still", () => {
    const world = new World(PLACES, 100);
    const idle = world.arrive("idle");
    const greedy = loggedIn(world, PLACES - 1, "greedy", "greedy");
    world.pass(STAY_MS);
    assert.equal(world.arrive("new").fate, "welcome");
    assert.equal(idle.fate, "makes room");
    assert.deepEqual(fates(greedy), { welcome: PLACES - 1 });
  });

  it("has a new one wait where all messages of an account over its share are on their way", () => {
    const world = new World(PLACES, 100);
    const greedy = loggedIn(world, PLACES, "greedy", "greedy");
    for (const { slot } of greedy) slot.pin();
    world.pass(STAY_MS);
    const honest = world.arrive("honest");
    assert.equal(honest.fate, "");
    greedy[3]!.slot.remove();
    world.pass(500);
    assert.equal(honest.fate, "welcome");
  });

  it("counts a connection for the account that it has logged in to last", () => {
    for (const [first, second] of [["greedy", ""], ["", "greedy"]] as const) {
      const world = new World(PLACES, 100);
      const clients = range(PLACES).flatMap((i) => loggedIn(world, 1, first || `${i}`, `${i}`));
      for (const [i, { slot }] of clients.entries()) {
        slot.pin();
        slot.authenticated({ key: second || `${i}`, known: true });
      }
      world.pass(STAY_MS);
      assert.equal(world.arrive("new").fate, second === "greedy" ? "welcome" : "full");
    }
  });

  it("ends one whose message waits for its turn", () => {
    const world = new World(PLACES, 100);
    const greedy = loggedIn(world, PLACES, "greedy", "greedy");
    for (const { slot } of greedy) {
      slot.pin();
      slot.setActivity("waiting");
    }
    world.pass(STAY_MS);
    assert.equal(world.arrive("honest").fate, "welcome");
    assert.equal(greedy.at(-1)!.fate, "over share");
  });
});

describe("a place that nobody needs any more", () => {
  it("is kept while there are others, and is the first to be had", () => {
    const world = new World(3, 10);
    const [first, second, third] = world.many(3) as [Client, Client, Client];
    third.slot.authenticated();
    second.slot.retire();
    third.slot.retire();
    assert.deepEqual(fates([first, second, third]), { welcome: 3 });
    assert.equal(world.arrive().fate, "welcome");
    assert.equal(world.arrive().fate, "welcome");
    assert.deepEqual(fates([first, second, third]), { welcome: 1, retired: 2 });
    second.slot.remove();
    third.slot.remove();
    assert.equal(world.limiter.connections, 3);
  });

  it("is none of its address any more", () => {
    const world = new World(10, 1);
    const one = world.arrive();
    const held = world.arrive();
    assert.equal(held.fate, "");
    one.slot.retire();
    assert.equal(held.fate, "welcome");
    one.slot.remove();
    assert.equal(world.limiter.connections, 1);
  });

  it("may be had at once by one that queues up", () => {
    const world = new World(1, 10);
    const one = world.arrive("a");
    one.slot.authenticated();
    one.slot.remove();
    const two = world.arrive("b");
    two.slot.pin();
    const three = world.arrive("c");
    assert.equal(three.fate, "");
    two.slot.retire();
    assert.deepEqual([two.fate, three.fate], ["retired", "welcome"]);
  });
});

describe("an account over its share", () => {
  const owner = { key: "greedy", known: true };
  /** Forty connections of it have all places. */
  const greedy = () => {
    const world = new World(40, 100);
    const clients = world.many(40, "greedy");
    for (const { slot } of clients) slot.authenticated(owner);
    return { world, clients };
  };

  it("makes room though none of its connections is ever idle for long", () => {
    const { world, clients } = greedy();
    for (let i = 0; i < 10; i++) {
      world.pass(500);
      for (const { slot } of clients) {
        slot.setActivity("receiving");
        slot.setActivity("idle");
      }
    }
    assert.equal(world.arrive("honest").fate, "welcome");
    assert.deepEqual(fates(clients), { welcome: 39, "over share": 1 });
  });

  it("makes room behind the next message where all are busy", () => {
    const { world, clients } = greedy();
    for (const { slot } of clients) slot.setActivity("busy");
    world.pass(STAY_MS);
    const honest = world.arrive("honest");
    assert.equal(honest.fate, "");
    clients[7]!.slot.setActivity("idle");
    assert.deepEqual([honest.fate, clients[7]!.fate], ["welcome", "over share"]);
  });

  it("makes room soon where all have just logged in, before one on its way to a login has to", () => {
    const { world, clients } = greedy();
    world.pass(STAY_MS);
    const honest = world.arrive("honest");
    const others = clients.filter(({ fate }) => fate === "welcome");
    for (const { slot } of others) slot.remove();
    for (const { slot } of world.many(39, "greedy")) slot.authenticated(owner);
    world.many(5, "greedy");
    world.pass(500);
    assert.equal(honest.fate, "welcome");
  });
});

function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

describe("a queue for MAX_CONNECTIONS", () => {
  const keys = (world: World, count: number) =>
    Array.from({ length: count }, (_, i) => world.arrive(`${i}`));

  it("forms where places would change hands faster than in a second, but for a tenth of them", () => {
    const world = new World(1000, 100);
    const clients = keys(world, 1500);
    assert.deepEqual(fates(clients), { welcome: 1000, "makes room": 100, "": 400 });
    assert.equal(world.limiter.queued, 400);
    world.pass(STAY_MS);
    assert.deepEqual(fates(clients), { welcome: 1000, "makes room": 500 });
    assert.equal(world.limiter.connections, 1000);
  });

  it("is served in order, and at once where somebody leaves", () => {
    const world = new World(20, 20);
    const clients = keys(world, 40);
    const waiting = clients.filter(({ fate }) => fate === "");
    assert.equal(waiting.length, 4);
    clients.find(({ fate }) => fate === "welcome")!.slot.remove();
    world.arrive("z").slot.remove();
    assert.deepEqual(waiting.map(({ fate }) => fate), ["welcome", "", "", ""]);
  });

  it("has those of an address that floods behind all others, who need not wait for it", () => {
    const world = new World(1000, 1);
    const flood = world.many(3_000);
    assert.ok(world.limiter.queued > 1_000);
    const others = keys(world, 200);
    assert.deepEqual(fates(others), { welcome: 200 });
    assert.equal(flood.at(-1)!.fate, "");
  });

  it("does so behind a proxy as well, whose client's address is known later", () => {
    const world = new World(1000, 1);
    const arrive = (key: string) => {
      const client = new Client();
      client.slot = world.limiter.add(client);
      client.slot.identify(key);
      return client;
    };
    const flood = Array.from({ length: 3_000 }, () => arrive("a"));
    assert.ok(world.limiter.queued > 1_000);
    const others = Array.from({ length: 200 }, (_, i) => arrive(`other ${i}`));
    assert.equal(flood.at(-1)!.fate, "");
    world.pass(500);
    assert.deepEqual(fates(others), { welcome: 200 });
  });

  it("leaves everybody their time where one address begins to flood, too", () => {
    // Less than a flood takes all places; more of the same queue up before it is one.
    const world = new World(60, 20);
    const clients: Client[] = [];
    let hurried = 0;
    for (let i = 0; i < 1_000; i++) {
      clients.push(world.arrive("a"));
      world.now += 5;
      if (i % 100 === 99) world.limiter.tick();
      for (const client of [...clients]) {
        if (client.fate === "" || client.fate === "welcome") continue;
        clients.splice(clients.indexOf(client), 1);
        if (client.fate === "makes room" && world.now - client.slot.since < STAY_MS) hurried++;
      }
    }
    assert.ok(world.limiter.queued > 100);
    // While it is calm, so many a second may have less.
    assert.ok(hurried <= 6 * 16, `${hurried} had less`);
  });

  it("takes nobody's place for what was our own slowness", () => {
    const world = new World(100, 20);
    keys(world, 499);
    world.pass(STAY_MS);
    const honest = world.arrive("honest");
    while (honest.fate === "") world.pass(500);
    // Three seconds in which nothing is read, nor anybody looked at; then those come who came meanwhile.
    world.now += 2 * STAY_MS;
    for (let i = 0; i < 100; i++) world.arrive(`later ${i}`);
    assert.equal(honest.fate, "welcome");
    world.pass(STAY_MS);
    assert.equal(honest.fate, "makes room");
  });

  it("is not longer than it may be: then places change hands after all", () => {
    const world = new World(1000, 100, 50);
    const clients = keys(world, 3_000);
    assert.equal(world.limiter.queued, 50);
    assert.deepEqual(fates(clients), { welcome: 1000, "makes room": 1950, "": 50 });
  });

  it("is left with 421 4.3.2 where all others have logged in, or after half a minute", () => {
    const world = new World(20, 20);
    const clients = keys(world, 40);
    for (const { fate, slot } of clients) if (fate === "welcome") slot.authenticated();
    world.pass(500);
    assert.deepEqual(fates(clients), { "makes room": 16, welcome: 20, full: 4 });
    const busy = new World(20, 20);
    const all = keys(busy, 40);
    for (let passed = 0; passed < QUEUE_MS; passed += 500) {
      for (const { fate, slot } of all) if (fate === "welcome") slot.progress();
      busy.pass(500);
    }
    assert.equal(busy.limiter.queued, 0);
  });

  it("keeps nobody who has gone", () => {
    const world = new World(20, 20);
    for (const { slot } of keys(world, 40)) slot.remove();
    assert.deepEqual([world.limiter.queued, world.limiter.connections], [0, 0]);
  });

  for (const [where, keyOf] of [["one address", () => "a"], ["each its own", String]] as const) {
    it(`lets an honest client through, among 5,000 that come back a second after each end: ${where}`, () => {
      const world = new World(1000, 100);
      let slow = Array.from({ length: 5_000 }, (_, i) => ({ i, client: world.arrive(keyOf(i)) }));
      const comeBack: (readonly number[])[] = [[], []];
      /** Half a second of it. */
      const pass = () => {
        world.pass(500);
        const ended = slow.filter(({ client }) => client.fate !== "" && client.fate !== "welcome");
        slow = slow.filter(({ client }) => client.fate === "" || client.fate === "welcome");
        comeBack.push(ended.map(({ i }) => i));
        for (const i of comeBack.shift()!) slow.push({ i, client: world.arrive(keyOf(i)) });
      };
      for (let i = 0; i < 20; i++) pass();
      for (let message = 0; message < 10; message++) {
        const honest = world.arrive(keyOf(9_999));
        let waited = 0;
        for (; honest.fate === ""; waited += 500) pass();
        assert.ok(waited <= 8_000, `waited ${waited} ms`);
        for (let stage = 0; stage < 5; stage++) {
          pass();
          assert.equal(honest.fate, "welcome");
          honest.slot.progress();
        }
        honest.slot.pin();
        for (let i = 0; i < 10; i++) pass();
        honest.slot.authenticated();
        assert.equal(honest.fate, "welcome");
        honest.slot.remove();
      }
    });
  }
});

describe("a rush, in which places change hands all the time", () => {
  it("is at the cost of the addresses that most come from, and not of one with a single client", () => {
    const world = new World(100, 100);
    const rush = (until: number) => {
      while (world.now < until) {
        for (let j = 0; j < 100; j++) world.arrive(`many ${j % 10}`);
        world.pass(500);
      }
    };
    rush(1_000);
    const single = world.arrive("single");
    const two = world.many(2, "two");
    // For nearly ten seconds, and each of these has no more time than it must have.
    rush(CONTENTION_MS);
    assert.ok(world.limiter.queued > 1);
    assert.deepEqual(fates([single, ...two]), { welcome: 3 });
  });

  it("spares nobody who has stood still for ten seconds, whatever its address", () => {
    const world = new World(100, 100);
    const single = world.arrive("single");
    for (let i = 0; world.now < CONTENTION_MS + 1_000; i++) {
      for (let j = 0; j < 100; j++) world.arrive(`many ${j % 10}`);
      world.pass(500);
    }
    assert.equal(single.fate, "makes room");
  });

  it("from as many addresses is at the cost of whoever is longest without progress", () => {
    const world = new World(10, 100);
    const clients = Array.from({ length: 11 }, (_, i) => world.arrive(String(i)));
    assert.equal(clients[0]!.fate, "makes room");
    assert.deepEqual(fates(clients.slice(1)), { welcome: 10 });
  });
});

describe("MAX_CONNECTIONS_PER_IP", () => {
  it("of 3: the fourth is held, and refused where no place becomes free", () => {
    const world = new World(100, 3);
    const idle = world.many(3);
    const fourth = world.arrive();
    assert.deepEqual([fates(idle), fourth.fate], [{ welcome: 3 }, ""]);
    assert.equal(world.arrive("b").fate, "welcome");
    world.pass(HOLD_MS - 500);
    assert.equal(fourth.fate, "");
    world.pass(500);
    assert.equal(fourth.fate, "crowded");
    assert.deepEqual(fates(idle), { welcome: 3 });
  });

  it("of 5, and 20 at once: 15 are refused", () => {
    const world = new World(100, 5);
    const clients = world.many(20);
    world.pass(HOLD_MS);
    assert.deepEqual(fates(clients), { welcome: 5, crowded: 15 });
  });

  it("gives a place that becomes free to the first that is held: by a login, and by leaving", () => {
    const world = new World(100, 2);
    const [one, two] = world.many(2) as [Client, Client];
    const held = world.many(3);
    one.slot.authenticated();
    assert.deepEqual(held.map(({ fate }) => fate), ["welcome", "", ""]);
    two.slot.remove();
    assert.deepEqual(held.map(({ fate }) => fate), ["welcome", "welcome", ""]);
    world.pass(HOLD_MS);
    assert.equal(held[2]!.fate, "crowded");
  });

  it("is for those who have not logged in: any number may have, and a thousand may follow at once", () => {
    const world = new World(10_000, 100);
    for (const { slot } of world.many(100)) slot.authenticated();
    const clients = world.many(100);
    assert.deepEqual(fates(clients), { welcome: 100 });
  });

  it("has who made no progress for 30 s give way, but nobody whose login is being checked", () => {
    const world = new World(100, 3);
    const [stale, checking, lively] = world.many(3) as [Client, Client, Client];
    checking.slot.pin();
    world.pass(STALE_MS - 1_000);
    lively.slot.progress();
    const held = world.arrive();
    assert.equal(held.fate, "");
    world.pass(1_000);
    assert.deepEqual([held.fate, stale.fate], ["welcome", "gives way"]);
    const next = world.arrive();
    world.pass(HOLD_MS);
    assert.deepEqual([next.fate, checking.fate, lively.fate], ["crowded", "welcome", "welcome"]);
  });
});

describe("a flood from one address", () => {
  const LIMIT = 100;
  const FLOOD = LIMIT + floodOf(LIMIT);

  it("begins behind twice the limit and 64 over it: then all are let in, for a while", () => {
    const world = new World(10_000, LIMIT);
    const clients = world.many(FLOOD);
    assert.deepEqual(fates(clients), { welcome: LIMIT, "": FLOOD - LIMIT });
    const one = world.arrive();
    assert.equal(one.fate, "welcome");
    assert.deepEqual(fates(clients), { welcome: FLOOD });
  });

  it("lets in 600 honest clients at once", () => {
    const world = new World(1000, LIMIT);
    const clients = world.many(600);
    assert.deepEqual(fates(clients), { welcome: 600 });
    world.pass(1_000);
    for (const { slot } of clients) slot.authenticated();
    world.pass(60_000);
    assert.deepEqual(fates(clients), { welcome: 600 });
  });

  it("ends who has not logged in within its probation, whatever it does meanwhile; our time is not counted", () => {
    const world = new World(10_000, LIMIT);
    world.many(FLOOD);
    const [idle, busy, checked] = world.many(3) as [Client, Client, Client];
    world.pass(PROBATION_MS - 1_000);
    busy.slot.progress();
    checked.slot.pin();
    world.pass(1_000);
    assert.deepEqual([idle.fate, busy.fate], ["probation", "probation"]);
    world.pass(20_000);
    assert.equal(checked.fate, "welcome");
    checked.slot.unpin();
    world.pass(500);
    assert.equal(checked.fate, "welcome");
    world.pass(500);
    assert.equal(checked.fate, "probation");
  });

  it("charges nobody for a look that comes late", () => {
    const world = new World(10_000, LIMIT);
    world.many(FLOOD);
    const client = world.arrive();
    world.now += 60_000;
    world.limiter.tick();
    assert.equal(client.fate, "welcome");
  });

  it("gives way to everybody where MAX_CONNECTIONS is full, those of other addresses last", () => {
    const world = new World(1000, LIMIT);
    const other = world.arrive("b");
    const flood = world.many(5_000);
    assert.equal(world.limiter.connections, 1000);
    assert.equal(other.fate, "welcome");
    const stranger = world.arrive("c");
    assert.deepEqual([stranger.fate, other.fate], ["welcome", "welcome"]);
    // Who came first, and was within the limit, stays too: its place is nobody else's.
    assert.deepEqual(fates(flood.slice(0, LIMIT)), { welcome: LIMIT });
  });

  it("is over when fewer come: then they are held again", () => {
    const world = new World(10_000, LIMIT);
    for (const { slot } of world.many(FLOOD + 1).slice(LIMIT)) slot.remove();
    world.pass(FLOOD_WINDOW_MS - 500);
    assert.equal(world.arrive().fate, "welcome");
    world.pass(FLOOD_WINDOW_MS);
    assert.equal(world.arrive().fate, "");
  });

  it("is remembered for no longer than it counts", () => {
    const world = new World(10_000, 1);
    for (let i = 0; i < 200; i++) for (const { slot } of world.many(5, `${i}`)) slot.remove();
    assert.equal(world.limiter.connections, 0);
    assert.equal(world.limiter.addresses, 200);
    world.pass(2 * FLOOD_WINDOW_MS + 500);
    assert.equal(world.limiter.addresses, 0);
  });
});

it("admission takes the same time for each, however many there are", () => {
  const world = new World(20_000, 50);
  const begun = performance.now();
  for (let i = 0; i < 60_000; i++) world.arrive(`${i % 1000}`);
  // A walk through all places for each of them would take minutes.
  assert.ok(performance.now() - begun < 10_000);
  assert.equal(world.limiter.connections, 20_000);
});

describe("turns in the queue", () => {
  it("go from address to address: one that came last waits for no crowd of another", () => {
    const world = new World(20, 1000);
    const group = world.many(500, "crowd");
    const honest = world.arrive("honest");
    assert.equal(honest.fate, "");
    // One of the crowd has its turn, then the other address.
    group.filter(({ fate }) => fate === "welcome").slice(0, 2).forEach(({ slot }) => slot.remove());
    world.pass(1);
    assert.equal(honest.fate, "welcome");
  });

  it("are taken by the address of the PROXY header, once it is known", () => {
    const world = new World(20, 1000);
    const group = world.many(500, "proxy");
    const honest = new Client();
    honest.slot = world.limiter.add(honest, "proxy");
    honest.slot.identify("honest");
    group.filter(({ fate }) => fate === "welcome").slice(0, 2).forEach(({ slot }) => slot.remove());
    world.pass(1);
    assert.equal(honest.fate, "welcome");
  });
});
