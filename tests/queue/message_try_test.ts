/** What becomes of a message after a try: tried again when, held, given up, never lost. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { reply } from "../../src/smtp/reply.ts";
import {
  DAY,
  HOUR,
  later,
  MINUTE,
  newSealer,
  noToken,
  refusal,
  UNREACHABLE,
  World,
} from "./queue_world.ts";

describe("a message that is refused for good", () => {
  it("is given up and kept, with its reason", async () => {
    const world = new World();
    world.answer = () => ({ ...refusal("ErrorMimeContentInvalid"), requestId: "r-1" });
    const id = await world.add();
    await world.run();
    assert.deepEqual(world.told, [`dead ${id} ErrorMimeContentInvalid`]);
    const [event] = world.queueEvents();
    assert.equal(event!.requestId, "r-1");
    assert.equal(event!.detail, "said ErrorMimeContentInvalid");
    const stored = world.store.stored(id)!;
    assert.deepEqual([stored.state, stored.code, stored.attempts], [
      "dead",
      "ErrorMimeContentInvalid",
      1,
    ]);
    await world.pass(3 * DAY, HOUR);
    assert.equal(world.tried.length, 1);
  });

  it("holds up no other", async () => {
    const world = new World({ limits: { mailbox: 1 } });
    const [bad, ...good] = await world.addAll(3);
    world.answer = ({ id }) => id === bad ? refusal("ErrorInvalidRecipients") : "sent";
    const { clock } = world;
    const now = clock.now();
    await world.run();
    assert.deepEqual(world.sent, good);
    assert.equal(clock.now(), now);
  });

  it("is tried again by an administrator, however old it is", async () => {
    const world = new World();
    world.answer = () => refusal("ErrorAccessDenied");
    const id = await world.add();
    await world.run();
    await world.pass(5 * DAY, HOUR);
    world.answer = () => "sent";
    world.store.retry(id);
    await world.passUntil(() => world.sent.length === 1, 500, MINUTE);
    assert.deepEqual(world.told, [`dead ${id} ErrorAccessDenied`, `sent ${id}`]);
  });

  it("may be too old again after that, once the time is over again", async () => {
    const world = new World({ maxAge: HOUR });
    world.answer = () => refusal("ErrorAccessDenied");
    const id = await world.add();
    await world.run();
    await world.pass(DAY, HOUR);
    world.answer = () => UNREACHABLE;
    world.store.retry(id);
    const time = await world.passUntil(() => world.store.stored(id)!.state === "dead", 10_000);
    assert(Math.abs(time - HOUR) < 6 * MINUTE, `${time / MINUTE} minutes`);
    assert.equal(world.told.at(-1), `dead ${id} QUEUE_MAX_AGE`);
  });
});

describe("a message that fails for the moment", () => {
  it("is tried three times in its place, then with longer and longer waits up to an hour", async () => {
    const world = new World({ maxAge: 30 * DAY });
    // The longest waits that the dice can give.
    world.clock.chance = 0.999;
    const times: number[] = [];
    const good = new Map<string, true>();
    world.answer = ({ id }) => {
      if (good.has(id)) return "sent";
      times.push(world.clock.now());
      return later("ErrorMailboxStoreUnavailable");
    };
    const bad = await world.add();
    await world.run();
    // Mail that goes through keeps the mailbox itself out of trouble.
    for (let minute = 0; minute < 12 * 60; minute++) {
      good.set(await world.add(), true);
      await world.pass(MINUTE, MINUTE);
    }
    const waits = times.slice(1).map((time, index) => (time - times[index]!) / MINUTE);
    assert(waits.length > 10, waits.join(" "));
    // The clock goes in steps of a minute.
    assert(Math.max(...waits) <= 61, waits.join(" "));
    assert(Math.max(...waits) >= 59, waits.join(" "));
    for (const [index, wait] of waits.entries()) {
      if (index > 2) assert(wait + 1 >= waits[index - 1]!, waits.join(" "));
    }
    assert.equal(world.sent.length, good.size, "it holds up no other message of its mailbox");
    assert(!world.sent.includes(bad));
  });

  it("waits by chance, and never not at all (full jitter)", async () => {
    const waits = new Set<number>();
    for (const chance of [0, 0.2, 0.5, 0.9]) {
      const world = new World();
      world.clock.chance = chance;
      world.answer = () => later("ErrorQuotaExceeded");
      await world.add();
      await world.run();
      waits.add(world.queueEvents("deferred")[0]!.due! - world.clock.date());
    }
    assert.deepEqual([...waits], [200, 400, 1000, 1800]);
  });

  it("waits as long as the service asks, with its whole mailbox", async () => {
    const world = new World({ limits: { mailbox: 1 } });
    const ids = await world.addAll(3);
    const [other] = await world.addAll(1, { from: "bea@x.test" });
    let throttles = true;
    world.answer = ({ mailbox }) => {
      if (mailbox !== "ann@x.test" || !throttles) return "sent";
      throttles = false;
      return later("ApplicationThrottled", 120_000);
    };
    await world.run();
    assert.deepEqual(world.sent, [other], "another mailbox is not concerned");
    const [event] = world.queueEvents("deferred");
    assert.equal(event!.due, world.clock.date() + 120_000);
    const time = await world.passUntil(() => world.sent.length === 4);
    assert(time >= 120_000 && time <= 122_000, `${time}`);
    assert.deepEqual(world.sent.slice(1), ids, "in the old order");
    assert.equal(world.tried.length, 5);
  });

  it("that has no turn at its mailbox is not counted, nor told", async () => {
    const world = new World();
    let turns = 0;
    world.refusal = () => turns++ < 5 ? later("PACING_TIMEOUT") : undefined;
    const id = await world.add();
    await world.run();
    await world.passUntil(() => world.sent.length === 1, 100, 10_000);
    assert.deepEqual(world.told, [`sent ${id}`]);
    assert.equal(turns, 6);
  });

  it("keeps the reason for an administrator", async () => {
    const world = new World({ maxAge: HOUR });
    world.answer = () => UNREACHABLE;
    const id = await world.add();
    await world.run();
    const { code, state } = world.store.stored(id)!;
    assert.deepEqual([code, state], ["ECONNREFUSED", "queued"]);
    await world.passUntil(() => world.store.stored(id)!.state === "dead", 10_000);
    const event = world.queueEvents("dead")[0]!;
    assert.match(event.detail!, /QUEUE_MAX_AGE; the last failure: ECONNREFUSED: said ECONNREFUSED/);
  });
});

describe("QUEUE_MAX_AGE", () => {
  const gone = (world: World, id: string) => () => world.store.stored(id)?.state === "dead";

  it("ends the tries in time, also while the back end does not answer", async () => {
    const world = new World({ maxAge: DAY });
    world.answer = () => UNREACHABLE;
    const ids: string[] = [];
    for (let i = 0; i < 40; i++) ids.push(await world.add({ from: `m${i % 10}@x.test` }));
    await world.run();
    await world.pass(DAY - MINUTE, MINUTE);
    assert.deepEqual(world.store.ids("dead"), []);
    const time = await world.passUntil(() => world.store.ids("dead").length === 40, 10_000);
    assert(time < 10 * MINUTE, `${time / MINUTE} minutes later`);
    assert.deepEqual(world.store.ids("dead"), ids);
  });

  it("ends them also while Entra ID does not answer", async () => {
    const world = new World({ maxAge: DAY });
    world.token = () => noToken("later", "ECONNREFUSED");
    const id = await world.add();
    await world.run();
    const time = await world.passUntil(gone(world, id), MINUTE);
    assert(time >= DAY && time < DAY + 10 * MINUTE, `${time / MINUTE} minutes`);
    assert.deepEqual(world.tried, []);
  });

  it("ends them also while the lookup table does not answer", async () => {
    const world = new World({ maxAge: DAY });
    world.account = () => ({
      type: "later",
      reply: reply(451, "4.7.0", "no answer"),
      detail: "the table does not answer",
    });
    const id = await world.add();
    await world.run();
    assert(await world.passUntil(gone(world, id), MINUTE) >= DAY);
  });

  it("ends them also where a message waits for a long own wait", async () => {
    const world = new World({ maxAge: DAY });
    world.clock.chance = 0.999;
    world.answer = () => later("ErrorQuotaExceeded");
    const id = await world.add();
    await world.run();
    const time = await world.passUntil(gone(world, id), MINUTE);
    assert(time >= DAY && time < DAY + 6 * MINUTE, `${time / MINUTE} minutes`);
  });

  it("gives up no message untried, however long the relay was off", async () => {
    const world = new World();
    const [good, bad] = [await world.add(), await world.add({ from: "bea@x.test" })];
    world.answer = ({ id }) => id === good ? "sent" : UNREACHABLE;
    await world.pass(3 * DAY, HOUR);
    await world.run();
    // Of two mailboxes, in any order.
    assert.deepEqual(world.told.sort(), [`deferred ${bad} ECONNREFUSED`, `sent ${good}`]);
    assert(await world.passUntil(gone(world, bad)) <= MINUTE);
    assert.deepEqual(world.tried, [good, bad], "once is enough");
  });

  it("does not concern what is held: an administrator decides", async () => {
    const world = new World({ maxAge: HOUR });
    world.token = () => noToken("refused", "AADSTS7000222");
    const id = await world.add();
    await world.run();
    await world.pass(10 * DAY, HOUR);
    assert.equal(world.store.stored(id)!.state, "held");
    assert.equal(world.told.length, 1);
  });

  it("ends nothing when the machine's time was set back", async () => {
    const world = new World({ maxAge: HOUR });
    const date = world.clock.date.bind(world.clock);
    const id = await world.add();
    world.clock.date = () => date() - DAY;
    await world.run();
    assert.deepEqual(world.told, [`sent ${id}`]);
    assert.equal(world.queueEvents()[0]!.message.age, 0);
  });
});

describe("a message whose mailbox has no free slot", () => {
  for (const [pause, retryAfter] of [[1_000, undefined], [10 * MINUTE, 10 * MINUTE]] as const) {
    it(`is tried again after ${pause / 1000} s, and nothing has happened to it`, async () => {
      const world = new World();
      let asked = 0;
      world.refusal = () => {
        asked++;
        return later("PACING_TIMEOUT", retryAfter);
      };
      const id = await world.add();
      await world.run();
      await world.pass(5 * pause - 1, pause / 2);
      assert(asked > 2 && asked <= 5, `asked ${asked} times`);
      assert.deepEqual(world.told, []);
      assert.equal(world.store.stored(id)!.attempts, 0);
      world.refusal = () => undefined;
      await world.passUntil(() => world.sent.length === 1, pause / 2);
    });
  }
});

describe("a message whose login is refused", () => {
  it("is held, with an event, and not sent", async () => {
    const world = new World();
    world.token = () => noToken("refused", "AADSTS7000215");
    const id = await world.add();
    await world.run();
    assert.deepEqual(world.told, [`held ${id} AADSTS7000215`]);
    assert.deepEqual(world.tried, []);
  });

  it("is sent with the account's newest secret at once, if that is another", async () => {
    const world = new World();
    world.token = (secret) => secret === "new" ? undefined : noToken("refused", "AADSTS7000222");
    world.latest = "new";
    let used: string | undefined;
    world.answer = ({ attempt }) => {
      const token = attempt.authorization.token("scope");
      used = token instanceof Promise || "type" in token ? undefined : token.value.reveal();
      return "sent";
    };
    await world.add({ secret: "old" });
    await world.run();
    assert.equal(world.sent.length, 1);
    assert.equal(used, "new");
  });

  it("waits with its own secret while Entra ID cannot tell whether it is good", async () => {
    const world = new World();
    const asked: string[] = [];
    world.token = (secret) => {
      asked.push(secret);
      return secret === "new" ? undefined : noToken("later", "ECONNREFUSED");
    };
    world.latest = "new";
    const id = await world.add({ secret: "old" });
    await world.run();
    assert.deepEqual(world.told, [`deferred ${id} ECONNREFUSED`]);
    assert.deepEqual(asked, ["old"]);
  });

  it("is held if only Entra ID's absence let it log in, though the account has a newer secret", async () => {
    const world = new World();
    world.token = (secret) => secret === "new" ? undefined : noToken("refused", "AADSTS7000222");
    world.latest = "new";
    world.isVerified = false;
    const id = await world.add({ secret: "revoked" });
    await world.run();
    assert.deepEqual(world.told, [`held ${id} AADSTS7000222`]);
    assert.deepEqual(world.tried, []);
    assert.deepEqual(world.refusedSecrets, ["revoked"], "it may not log in again without Entra ID");
    world.store.retry(id);
    await world.passUntil(() => world.sent.length === 1, 500, MINUTE);
  });

  it("is sent with it after a retry, if it comes later", async () => {
    const world = new World();
    world.token = (secret) => secret === "new" ? undefined : noToken("refused", "AADSTS7000222");
    world.latest = "old";
    const id = await world.add({ secret: "old" });
    await world.run();
    assert.deepEqual(world.told, [`held ${id} AADSTS7000222`]);
    await world.pass(4 * DAY, HOUR);
    world.latest = "new";
    world.store.retry(id);
    await world.passUntil(() => world.sent.length === 1, 500, MINUTE);
  });

  it("is held too if Entra ID refuses it in the middle of the delivery", async () => {
    const world = new World();
    const id = await world.add();
    world.refusal = () => ({ ...later("AADSTS7000222"), type: "refused" });
    await world.run();
    assert.deepEqual(world.told, [`held ${id} AADSTS7000222`]);
  });

  it("is held if its entry of the lookup table is disabled", async () => {
    const world = new World();
    world.account = () => ({
      type: "refused",
      reply: reply(550, "5.7.1", "no"),
      detail: "the entry is disabled",
    });
    const id = await world.add();
    await world.run();
    assert.deepEqual(world.told, [`held ${id} LOOKUP_ENTRY`]);
    world.account = (account) => account;
    world.store.retry(id);
    await world.passUntil(() => world.sent.length === 1);
  });

  it("waits while Entra ID cannot tell, and holds up no other account", async () => {
    const world = new World();
    world.token = (secret) => secret === "bad" ? noToken("later", "AADSTS90055") : undefined;
    const waiting = await world.addAll(3, { secret: "bad", from: "bad@x.test" });
    const [good] = await world.addAll(1);
    await world.run();
    assert.deepEqual(world.sent, [good]);
    assert.deepEqual(world.store.ids("queued"), waiting);
    world.token = () => undefined;
    await world.passUntil(() => world.sent.length === 4);
  });
});

describe("a message that cannot be opened", () => {
  const flip = (octets: Uint8Array) => {
    const changed = new Uint8Array(octets);
    changed[changed.length - 1]! ^= 1;
    return changed;
  };

  it("is held if its record was changed, and neither sent nor deleted", async () => {
    const world = new World();
    const id = await world.add();
    world.store.tamper(id, (stored) => ({ ...stored, record: flip(stored.record) }));
    await world.run();
    await world.pass(5 * DAY, HOUR);
    assert.deepEqual(world.told, [`held ${id} TAMPERED`]);
    assert.deepEqual(world.tried, []);
    assert.deepEqual(world.store.ids("held"), [id]);
  });

  it("is held if its note or its content was changed", async () => {
    const world = new World();
    const [first, second] = [await world.add(), await world.add({ from: "bea@x.test" })];
    world.store.tamper(first, (stored, content) => {
      content[content.length - 1] = flip(content.at(-1)!);
      return stored;
    });
    world.store.tamper(second, (stored) => ({ ...stored, note: new Uint8Array(80) }));
    await world.run();
    assert.deepEqual(world.told.sort(), [`held ${first} TAMPERED`, `held ${second} TAMPERED`]);
    assert.deepEqual(world.tried, []);
  });

  it("is held if it has another size than it is said to have, which memory is kept free by", async () => {
    const world = new World();
    const [small, large] = [await world.add(), await world.add({ from: "bea@x.test" })];
    world.store.tamper(small, (stored) => ({ ...stored, size: 1 }));
    world.store.tamper(large, (stored) => ({ ...stored, size: stored.size + 1 }));
    await world.run();
    assert.deepEqual(world.told.sort(), [`held ${small} TAMPERED`, `held ${large} TAMPERED`]);
    assert.deepEqual(world.tried, []);
  });

  it("is held if it was put in another's place", async () => {
    const world = new World();
    const [one, two] = [await world.add(), await world.add()];
    const record = world.store.stored(one)!.record;
    world.store.tamper(two, (stored) => ({ ...stored, record }));
    await world.run();
    assert.deepEqual(world.sent, [one]);
    assert.deepEqual(world.store.ids("held"), [two]);
  });

  it("is held with another key, and sent with its own after a retry, however late", async () => {
    const before = new World();
    const id = await before.add();
    const { store, clock, sealer } = before;
    const other = new World({ store, clock, sealer: newSealer() });
    await other.run();
    assert.deepEqual(other.told, [`held ${id} QUEUE_KEY`]);
    await other.pass(5 * DAY, HOUR);
    await other.worker.stop();
    const world = new World({ store, clock, sealer });
    store.retry(id);
    await world.run();
    assert.deepEqual(world.sent, [id]);
  });
});
