/** Relays that die, stand still or come late, with a queue in Azurite that they share. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import type { QueueStore } from "../../../src/queue/store.ts";
import {
  type AzureQueue,
  azureQueues,
  newMessage,
  NOBODY,
  NOTE,
  octetsOf,
  type Relay,
  takeAll,
} from "../../support/azure_queue.ts";
import { until } from "../../support/until.ts";
import { dieAndLook } from "./die_and_look.ts";

let queue: AzureQueue;
azureQueues((one) => queue = one);

/** Nothing is left: neither a blob nor a pointer, hidden or not. */
async function assertEmpty(): Promise<void> {
  const { container, queue: pointers } = await queue.clients();
  const { value } = await container.listBlobsFlat().byPage().next();
  assert.deepEqual(value.segment.blobItems, []);
  assert.equal((await pointers.getProperties()).approximateMessagesCount, 0);
}

interface Ledger {
  acknowledged: number;
  sent: number;
}

/** Accepts a message and delivers it, until the relay dies. */
async function live({ store, http }: Relay, ledger: Ledger, last: string): Promise<void> {
  const assertAlive = () => assert(!http.killed);
  // This request is still done.
  http.fate = (name) => {
    if (name === last) http.kill();
    return "sent";
  };
  try {
    await store.add(newMessage());
    assertAlive();
    ledger.acknowledged++;
    await deliver(store, () => {
      assertAlive();
      ledger.sent++;
      if (last === "send") http.kill();
    });
  } catch (error) {
    if (!http.killed) throw error;
  }
}

async function deliver(store: QueueStore, send: () => void): Promise<string[]> {
  const states: string[] = [];
  for (const taken of await takeAll(store)) {
    states.push(taken.stored.state);
    await octetsOf(taken.content());
    if (!await taken.sending(taken.stored.attempts + 1, NOTE)) continue;
    send();
    await taken.remove();
  }
  return states;
}

describe("a relay that dies", () => {
  const STEPS: readonly [last: string, acknowledged: number, sent: number, found: string[]][] = [
    ["PUT pointer", 0, 0, []],
    ["PUT blob", 0, 1, ["queued"]],
    ["update pointer", 1, 1, ["sending"]],
    // The only one that is sent twice: its successor is told that it is in doubt.
    ["send", 1, 2, ["sending"]],
    ["DELETE blob", 1, 1, []],
    ["DELETE pointer", 1, 1, []],
  ];
  for (const [last, acknowledged, sent, found] of STEPS) {
    const times = sent === 1 ? "once" : sent === 2 ? "twice, in doubt" : "never";
    it(`after its ${last} has its message sent ${times}`, async () => {
      const ledger: Ledger = { acknowledged: 0, sent: 0 };
      const dead = await queue.relay();
      await live(dead, ledger, last);
      assert.equal(ledger.acknowledged, acknowledged);
      const heirs = [await queue.relay({ adding: 0 }), await queue.relay({ adding: 0 })];
      const states: string[] = [];
      const inherit = async () => {
        for (const { store } of heirs) states.push(...await deliver(store, () => ledger.sent++));
      };
      await inherit();
      await queue.pass(121_000);
      await inherit();
      assert.deepEqual([states, ledger.sent], [found, sent]);
      await assertEmpty();
    });
  }

  it("before the response to each request arrives loses no acknowledged message", async () => {
    for (const last of ["PUT pointer", "PUT blob", "update pointer", "DELETE blob"]) {
      const ledger: Ledger = { acknowledged: 0, sent: 0 };
      const dead = await queue.relay();
      dead.http.fate = (name) => {
        if (name === last) dead.http.kill();
        return name === last ? "lost" : "sent";
      };
      const living = async () => {
        await dead.store.add(newMessage());
        ledger.acknowledged++;
        await deliver(dead.store, () => ledger.sent++);
      };
      await assert.rejects(living(), last);
      await queue.pass(121_000);
      const { store } = await queue.relay({ adding: 0 });
      await deliver(store, () => ledger.sent++);
      assert(ledger.sent >= ledger.acknowledged, last);
      assert(ledger.sent <= 1, last);
      await assertEmpty();
    }
  });

  it("leaves the attempts and the note of its last attempt to its successor", async () => {
    const dead = await queue.relay();
    const message = newMessage();
    await dead.store.add(message);
    const [taken] = await dead.store.take(1, NOBODY);
    await taken!.sending(3, Buffer.from("draft"));
    dead.http.kill();
    await queue.pass(121_000);
    const [heir] = await (await queue.relay()).store.take(1, NOBODY);
    const { id, state, attempts, note } = heir!.stored;
    const said = Buffer.from(note).toString();
    assert.deepEqual([id, state, attempts, said], [message.id, "sending", 3, "draft"]);
  });
});

describe("the lease of a message", () => {
  it("is renewed as long as its delivery takes", async () => {
    const { store, http } = await queue.relay();
    const other = await queue.relay();
    await store.add(newMessage());
    const [taken] = await store.take(1, NOBODY);
    assert.equal(await taken!.sending(1, NOTE), true);
    http.since();
    for (let i = 0; i < 8; i++) {
      const before = http.names.filter((name) => name === "update pointer").length;
      await queue.pass(60_000);
      await until(() => {
        // The alarm may be set after the time has passed.
        queue.clock.pass(0);
        return http.names.filter((name) => name === "update pointer").length > before;
      });
      assert.deepEqual(await other.store.take(32, NOBODY), []);
    }
    await taken!.remove();
    await assertEmpty();
  });

  it("is renewed before the first attempt, too", async () => {
    const { store, http } = await queue.relay();
    await store.add(newMessage());
    const [taken] = await store.take(1, NOBODY);
    http.since();
    await queue.pass(60_000);
    await until(() => http.names.includes("update pointer"));
    await queue.pass(100_000);
    const other = await queue.relay();
    assert.deepEqual(await other.store.take(32, NOBODY), []);
    assert.equal(await taken!.sending(1, NOTE), true);
  });

  it("is renewed anew when a renewal has failed", async () => {
    const { store, http } = await queue.relay();
    await store.add(newMessage());
    await store.take(1, NOBODY);
    http.since();
    http.fate = () => "busy";
    await queue.pass(41_000);
    await until(() => http.names.length === 2);
    http.fate = () => "sent";
    while (http.names.length < 3) {
      queue.clock.pass(1000);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await queue.pass(100_000);
    assert.deepEqual(await (await queue.relay()).store.take(32, NOBODY), []);
  });

  it("lost to another relay stops the late one from sending", async () => {
    const late = await queue.relay();
    await late.store.add(newMessage());
    const [mine] = await late.store.take(1, NOBODY);
    late.http.fate = () => "unsent";
    await queue.pass(121_000);
    const other = await queue.relay();
    const [theirs] = await other.store.take(1, NOBODY);
    assert(theirs !== undefined);
    late.http.fate = () => "sent";
    assert.equal(await mine!.sending(1, NOTE), false);
    // What it makes of the message does not count any more.
    await mine!.giveBack({ state: "dead", due: 0, attempts: 1, code: "X", note: NOTE });
    assert.equal(await theirs.sending(1, NOTE), true);
    await theirs.remove();
    await assertEmpty();
  });

  it("lost to another relay leaves what becomes of the message to that one", async () => {
    for (const state of ["queued", "held", "dead"] as const) {
      const late = await queue.relay();
      const message = newMessage();
      await late.store.add(message);
      const [mine] = await late.store.take(1, NOBODY);
      assert.equal(await mine!.sending(1, NOTE), true);
      late.http.fate = () => "unsent";
      await queue.pass(121_000);
      const other = await queue.relay();
      const [theirs] = await other.store.take(1, NOBODY);
      assert.equal(theirs!.stored.id, message.id);
      late.http.fate = () => "sent";
      await mine!.giveBack({ state, due: 0, attempts: 1, code: "X", note: NOTE });
      const command = await queue.command();
      assert.equal((await command.queue.find(message.id))!.stored.code, "");
      assert.equal(await theirs!.sending(2, NOTE), true);
      await theirs!.remove();
    }
    await assertEmpty();
  });

  it("lost while it was sent still lets the message be deleted: nobody sends it again", async () => {
    const late = await queue.relay();
    await late.store.add(newMessage());
    const [mine] = await late.store.take(1, NOBODY);
    assert.equal(await mine!.sending(1, NOTE), true);
    late.http.fate = () => "unsent";
    await queue.pass(121_000);
    const other = await queue.relay({ adding: 0 });
    const [theirs] = await other.store.take(1, NOBODY);
    assert.equal(theirs!.stored.state, "sending");
    late.http.fate = () => "sent";
    await mine!.remove();
    // It looks before it sends, because what it has seen is old.
    queue.clock.skip(6000);
    assert.equal(await theirs!.sending(2, NOTE), false);
    await assertEmpty();
  });

  it("of a message that is not taken in time ends, and other relays receive it", async () => {
    const slow = await queue.relay();
    const other = await queue.relay();
    await slow.store.add(newMessage());
    await queue.pass(100_000);
    assert.deepEqual(await slow.store.take(32, NOBODY), []);
    assert.deepEqual(await other.store.take(32, NOBODY), []);
    await queue.pass(21_000);
    assert.equal((await other.store.take(32, NOBODY)).length, 1);
  });

  it("ends at once for what waits in a relay that is stopped, and stays for what is taken", async () => {
    const stopped = await queue.relay();
    await stopped.store.add(newMessage());
    await stopped.store.take(1, NOBODY);
    const waiting = newMessage();
    await stopped.store.add(waiting);
    await stopped.store.close();
    const other = await queue.relay();
    const taken = await other.store.take(32, NOBODY);
    assert.deepEqual(taken.map(({ stored }) => stored.id), [waiting.id]);
    await queue.pass(121_000);
    assert.equal((await other.store.take(32, NOBODY)).length, 1);
  });
});

describe("relays that share a queue", () => {
  it("lose nothing when they die at random, and double only what was in doubt", () =>
    dieAndLook(queue.azurite, 12, 3));

  it("deliver each message once, whoever accepted it", async () => {
    const relays = await Promise.all([1, 2, 3, 4].map(() => queue.relay({ adding: 0 })));
    const ids: string[] = [];
    await Promise.all(relays.flatMap(({ store }) =>
      Array.from({ length: 10 }, async () => {
        const message = newMessage();
        ids.push(message.id);
        await store.add(message);
      })
    ));
    const sent: string[] = [];
    const work = async ({ store }: Relay) => {
      for (;;) {
        const taken = await store.take(3, NOBODY);
        if (taken.length === 0) return;
        for (const message of taken) {
          if (!await message.sending(1, NOTE)) continue;
          sent.push(message.stored.id);
          await message.remove();
        }
      }
    };
    // One of them dies with all that it has accepted.
    const [dead, ...alive] = relays;
    dead!.http.kill();
    await Promise.all(alive.map(work));
    assert.equal(sent.length, 30);
    await queue.pass(121_000);
    await Promise.all(alive.map(work));
    assert.deepEqual(sent.toSorted(), ids.toSorted());
    await assertEmpty();
  });
});
