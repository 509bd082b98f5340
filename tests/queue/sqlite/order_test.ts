// Which message is next, and that finding it does not take longer with a longer queue.

import assert from "node:assert/strict";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { openSqliteAdministration } from "../../../src/queue/sqlite/administration.ts";
import { openSqliteQueue } from "../../../src/queue/sqlite/sqlite_queue.ts";
import type {
  MessageState,
  QueueAdministration,
  QueueStore,
  TakenMessage,
} from "../../../src/queue/store.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import * as fc from "../../support/property.ts";
import { directory, ids, newMessage, NOBODY, takeAll } from "./support.ts";

const EMPTY = new Uint8Array();

describe("the order in which the SQLite store gives messages", () => {
  let place: ReturnType<typeof directory>;
  let path: string;
  let clock: FakeClock;
  let store: QueueStore;
  beforeEach(async () => {
    place = directory();
    path = join(place.path, "queue.db");
    clock = new FakeClock();
    store = await openSqliteQueue(path, { clock });
  });
  afterEach(async () => {
    await store.close();
    place.remove();
  });

  /** @param given id, mailbox and connection */
  const add = (
    ...given: readonly (readonly [id: string, mailbox: string, connection?: string])[]
  ) =>
    Promise.all(
      given.map(([id, mailbox, connection = `of ${id}`]) =>
        store.add(newMessage(id, { mailbox, connection, sealedSize: 10 }))
      ),
    );
  const takeIds = async (limit: number, ...busy: readonly string[]) =>
    ids(await store.take(limit, new Set(busy)));

  it("is that of arrival, one of a mailbox at once", async () => {
    await add(["1", "a"], ["2", "a"], ["3", "a"], ["4", "b"], ["5", "c"], ["6", "b"]);
    assert.deepEqual(await takeIds(2), ["1", "4"]);
    assert.deepEqual(await takeIds(10), ["2", "6", "5"], "a's oldest is older, though taken");
    assert.deepEqual(await takeIds(10), ["3"]);
  });

  it("passes over busy mailboxes", async () => {
    await add(["1", "a"], ["2", "b"], ["3", "a"], ["4", "c"]);
    assert.deepEqual(await takeIds(10, "a", "c"), ["2"]);
    assert.deepEqual(await takeIds(10, "a"), ["4"]);
    assert.deepEqual(await takeIds(10), ["1"]);
  });

  it("passes over busy accounts, as far as it can tell without reading all that waits", async () => {
    const addOf = (account: string, ...given: readonly string[]) =>
      Promise.all(
        given.map((id) =>
          store.add(newMessage(id, { mailbox: `of ${id}`, account, sealedSize: 10 }))
        ),
      );
    const takeOthers = async (limit: number) =>
      ids(await store.take(limit, NOBODY, new Set(["busy"])));
    await addOf("busy", ...Array.from({ length: 1_500 }, (_, i) => `busy${i}`));
    await addOf("quiet", "1", "2");
    assert.deepEqual(await takeOthers(10), ["1", "2"]);
    await addOf("busy", ...Array.from({ length: 1_500 }, (_, i) => `more${i}`));
    await addOf("quiet", "3");
    assert.deepEqual(await takeOthers(10), []);
    // Those before it are sent meanwhile.
    for (const message of await store.take(1_600, NOBODY)) await message.remove();
    assert.deepEqual(await takeOthers(10), ["3"]);
  });

  it("leaves a paused mailbox out until its pause is over, after a restart too", async () => {
    await add(["1", "a"], ["2", "b"]);
    const [first] = await store.take(1, NOBODY);
    await first!.giveBack(progress("queued", clock.date()), clock.date() + 1000.5);
    await add(["3", "a"]);
    assert.deepEqual(await takeIds(10), ["2"]);
    assert.equal(store.usage().oldest, 1000, "one of a paused mailbox counts");
    clock.pass(1000);
    await store.close();
    store = await openSqliteQueue(path, { clock });
    assert.deepEqual(await takeIds(10), ["2"]);
    const [, none] = await store.take(10, NOBODY);
    assert.equal(none, undefined);
    clock.pass(1);
    assert.deepEqual(await takeIds(10), ["1"]);
    assert.deepEqual(await takeIds(10), ["3"]);
  });

  it("has more than one page of messages that are taken", async () => {
    const many = Array.from({ length: 100 }, (_, index) => `m-${index}`);
    await add(...many.map((id) => [id, "a"] as const));
    assert.deepEqual(ids(await takeAll(store)), many);
  });

  it("keeps to the longest pause that was asked for", async () => {
    await add(["1", "a"], ["2", "a"]);
    const [first, second] = await takeAll(store);
    await first!.giveBack(progress("queued", clock.date()), clock.date() + 60_000);
    await second!.giveBack(progress("queued", clock.date()), clock.date() + 1_000);
    clock.pass(59_999);
    assert.deepEqual(await takeIds(10), []);
    clock.pass(1);
    assert.deepEqual(await takeIds(10), ["1"]);
  });

  it("does not wait for times of a clock that was a year ahead", async () => {
    await add(["1", "a"], ["2", "b"]);
    const date = clock.date.bind(clock);
    const [first, second] = await store.take(2, NOBODY);
    clock.date = () => date() + 365 * 86_400_000;
    await first!.giveBack(progress("queued", clock.date() + 1000), clock.date() + 1000);
    await second!.giveBack(progress("queued", clock.date() + 1000));
    assert.deepEqual(await takeIds(10), []);
    clock.date = date;
    assert.deepEqual(await takeIds(10), ["1", "2"]);
  });

  it("waits as long as a service may ask", async () => {
    await add(["1", "a"], ["2", "b"]);
    const [first, second] = await store.take(2, NOBODY);
    const day = 86_400_000;
    await first!.giveBack(progress("queued", clock.date()), clock.date() + day);
    await second!.giveBack(progress("queued", clock.date() + day));
    clock.pass(day - 1);
    assert.deepEqual(await takeIds(10), []);
    clock.pass(1);
    assert.deepEqual(await takeIds(10), ["1", "2"]);
  });

  for (const recovered of ["mailbox", "all"] as const) {
    it(`has what waits in its old place when ${recovered} has recovered`, async () => {
      await add(["0", "a"], ["1", "a"], ["2", "b"], ["3", "a"], ["4", "c"], ["5", "b"]);
      const taken = await takeAll(store);
      const find = (id: string) => taken.find(({ stored }) => stored.id === id)!;
      for (const id of ["5", "3", "2", "1", "4"]) {
        await find(id).giveBack(
          progress("queued", clock.date() + 60_000 - Number(id)),
          id === "4" ? 0 : clock.date() + 60_000,
        );
      }
      assert.deepEqual(await takeAll(store), []);
      await find("0").remove(recovered);
      assert.deepEqual(
        ids(await takeAll(store)),
        recovered === "all" ? ["1", "2", "4", "3", "5"] : ["1", "3"],
      );
      await store.close();
      store = await openSqliteQueue(path, { clock });
      const due = (await takeAll(store)).map(({ stored }) => stored.due);
      assert(due.every((due) => due === clock.date()), "it is stored");
    });
  }

  it("is that of arrival for many that have recovered, a part of them in each call", async () => {
    const many = Array.from({ length: 1500 }, (_, index) => `m-${index}`);
    await add(["first", "first"], ...many.map((id) => [id, id] as const));
    const [first, ...others] = await store.take(2000, NOBODY);
    await Promise.all(
      others.map((message, index) =>
        message.giveBack(progress("queued", clock.date() + 60_000 - index))
      ),
    );
    await first!.remove("all");
    assert.deepEqual(await takeIds(2000), many);
  });

  it("is that of arrival within a connection, one at a time", async () => {
    await add(["1", "a", "x"], ["2", "a", "x"], ["3", "a", "y"], ["4", "a", "x"]);
    const [first, third] = await takeAll(store);
    assert.deepEqual(ids([first!, third!]), ["1", "3"]);
    assert.deepEqual(await takeIds(10), []);
    await first!.remove();
    const [second] = await store.take(10, NOBODY);
    assert.equal(second!.stored.id, "2");
    await second!.giveBack(progress("queued", clock.date() + 1000));
    assert.deepEqual(await takeIds(10), ["4"], "what fails holds up nothing");
    clock.pass(1000);
    assert.deepEqual(await takeIds(10), [], "while another of the connection is taken");
  });

  it("holds up no mailbox for another one of the same connection", async () => {
    await add(["1", "a", "x"], ["2", "b", "x"]);
    const [second] = await store.take(10, new Set(["a"]));
    assert.equal(second!.stored.id, "2");
    assert.deepEqual(await takeIds(10), [], "but only one of them is under way");
    await second!.remove();
    assert.deepEqual(await takeIds(10), ["1"]);
  });

  it("is that of arrival again when messages that waited become due", async () => {
    await add(["1", "a"], ["2", "a"], ["3", "a"]);
    const taken = await takeAll(store);
    for (const [index, message] of taken.entries()) {
      await message.giveBack(progress("queued", clock.date() + 3000 - index * 1000));
    }
    await add(["4", "a"]);
    clock.pass(3000);
    assert.deepEqual(ids(await takeAll(store)), ["1", "2", "3", "4"]);
  });

  it("is kept over a restart", async () => {
    await add(["1", "a", "x"], ["2", "a", "x"], ["3", "b"]);
    const [first] = await store.take(1, NOBODY);
    await first!.sending(1, EMPTY);
    await store.close();
    store = await openSqliteQueue(path, { clock });
    assert.deepEqual(await takeIds(10), ["1", "3"]);
  });

  it("is as a search through all messages would find it, whatever happens to them", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 150, maxLength: 150 }), async (steps) => {
        const place = directory();
        const path = join(place.path, "queue.db");
        const clock = new FakeClock();
        const world = {
          store: await openSqliteQueue(path, { clock }),
          administration: undefined as QueueAdministration | undefined,
          model: [] as Modelled[],
          pauses: new Map<string, number>(),
          clock,
        };
        world.administration = await openSqliteAdministration(path, clock);
        try {
          for (const step of steps) await play(world, step);
        } finally {
          await world.administration.close();
          await world.store.close();
          place.remove();
        }
      }),
      { numRuns: 12, endOnFailure: true },
    );
  });

  describe("takes no longer to find with a backlog of 20,000 messages", () => {
    const backlogs = {
      "of a busy mailbox": { connection: (id: string) => id, busy: ["a"] },
      "of a connection with a message under way": { connection: () => "x", busy: [] },
    };
    for (const [name, { connection, busy }] of Object.entries(backlogs)) {
      it(name, async () => {
        let count = 0;
        const fill = async (end: number) => {
          while (count < end) {
            const more = Array.from({ length: 500 }, () => `a-${count++}`);
            await add(...more.map((id) => [id, "a", connection(id)] as const));
          }
        };
        /** Milliseconds; the shortest of many, in which nothing else had the machine. */
        const fastest = async () => {
          let least = Infinity;
          for (let round = 0; round < 50; round++) {
            await add([`b-${count}-${round}`, "b"]);
            const start = performance.now();
            const taken = await store.take(5, new Set(busy));
            least = Math.min(least, performance.now() - start);
            assert.deepEqual(ids(taken), [`b-${count}-${round}`]);
            await taken[0]!.remove();
          }
          return least;
        };
        await fill(500);
        for (let taken = 0; taken < 4; taken++) await store.take(1, NOBODY);
        const few = await fastest();
        await fill(20_000);
        const many = await fastest();
        assert(many < 3 * few + 0.3, `${many} ms instead of ${few}`);
      });
    }
  });
});

function progress(state: MessageState, due: number) {
  return { state, due, attempts: 1, code: "", note: EMPTY };
}

interface Modelled {
  readonly id: string;
  readonly mailbox: string;
  readonly connection: string;
  state: MessageState;
  due: number;
  taken: TakenMessage | undefined;
}

interface World {
  readonly store: QueueStore;
  administration: QueueAdministration | undefined;
  readonly model: Modelled[];
  readonly pauses: Map<string, number>;
  readonly clock: FakeClock;
}

/** What happens, to which message of those that it can happen to, and what else it needs. */
const step = fc.record({
  what: fc.constantFrom(
    ...[
      "add",
      "add",
      "add",
      "take",
      "take",
      "later",
      "sending",
      "remove",
      "held",
      "retry",
      "delete",
    ],
    "pass",
  ),
  which: fc.nat(1000),
  mailbox: fc.constantFrom("a", "b", "c"),
  connection: fc.constantFrom("v", "w", "x", "y", "z"),
  number: fc.nat(8),
});

async function play(
  { store, administration, model, pauses, clock }: World,
  { what, which, mailbox, connection, number }: {
    readonly what: string;
    readonly which: number;
    readonly mailbox: string;
    readonly connection: string;
    readonly number: number;
  },
): Promise<void> {
  const now = clock.date();
  const taken = model.filter(({ taken }) => taken !== undefined);
  const one = taken[which % taken.length];
  const any = model[which % model.length];
  const forget = (message: Modelled) => model.splice(model.indexOf(message), 1);
  switch (what) {
    case "add": {
      const id = `m-${Math.random().toString(36).slice(2)}`;
      await store.add(newMessage(id, { mailbox, connection, sealedSize: 1 }));
      model.push({ id, mailbox, connection, state: "queued", due: now, taken: undefined });
      break;
    }
    case "take": {
      const busy = new Set(number % 3 === 0 ? [mailbox] : []);
      const found = await store.take(number, busy);
      const unwanted = new Set(busy);
      for (const [mailbox, until] of pauses) if (until > now) unwanted.add(mailbox);
      assert.deepEqual(ids(found), expected(model, number, unwanted, now));
      for (const message of found) {
        model.find(({ id }) => id === message.stored.id)!.taken = message;
      }
      break;
    }
    case "later":
    case "held":
      if (one === undefined) return;
      one.state = what === "held" ? "held" : "queued";
      one.due = now + number * 10;
      if (number % 3 === 1) {
        const pause = now + number * 5;
        pauses.set(one.mailbox, Math.max(pause, pauses.get(one.mailbox) ?? 0));
        await one.taken!.giveBack(progress(one.state, one.due), pause);
      } else await one.taken!.giveBack(progress(one.state, one.due));
      one.taken = undefined;
      break;
    case "sending":
      if (one === undefined) return;
      assert.equal(await one.taken!.sending(1, EMPTY), true);
      one.state = "sending";
      break;
    case "remove":
      if (one === undefined) return;
      if (number > 5) await one.taken!.remove();
      else {
        const isAll = number < 3;
        await one.taken!.remove(isAll ? "all" : "mailbox");
        if (isAll) pauses.clear();
        else pauses.delete(one.mailbox);
        for (const message of model) {
          const waits = message.state === "queued" && message.taken === undefined;
          if (waits && (isAll || message.mailbox === one.mailbox)) {
            message.due = Math.min(message.due, now);
          }
        }
      }
      forget(one);
      break;
    case "retry":
      if (any === undefined || any.taken !== undefined) return;
      assert.equal(
        await administration!.retry(any.id),
        any.state === "sending" ? "sending" : "done",
      );
      if (any.state !== "sending") pauses.delete(any.mailbox);
      any.state = "queued";
      any.due = now;
      break;
    case "delete":
      if (any === undefined || any.state === "sending" || any.taken !== undefined) return;
      assert.equal(await administration!.delete(any.id), "done");
      forget(any);
      break;
    case "pass":
      clock.pass(number * 10);
      break;
  }
}

/** What is next, by looking at all messages, in order of arrival. */
function expected(
  model: readonly Modelled[],
  limit: number,
  busy: ReadonlySet<string>,
  now: number,
): string[] {
  const found: Modelled[] = [];
  const next = (mailbox: string) =>
    model.find((message) => {
      const ready = message.state === "sending" || message.state === "queued" && message.due <= now;
      const isUnderWay = (other: Modelled) => other.taken !== undefined || found.includes(other);
      return message.mailbox === mailbox && ready && !isUnderWay(message) &&
        !model.some((other) => other.connection === message.connection && isUnderWay(other));
    });
  const mailboxes = model.map(({ mailbox }) => mailbox)
    .filter((mailbox, index, all) => all.indexOf(mailbox) === index && !busy.has(mailbox));
  // The mailbox with the oldest message that could be next has the first turn.
  const first = (mailbox: string) =>
    model.findIndex((message) =>
      message.mailbox === mailbox &&
      (message.state === "sending" || message.state === "queued" && message.due <= now)
    );
  const turn = mailboxes.filter((mailbox) => first(mailbox) >= 0)
    .sort((a, b) => first(a) - first(b));
  for (const mailbox of turn) {
    if (found.length >= limit) break;
    const message = next(mailbox);
    if (message !== undefined) found.push(message);
  }
  return found.map(({ id }) => id);
}
