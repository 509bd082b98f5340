// MAX_CONNECTIONS and MAX_CONNECTIONS_PER_IP, on a clock that the test moves.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { floodSize } from "../../src/server/address_group.ts";
import {
  ADDRESS_WAIT_MS,
  ConnectionLimiter,
  PROTECTED_MS,
  QUEUE_WAIT_MS,
  type Slot,
  STALE_MS,
} from "../../src/server/connection_limiter.ts";
import type { EvictionReason, LimitedConnection } from "../../src/server/limited_connection.ts";

/** A connection and what became of it: "" while it waits. */
class Client implements LimitedConnection {
  fate: "" | "admitted" | EvictionReason = "";
  slot!: Slot;
  admit() {
    assert.equal(this.fate, "");
    this.fate = "admitted";
  }
  evict(reason: EvictionReason) {
    this.fate = reason;
  }
}

class World {
  now = 0;
  readonly limiter: ConnectionLimiter;
  constructor(connections: number, perAddress: number, queue = 10_000) {
    this.limiter = new ConnectionLimiter({ connections, perAddress, queue, now: () => this.now });
  }
  /** Behind a proxy, before its header. */
  unidentified(): Client {
    const client = new Client();
    client.slot = this.limiter.add(client);
    return client;
  }
  arrive(key = "a"): Client {
    const client = this.unidentified();
    client.slot.identify(key);
    return client;
  }
  many(count: number, key = "a"): Client[] {
    return Array.from({ length: count }, () => this.arrive(key));
  }
  /** The server ticks every half second. */
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
  it("admits as many, each from another address", () => {
    const world = new World(3, 1);
    const clients = ["a", "b", "c"].map((key) => world.arrive(key));
    assert.deepEqual(fates(clients), { admitted: 3 });
    assert.equal(world.limiter.connections, 3);
  });

  it("closes the connection longest without progress for a new one when the limit is reached", () => {
    const world = new World(3, 10);
    const [first, second, third] = world.many(3) as [Client, Client, Client];
    world.pass(500);
    first.slot.progress();
    const fourth = world.arrive();
    const fifth = world.arrive();
    assert.deepEqual([fourth.fate, fifth.fate], ["", ""]);
    world.pass(PROTECTED_MS - 500);
    assert.deepEqual(fates([second, third]), { "idle": 2 });
    assert.deepEqual(fates([first, fourth, fifth]), { admitted: 3 });
    assert.equal(world.arrive().fate, "");
    world.pass(500);
    assert.equal(first.fate, "idle");
    assert.equal(world.limiter.connections, 3);
  });

  it("closes no connection within 1.5 s of its progress", () => {
    const world = new World(1, 10);
    const first = world.arrive();
    const second = world.arrive();
    for (let step = 0; step < 5; step++) {
      world.pass(PROTECTED_MS - 500);
      assert.deepEqual([first.fate, second.fate], ["admitted", ""]);
      first.slot.progress();
    }
    world.pass(PROTECTED_MS);
    assert.deepEqual([first.fate, second.fate], ["idle", "admitted"]);
  });

  it("closes a connection of the address with the most idle connections", () => {
    for (const newcomer of ["alone", "flood", "other"]) {
      const world = new World(3, 10);
      const alone = world.arrive("alone");
      const flood = world.many(2, "flood");
      world.pass(PROTECTED_MS);
      assert.equal(world.arrive(newcomer).fate, "admitted");
      assert.deepEqual([alone.fate, flood[0]!.fate, flood[1]!.fate], [
        "admitted",
        "idle",
        "admitted",
      ]);
    }
  });

  it("closes an idle connection when another of an equally large address makes progress", () => {
    const world = new World(3, 10);
    const [lively, idle, other] = ["a", "b", "c"].map((key) => world.arrive(key));
    world.pass(PROTECTED_MS - 500);
    lively!.slot.progress();
    world.pass(500);
    assert.equal(world.arrive("d").fate, "admitted");
    assert.deepEqual([lively!.fate, idle!.fate, other!.fate], [
      "admitted",
      "idle",
      "admitted",
    ]);
  });

  it("first closes a connection without progress for 30 s, whatever its address", () => {
    const world = new World(10, 10);
    const idle = world.arrive("idle");
    world.pass(STALE_MS - 500);
    const office = world.many(9, "office");
    world.pass(500);
    assert.equal(world.arrive("new").fate, "admitted");
    assert.deepEqual(fates([idle, ...office]), { admitted: 9, "idle": 1 });
  });

  it("spares connections that wait for the relay, and authenticated ones", () => {
    const world = new World(3, 10);
    const [checking, loggedIn, idle] = world.many(3) as [Client, Client, Client];
    checking.slot.pin();
    loggedIn.slot.pin();
    loggedIn.slot.authenticated();
    world.pass(PROTECTED_MS);
    const next = world.arrive();
    assert.deepEqual([next.fate, idle.fate], ["admitted", "idle"]);
    next.slot.authenticated();
    // The check will end.
    const waiting = world.arrive();
    assert.equal(waiting.fate, "");
    // Its login has failed: it counts like all others again.
    checking.slot.unpin();
    world.pass(PROTECTED_MS);
    assert.deepEqual([checking.fate, loggedIn.fate, waiting.fate], [
      "idle",
      "admitted",
      "admitted",
    ]);
    waiting.slot.authenticated();
    assert.equal(world.arrive().fate, "full");
  });

  it("gives no slot to a connection whose address is not known yet", () => {
    const world = new World(1, 10);
    const unidentified = world.unidentified();
    const direct = world.arrive();
    assert.deepEqual([unidentified.fate, direct.fate], ["", "admitted"]);
    assert.deepEqual([world.limiter.connections, world.limiter.queued], [1, 0]);
    unidentified.slot.identify("b");
    assert.deepEqual([unidentified.fate, world.limiter.queued], ["", 1]);
    world.pass(PROTECTED_MS);
    assert.deepEqual([unidentified.fate, direct.fate], ["admitted", "idle"]);
  });

  it("frees exactly one slot for each closed connection", () => {
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

describe("MAX_CONNECTIONS, reached by authenticated clients", () => {
  /** Of forty slots, ten are an account's share. */
  const PLACES = 40;

  function loggedIn(world: World, count: number, account: string, key: string, known = true) {
    const clients = world.many(count, key);
    for (const { slot } of clients) slot.authenticated({ key: account, known });
    return clients;
  }

  it("has room for others: the account with the most connections loses those over its share", () => {
    for (const key of ["elsewhere", "same"]) {
      const world = new World(PLACES, 100);
      const greedy = loggedIn(world, PLACES, "greedy", "same");
      world.pass(PROTECTED_MS);
      const honest = loggedIn(world, 10, "honest", key);
      assert.deepEqual(fates(honest), { admitted: 10 });
      assert.deepEqual(fates(greedy), { admitted: 30, "over share": 10 });
      assert.equal(world.limiter.connections, PLACES);
    }
  });

  it("has room for others as well when many unverified accounts hold the slots", () => {
    const world = new World(PLACES, 100);
    const strangers = range(PLACES).flatMap((i) => loggedIn(world, 1, `${i}`, `${i}`, false));
    world.pass(PROTECTED_MS);
    assert.deepEqual(fates(loggedIn(world, 10, "honest", "honest")), { admitted: 10 });
    assert.equal(fates(strangers)["over share"], 10);
  });

  it("does not close them for unauthenticated clients that already have a share", () => {
    const world = new World(PLACES, 100);
    const greedy = loggedIn(world, PLACES, "greedy", "greedy");
    world.pass(PROTECTED_MS);
    const strangers = world.many(30, "strangers");
    assert.equal(fates(greedy)["over share"], 10);
    world.pass(20 * PROTECTED_MS);
    assert.equal(fates(greedy)["over share"], 10);
    assert.equal(world.limiter.connections, PLACES);
    assert.equal(fates(strangers)["full"], undefined);
  });

  it("closes an idle unauthenticated connection first", () => {
    const world = new World(PLACES, 100);
    const idle = world.arrive("idle");
    const greedy = loggedIn(world, PLACES - 1, "greedy", "greedy");
    world.pass(PROTECTED_MS);
    assert.equal(world.arrive("new").fate, "admitted");
    assert.equal(idle.fate, "idle");
    assert.deepEqual(fates(greedy), { admitted: PLACES - 1 });
  });

  it("lets a new connection wait when all messages of an account over its share are being sent", () => {
    const world = new World(PLACES, 100);
    const greedy = loggedIn(world, PLACES, "greedy", "greedy");
    for (const { slot } of greedy) slot.pin();
    world.pass(PROTECTED_MS);
    const honest = world.arrive("honest");
    assert.equal(honest.fate, "");
    greedy[3]!.slot.remove();
    world.pass(500);
    assert.equal(honest.fate, "admitted");
  });

  it("counts a connection for the account of its latest login", () => {
    for (const [first, second] of [["greedy", ""], ["", "greedy"]] as const) {
      const world = new World(PLACES, 100);
      const clients = range(PLACES).flatMap((i) => loggedIn(world, 1, first || `${i}`, `${i}`));
      for (const [i, { slot }] of clients.entries()) {
        slot.pin();
        slot.authenticated({ key: second || `${i}`, known: true });
      }
      world.pass(PROTECTED_MS);
      assert.equal(world.arrive("new").fate, second === "greedy" ? "admitted" : "full");
    }
  });

  it("closes a connection whose message waits for its turn", () => {
    const world = new World(PLACES, 100);
    const greedy = loggedIn(world, PLACES, "greedy", "greedy");
    for (const { slot } of greedy) {
      slot.pin();
      slot.setActivity("waiting");
    }
    world.pass(PROTECTED_MS);
    assert.equal(world.arrive("honest").fate, "admitted");
    assert.equal(greedy.at(-1)!.fate, "over share");
  });
});

describe("a slot whose client has its last reply", () => {
  it("is kept while there are others, and is the first to be reused", () => {
    const world = new World(3, 10);
    const [first, second, third] = world.many(3) as [Client, Client, Client];
    third.slot.authenticated();
    second.slot.retire();
    third.slot.retire();
    assert.deepEqual(fates([first, second, third]), { admitted: 3 });
    assert.equal(world.arrive().fate, "admitted");
    assert.equal(world.arrive().fate, "admitted");
    assert.deepEqual(fates([first, second, third]), { admitted: 1, retired: 2 });
    second.slot.remove();
    third.slot.remove();
    assert.equal(world.limiter.connections, 3);
  });

  it("no longer counts for its address", () => {
    const world = new World(10, 1);
    const one = world.arrive();
    const held = world.arrive();
    assert.equal(held.fate, "");
    one.slot.retire();
    assert.equal(held.fate, "admitted");
    one.slot.remove();
    assert.equal(world.limiter.connections, 1);
  });

  it("goes immediately to a connection that joins the queue", () => {
    const world = new World(1, 10);
    const one = world.arrive("a");
    one.slot.authenticated();
    one.slot.remove();
    const two = world.arrive("b");
    two.slot.pin();
    const three = world.arrive("c");
    assert.equal(three.fate, "");
    two.slot.retire();
    assert.deepEqual([two.fate, three.fate], ["retired", "admitted"]);
  });
});

describe("an account over its share", () => {
  const owner = { key: "greedy", known: true };
  /** Its forty connections hold all slots. */
  const greedy = () => {
    const world = new World(40, 100);
    const clients = world.many(40, "greedy");
    for (const { slot } of clients) slot.authenticated(owner);
    return { world, clients };
  };

  it("makes room although none of its connections is ever idle for long", () => {
    const { world, clients } = greedy();
    for (let i = 0; i < 10; i++) {
      world.pass(500);
      for (const { slot } of clients) {
        slot.setActivity("receiving");
        slot.setActivity("idle");
      }
    }
    assert.equal(world.arrive("honest").fate, "admitted");
    assert.deepEqual(fates(clients), { admitted: 39, "over share": 1 });
  });

  it("makes room though a message of each of its connections was accepted a moment ago", () => {
    const { world, clients } = greedy();
    world.pass(500);
    for (const { slot } of clients) {
      slot.pin();
      slot.authenticated(owner);
    }
    assert.equal(world.arrive("honest").fate, "admitted");
    assert.deepEqual(fates(clients), { admitted: 39, "over share": 1 });
  });

  it("makes room after the next message when all connections are busy", () => {
    const { world, clients } = greedy();
    for (const { slot } of clients) slot.setActivity("busy");
    world.pass(PROTECTED_MS);
    const honest = world.arrive("honest");
    assert.equal(honest.fate, "");
    clients[7]!.slot.setActivity("idle");
    assert.deepEqual([honest.fate, clients[7]!.fate], ["admitted", "over share"]);
  });

  it("makes room soon when all have just logged in, before a connection that is logging in has to", () => {
    const { world, clients } = greedy();
    world.pass(PROTECTED_MS);
    const honest = world.arrive("honest");
    const others = clients.filter(({ fate }) => fate === "admitted");
    for (const { slot } of others) slot.remove();
    for (const { slot } of world.many(39, "greedy")) slot.authenticated(owner);
    world.many(5, "greedy");
    world.pass(500);
    assert.equal(honest.fate, "admitted");
  });
});

function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

describe("a queue for MAX_CONNECTIONS", () => {
  const keys = (world: World, count: number) => range(count).map((i) => world.arrive(`${i}`));

  it("forms while all connections are within their protected time", () => {
    const world = new World(1000, 100);
    const clients = keys(world, 1500);
    assert.deepEqual(fates(clients), { admitted: 1000, "": 500 });
    assert.equal(world.limiter.queued, 500);
    world.pass(PROTECTED_MS);
    assert.deepEqual(fates(clients), { admitted: 1000, "idle": 500 });
    assert.equal(world.limiter.connections, 1000);
  });

  it("is served in order, and immediately when a connection closes", () => {
    const world = new World(20, 20);
    const clients = keys(world, 24);
    const waiting = clients.slice(20);
    clients[7]!.slot.remove();
    assert.deepEqual(waiting.map(({ fate }) => fate), ["admitted", "", "", ""]);
  });

  for (const proxied of [false, true]) {
    it(`does not keep 200 addresses waiting for a flood from one${proxied ? ", after a proxy" : ""}`, () => {
      const world = new World(1000, 1);
      const arrive = (key: string) => {
        if (!proxied) return world.arrive(key);
        const client = world.unidentified();
        client.slot.identify(key);
        return client;
      };
      const flood = range(3_000).map(() => arrive("a"));
      assert.ok(world.limiter.queued > 1_000);
      const others = range(200).map((i) => arrive(`other ${i}`));
      world.pass(PROTECTED_MS);
      assert.deepEqual(fates(others), { admitted: 200 });
      assert.equal(flood.at(-1)!.fate, "");
    });
  }

  it("leaves each connection its protected time when an address begins to flood", () => {
    const world = new World(60, 20);
    const clients: Client[] = [];
    let early = 0;
    for (let i = 0; i < 1_000; i++) {
      clients.push(world.arrive("a"));
      world.now += 5;
      if (i % 100 === 99) world.limiter.tick();
      for (const client of [...clients]) {
        if (client.fate === "" || client.fate === "admitted") continue;
        clients.splice(clients.indexOf(client), 1);
        if (client.fate === "idle" && world.now - client.slot.since < PROTECTED_MS) early++;
      }
    }
    assert.ok(world.limiter.queued > 100);
    assert.equal(early, 0);
  });

  it("does not charge a client for the process's own slowness", () => {
    const world = new World(100, 20);
    keys(world, 499);
    world.pass(PROTECTED_MS);
    const honest = world.arrive("honest");
    while (honest.fate === "") world.pass(500);
    // Nothing is read for three seconds; then the connections are accepted that came meanwhile.
    world.now += 2 * PROTECTED_MS;
    for (let i = 0; i < 100; i++) world.arrive(`later ${i}`);
    assert.equal(honest.fate, "admitted");
    world.pass(PROTECTED_MS);
    assert.equal(honest.fate, "idle");
  });

  it("is limited in length: the address with the most waiting connections loses one", () => {
    const world = new World(100, 1000, 50);
    const flood = world.many(300, "flood");
    const others = keys(world, 20);
    assert.equal(world.limiter.queued, 50);
    assert.deepEqual(fates(flood), { admitted: 100, "": 30, full: 170 });
    assert.deepEqual(fates(others), { "": 20 });
  });

  it("counts connections of unknown address, and drops the oldest of them", () => {
    const world = new World(1, 10, 50);
    const silent = range(60).map(() => world.unidentified());
    assert.deepEqual(fates(silent), { "": 51, full: 9 });
    assert.equal(world.arrive("a").fate, "admitted");
    assert.equal(silent.at(-1)!.fate, "");
  });

  it("may have length 0: a new connection still takes the slot of an idle one", () => {
    const world = new World(2, 10, 0);
    const clients = world.many(3);
    assert.deepEqual(clients.map(({ fate }) => fate), ["admitted", "admitted", "full"]);
    world.pass(PROTECTED_MS);
    assert.equal(world.arrive().fate, "admitted");
  });

  it("is left with 421 4.3.2 when all others have logged in, or after 30 s", () => {
    const world = new World(20, 20);
    const clients = keys(world, 40);
    for (const { fate, slot } of clients) if (fate === "admitted") slot.authenticated();
    world.pass(500);
    assert.deepEqual(fates(clients), { admitted: 20, full: 20 });
    const busy = new World(20, 20);
    const all = keys(busy, 40);
    for (let passed = 0; passed < QUEUE_WAIT_MS; passed += 500) {
      for (const { fate, slot } of all) if (fate === "admitted") slot.progress();
      busy.pass(500);
    }
    assert.equal(busy.limiter.queued, 0);
  });

  it("keeps no connection that has closed", () => {
    const world = new World(20, 20);
    for (const { slot } of keys(world, 40)) slot.remove();
    assert.deepEqual([world.limiter.queued, world.limiter.connections], [0, 0]);
  });

  for (const [where, keyOf] of [["one address", () => "a"], ["each its own", String]] as const) {
    it(`lets an honest client through, among 5,000 that reconnect a second after each close: ${where}`, () => {
      const world = new World(1000, 100);
      let slow = Array.from({ length: 5_000 }, (_, i) => ({ i, client: world.arrive(keyOf(i)) }));
      const comeBack: (readonly number[])[] = [[], []];
      /** Half a second of it. */
      const pass = () => {
        world.pass(500);
        const ended = slow.filter(({ client }) => client.fate !== "" && client.fate !== "admitted");
        slow = slow.filter(({ client }) => client.fate === "" || client.fate === "admitted");
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
          assert.equal(honest.fate, "admitted");
          honest.slot.progress();
        }
        honest.slot.pin();
        for (let i = 0; i < 10; i++) pass();
        honest.slot.authenticated();
        assert.equal(honest.fate, "admitted");
        honest.slot.remove();
      }
    });
  }
});

describe("many clients that reconnect all the time", () => {
  it("close connections of the addresses with the most, not of one with a single client", () => {
    const world = new World(100, 100);
    const single = world.arrive("single");
    const two = world.many(2, "two");
    while (world.now < 20_000) {
      for (let j = 0; j < 100; j++) world.arrive(`many ${j % 10}`);
      world.pass(500);
    }
    assert.ok(world.limiter.queued > 1);
    assert.deepEqual(fates([single, ...two]), { admitted: 3 });
  });

  it("from as many addresses close the connection longest without progress", () => {
    const world = new World(10, 100);
    const clients = range(11).map((i) => {
      world.pass(500);
      return world.arrive(`${i}`);
    });
    assert.equal(clients[0]!.fate, "idle");
    assert.deepEqual(fates(clients.slice(1)), { admitted: 10 });
  });
});

describe("MAX_CONNECTIONS_PER_IP", () => {
  it("of 3 holds the fourth connection, and refuses it when no slot becomes free", () => {
    const world = new World(100, 3);
    const idle = world.many(3);
    const fourth = world.arrive();
    assert.deepEqual([fates(idle), fourth.fate], [{ admitted: 3 }, ""]);
    assert.equal(world.arrive("b").fate, "admitted");
    world.pass(ADDRESS_WAIT_MS - 500);
    assert.equal(fourth.fate, "");
    world.pass(500);
    assert.equal(fourth.fate, "address full");
    assert.deepEqual(fates(idle), { admitted: 3 });
  });

  it("of 5 refuses 15 of 20 simultaneous connections", () => {
    const world = new World(100, 5);
    const clients = world.many(20);
    world.pass(ADDRESS_WAIT_MS);
    assert.deepEqual(fates(clients), { admitted: 5, "address full": 15 });
  });

  it("gives a slot freed by a login or by a close to the first held connection", () => {
    const world = new World(100, 2);
    const [one, two] = world.many(2) as [Client, Client];
    const held = world.many(3);
    one.slot.authenticated();
    assert.deepEqual(held.map(({ fate }) => fate), ["admitted", "", ""]);
    two.slot.remove();
    assert.deepEqual(held.map(({ fate }) => fate), ["admitted", "admitted", ""]);
    world.pass(ADDRESS_WAIT_MS);
    assert.equal(held[2]!.fate, "address full");
  });

  it("counts only unauthenticated connections, even when a thousand arrive together", () => {
    const world = new World(10_000, 100);
    for (const { slot } of world.many(100)) slot.authenticated();
    const clients = world.many(100);
    assert.deepEqual(fates(clients), { admitted: 100 });
  });

  it("closes a connection without progress for 30 s, but none whose login is being checked", () => {
    const world = new World(100, 3);
    const [stale, checking, lively] = world.many(3) as [Client, Client, Client];
    checking.slot.pin();
    world.pass(STALE_MS - 1_000);
    lively.slot.progress();
    const held = world.arrive();
    assert.equal(held.fate, "");
    world.pass(1_000);
    assert.deepEqual([held.fate, stale.fate], ["admitted", "address idle"]);
    const next = world.arrive();
    world.pass(ADDRESS_WAIT_MS);
    assert.deepEqual([next.fate, checking.fate, lively.fate], [
      "address full",
      "admitted",
      "admitted",
    ]);
  });
});

describe("a flood from one address", () => {
  const LIMIT = 100;
  const FLOOD = floodSize(LIMIT);

  it("begins at a quarter plus 16 over the limit: then its connections are admitted", () => {
    const world = new World(10_000, LIMIT);
    const clients = world.many(FLOOD);
    assert.deepEqual(fates(clients), { admitted: LIMIT, "": FLOOD - LIMIT });
    assert.equal(world.arrive().fate, "admitted");
    assert.deepEqual(fates(clients), { admitted: FLOOD });
  });

  it("of 600 honest clients lets each one log in", () => {
    const world = new World(1000, LIMIT);
    const clients = world.many(600);
    assert.deepEqual(fates(clients), { admitted: 600 });
    world.pass(1_000);
    for (const { slot } of clients) slot.authenticated();
    world.pass(60_000);
    assert.deepEqual(fates(clients), { admitted: 600 });
  });

  it("leaves as many idle connections as the limit; the relay's own time is not counted", () => {
    const world = new World(10_000, LIMIT);
    const idle = world.many(FLOOD);
    const [lively, checked] = world.many(2) as [Client, Client];
    checked.slot.pin();
    world.pass(PROTECTED_MS - 500);
    lively.slot.progress();
    world.pass(500);
    assert.deepEqual(fates(idle), { admitted: LIMIT - 2, "address idle": FLOOD - LIMIT + 2 });
    world.pass(PROTECTED_MS);
    assert.deepEqual(fates([lively, checked]), { admitted: 2 });
  });

  it("does not charge a client for a late tick", () => {
    const world = new World(10_000, LIMIT);
    world.many(FLOOD);
    const client = world.arrive();
    world.now += 60_000;
    world.limiter.tick();
    assert.equal(client.fate, "admitted");
  });

  it("closes no connection of another address when MAX_CONNECTIONS is reached", () => {
    const world = new World(1000, LIMIT);
    const other = world.arrive("b");
    world.many(5_000);
    assert.equal(world.limiter.connections, 1000);
    const stranger = world.arrive("c");
    world.pass(PROTECTED_MS);
    assert.deepEqual([stranger.fate, other.fate], ["admitted", "admitted"]);
  });

  it("gains no time by little progress against an address within its limit", () => {
    const world = new World(300, LIMIT);
    const flood = [...world.many(400), ...world.many(400, "b")];
    const strangers: Client[] = [];
    for (let passed = 0; passed < 6_000; passed += 500) {
      world.pass(500);
      for (const { fate, slot } of flood) if (fate === "admitted") slot.progress();
      if (passed >= 2 * PROTECTED_MS) strangers.push(world.arrive(`c${passed}`));
    }
    assert.deepEqual(fates(strangers), { admitted: strangers.length });
    // The second address gets as many slots as its limit as well.
    assert.deepEqual(fates(flood), {
      "": 500 - LIMIT,
      admitted: 300 - strangers.length,
      idle: LIMIT + strangers.length,
    });
  });

  it("ends with its connections: then new ones wait again", () => {
    const world = new World(10_000, LIMIT);
    for (const { slot } of world.many(FLOOD + 1).slice(LIMIT)) slot.remove();
    const held = world.arrive();
    assert.equal(held.fate, "");
    world.pass(ADDRESS_WAIT_MS);
    assert.equal(held.fate, "address full");
  });

  it("leaves no state", () => {
    const world = new World(10_000, 1);
    for (let i = 0; i < 200; i++) for (const { slot } of world.many(50, `${i}`)) slot.remove();
    assert.deepEqual([world.limiter.connections, world.limiter.addresses], [0, 0]);
  });
});

it("the limiter takes the same time for each connection, however many there are", () => {
  const world = new World(20_000, 50);
  const begun = performance.now();
  for (let i = 0; i < 60_000; i++) world.arrive(`${i % 1000}`);
  // A walk through all slots for each connection would take minutes.
  assert.ok(performance.now() - begun < 10_000);
  assert.equal(world.limiter.connections, 20_000);
});

describe("turns in the queue", () => {
  it("go from address to address: the last client does not wait for the many of another address", () => {
    const world = new World(20, 1000);
    const flood = world.many(500, "flood");
    // Its PROXY header gives it its own turn.
    const honest = world.unidentified();
    honest.slot.identify("honest");
    assert.equal(honest.fate, "");
    // The flooding address has its turn, then the other one.
    for (const { slot } of flood.slice(0, 2)) slot.remove();
    assert.equal(honest.fate, "admitted");
    assert.equal(flood[20]!.fate, "admitted");
    assert.equal(flood[21]!.fate, "");
  });
});
