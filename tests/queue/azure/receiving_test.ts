/** What a relay receives from a queue in Azurite, and what it makes of it. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import type { MessageProgress } from "../../../src/queue/store.ts";
import {
  type AzureQueue,
  azureQueues,
  DAY,
  newMessage,
  NOBODY,
  NOTE,
  octetsOf,
  takeAll,
} from "../../support/azure_queue.ts";
import { until } from "../../support/until.ts";

let queue: AzureQueue;
azureQueues((one) => queue = one);

const later = (time: number, changes: Partial<MessageProgress> = {}): MessageProgress => ({
  state: "queued",
  due: queue.clock.date() + time,
  attempts: 1,
  code: "ErrorServerBusy",
  note: Buffer.from("a note"),
  ...changes,
});

describe("a message that is given back", () => {
  it("comes back when it is due, with its attempts, code and note", async () => {
    const { store } = await queue.relay();
    const message = newMessage();
    await store.add(message);
    const [taken] = await store.take(1, NOBODY);
    await taken!.giveBack(later(3_600_000));
    await queue.pass(3_599_000);
    assert.deepEqual(await store.take(32, NOBODY), []);
    await queue.pass(6000);
    const [again] = await store.take(32, NOBODY);
    const { id, state, attempts, code, note } = again!.stored;
    assert.deepEqual(
      [id, state, attempts, code, Buffer.from(note).toString()],
      [message.id, "queued", 1, "ErrorServerBusy", "a note"],
    );
    assert.deepEqual(await octetsOf(again!.content()), await octetsOf(message.content()));
  });

  it("comes back, and is listed, also if its times are fractions of a millisecond", async () => {
    const { store } = await queue.relay();
    const { id } = newMessage();
    await store.add(newMessage({ id }));
    const [taken] = await store.take(1, NOBODY);
    const due = queue.clock.date() + 1000.25;
    await taken!.giveBack(later(1000.25), due + 0.5);
    assert.deepEqual(
      (await (await queue.command()).queue.list(10)).map(({ id, due }) => [id, due]),
      [[id, Math.ceil(due)]],
    );
    await queue.pass(6000);
    const [again] = await store.take(32, NOBODY);
    assert.equal(again?.stored.id, id);
  });

  // https://learn.microsoft.com/rest/api/storageservices/update-message: at most seven days.
  it("for later than seven days is hidden for seven, and refused by nothing", async () => {
    const { store } = await queue.relay();
    await store.add(newMessage());
    const [taken] = await store.take(1, NOBODY);
    await taken!.giveBack(later(20 * DAY));
    await queue.pass(7 * DAY - 60_000);
    assert.deepEqual(await store.take(32, NOBODY), []);
    await queue.pass(120_000);
    assert.equal((await store.take(32, NOBODY)).length, 1);
  });

  it("at once and unchanged costs one request, and may be taken by another relay", async () => {
    const { store, http } = await queue.relay();
    await store.add(newMessage());
    const [taken] = await store.take(1, NOBODY);
    http.since();
    await taken!.giveBack(later(0, { attempts: 0, code: "", note: NOTE }));
    assert.deepEqual(http.since(), ["update pointer"]);
    assert.equal((await (await queue.relay()).store.take(32, NOBODY)).length, 1);
  });

  for (const state of ["held", "dead"] as const) {
    it(`as ${state} is not taken again, and keeps its blob without a pointer`, async () => {
      const { store } = await queue.relay();
      await store.add(newMessage());
      const [taken] = await store.take(1, NOBODY);
      await taken!.sending(1, NOTE);
      await taken!.giveBack(later(0, { state }));
      await queue.pass(30 * DAY);
      assert.deepEqual(await store.take(32, NOBODY), []);
      const { queue: pointers } = await queue.clients();
      assert.equal((await pointers.getProperties()).approximateMessagesCount, 0);
      const command = await queue.command();
      const [stored] = await command.queue.list(10);
      assert.deepEqual([stored!.state, stored!.attempts, stored!.code], [
        state,
        1,
        "ErrorServerBusy",
      ]);
    });
  }

  it("as dead by a relay that dies before the pointer is deleted stays dead", async () => {
    const { store, http } = await queue.relay();
    await store.add(newMessage());
    const [taken] = await store.take(1, NOBODY);
    http.fate = (name) => name === "DELETE pointer" ? "unsent" : "sent";
    await taken!.giveBack(later(0, { state: "dead" }));
    http.kill();
    await queue.pass(121_000);
    const other = await queue.relay();
    assert.deepEqual(await takeAll(other.store), []);
    assert(other.http.since().includes("DELETE pointer"));
    assert.equal(other.store.usage().messages.dead, 1);
  });

  it("says whether it still belonged to this relay", async () => {
    const one = await queue.relay();
    for (const mailbox of ["a", "b", "c"]) await one.store.add(newMessage({ mailbox }));
    const [kept, lost, deleted] = await one.store.take(3, NOBODY);
    assert.equal(await kept!.giveBack(later(0, { state: "dead" })), true);
    const { container } = await queue.clients();
    const { id, receivedAt } = deleted!.stored;
    await container.getBlobClient(`messages/${`${receivedAt}`.padStart(15, "0")}-${id}`).delete();
    assert.equal(await deleted!.giveBack(later(0, { state: "dead" })), false);
    // Its renewals fail, as while a machine is suspended.
    one.http.fate = (name) => name === "update pointer" ? "unsent" : "sent";
    await queue.pass(121_000);
    const other = await queue.relay();
    const [taken] = await other.store.take(3, NOBODY);
    assert.equal(taken!.stored.id, lost!.stored.id);
    one.http.fate = () => "sent";
    assert.equal(await lost!.giveBack(later(0, { state: "dead" })), false);
    assert.equal(await taken!.giveBack(later(0)), true);
  });

  it("with a note that is too long stays as it is", async () => {
    const { store } = await queue.relay();
    await store.add(newMessage());
    const [taken] = await store.take(1, NOBODY);
    await assert.rejects(taken!.sending(1, new Uint8Array(5000)), { code: "NOTE_TOO_LARGE" });
    assert.equal(await taken!.sending(1, new Uint8Array(4096).fill(255)), true);
    await taken!.giveBack(later(0, { state: "held", note: new Uint8Array(4096).fill(255) }));
  });
});

describe("taking from an Azure queue", () => {
  it("begins with the oldest, and shares between new messages and a backlog", async () => {
    const old = await queue.relay();
    const backlog = Array.from({ length: 6 }, () => newMessage());
    for (const message of backlog) await old.store.add(message);
    old.http.kill();
    await queue.pass(121_000);
    const { store } = await queue.relay();
    const [first] = await store.take(1, NOBODY);
    assert.equal(first!.stored.id, backlog[0]!.id);
    const fresh = Array.from({ length: 6 }, () => newMessage());
    for (const message of fresh) await store.add(message);
    const taken: string[] = [];
    for (let i = 0; i < 4; i++) {
      taken.push(...(await store.take(1, NOBODY)).map(({ stored }) => stored.id));
    }
    assert.deepEqual(
      taken.toSorted(),
      [
        ...backlog.slice(1, 3),
        ...fresh.slice(0, 2),
      ].map(({ id }) => id).toSorted(),
    );
  });

  it("asks an empty queue less and less often, but at least every five seconds", async () => {
    const { store, http } = await queue.relay();
    for (let i = 0; i < 600; i++) {
      assert.deepEqual(await store.take(32, NOBODY), []);
      queue.clock.pass(100);
    }
    const { length } = http.since();
    assert(length >= 12 && length <= 18, `${length} requests in a minute`);
    await (await queue.relay()).store.add(newMessage());
    await queue.azurite.pass(121_000);
    let taken = 0;
    for (let i = 0; i < 51 && taken === 0; i++) {
      taken = (await store.take(32, NOBODY)).length;
      queue.clock.pass(100);
    }
    assert.equal(taken, 1);
  });

  it("leaves messages of busy mailboxes, and does not receive their backlog again and again", async () => {
    const other = await queue.relay();
    const busy = Array.from({ length: 60 }, () => newMessage({ mailbox: "busy" }));
    for (const message of busy) await other.store.add(message);
    const free = newMessage({ mailbox: "free" });
    await other.store.add(free);
    other.http.kill();
    await queue.pass(121_000);
    const { store, http } = await queue.relay();
    const taken = await store.take(32, new Set(["busy"]));
    assert.deepEqual(taken.map(({ stored }) => stored.id), [free.id]);
    const names = http.since();
    assert.equal(names.filter((name) => name === "receive").length, 2);
    // Sixteen wait in the relay, the others come back one after the other.
    assert.equal(names.filter((name) => name === "update pointer").length, 44);
    assert.equal(names.filter((name) => name === "GET blob").length, 1);
    assert.deepEqual(await store.take(32, new Set(["busy"])), []);
    assert(http.since().length <= 1);
    const ids: string[] = [];
    for (let i = 0; i < 16; i++) {
      ids.push(...(await store.take(32, NOBODY)).map(({ stored }) => stored.id));
    }
    assert.deepEqual(ids, busy.slice(0, 16).map(({ id }) => id));
    // In 15 s they have all come back, a quarter of a second apart.
    for (let i = 0; i < 40 && ids.length < 60; i++) {
      await queue.pass(1000);
      const before = ids.length;
      for (;;) {
        const some = await store.take(32, NOBODY);
        if (some.length === 0) break;
        ids.push(...some.map(({ stored }) => stored.id));
      }
      assert(ids.length - before <= 8, `${ids.length - before} at once`);
    }
    assert.deepEqual(ids.toSorted(), busy.map(({ id }) => id).toSorted());
  });

  it("leaves messages of busy accounts, its own and those of other relays", async () => {
    const other = await queue.relay();
    const busy = newMessage({ account: "busy" });
    const quiet = newMessage({ account: "quiet" });
    for (const message of [busy, quiet]) await other.store.add(message);
    other.http.kill();
    await queue.pass(121_000);
    const { store } = await queue.relay();
    const own = newMessage({ account: "busy" });
    await store.add(own);
    const taken = await store.take(32, NOBODY, new Set(["busy"]));
    assert.deepEqual(taken.map(({ stored }) => stored.id), [quiet.id]);
    const rest = await store.take(32, NOBODY);
    assert.deepEqual(rest.map(({ stored }) => stored.id).toSorted(), [busy.id, own.id].toSorted());
  });

  it("takes one message of a mailbox at a time, and one of a connection as long as it is taken", async () => {
    const { store } = await queue.relay();
    const [a, b] = ["a", "b"].map((mailbox) =>
      [1, 2].map(() => newMessage({ mailbox, connection: "same" }))
    );
    const [c, d] = [1, 2].map(() => newMessage({ mailbox: "c" }));
    for (const message of [...a!, ...b!, c!, d!]) await store.add(message);
    const idsOf = (taken: readonly { readonly stored: { readonly id: string } }[]) =>
      taken.map(({ stored }) => stored.id);
    const first = await store.take(32, NOBODY);
    assert.deepEqual(idsOf(first), [a![0]!.id, c!.id]);
    assert.deepEqual(idsOf(await store.take(32, NOBODY)), [d!.id]);
    await first[0]!.remove();
    assert.deepEqual(idsOf(await store.take(32, NOBODY)), [a![1]!.id]);
  });

  it("leaves a paused mailbox alone, also after a restart, until its pause is over", async () => {
    const { store, http } = await queue.relay();
    const messages = [1, 2].map(() => newMessage({ mailbox: "paused" }));
    for (const message of messages) await store.add(message);
    const [taken] = await store.take(1, NOBODY);
    await taken!.giveBack(later(300_000), queue.clock.date() + 300_000);
    assert.deepEqual(await store.take(32, NOBODY), []);
    await store.close();
    http.kill();
    const heir = await queue.relay();
    await queue.pass(130_000);
    assert.deepEqual(await heir.store.take(32, NOBODY), []);
    await queue.pass(130_000);
    assert.deepEqual(await heir.store.take(32, NOBODY), []);
    const back: string[] = [];
    for (let i = 0; i < 10 && back.length < 2; i++) {
      await queue.pass(10_000);
      back.push(...(await takeAll(heir.store)).map(({ stored }) => stored.id));
    }
    assert.deepEqual(back.toSorted(), messages.map(({ id }) => id).toSorted());
  });

  it("does not wait for a pause of a clock that was a year ahead, also after a restart", async () => {
    const { store } = await queue.relay();
    const [paused, waiting] = [1, 2].map(() => newMessage({ mailbox: "paused" }));
    await store.add(paused!);
    await store.add(waiting!);
    const date = queue.clock.date.bind(queue.clock);
    queue.clock.date = () => date() + 365 * DAY;
    const [taken] = await store.take(1, NOBODY);
    await taken!.giveBack(later(1000), queue.clock.date() + 1000);
    queue.clock.date = date;
    await queue.pass(3000);
    const [again] = await store.take(1, NOBODY);
    assert.equal(again?.stored.id, waiting!.id);
    await again!.remove();
    await store.close();
    const heir = await queue.relay();
    const [last] = await takeAll(heir.store);
    assert.equal(last?.stored.id, paused!.id);
  });

  for (const recovered of ["mailbox", "all"] as const) {
    it(`makes what has failed due when ${recovered} has recovered, each mailbox in order`, async () => {
      const { store } = await queue.relay();
      const fail = async (count: number, mailbox: string) => {
        const messages = Array.from({ length: count }, () => newMessage({ mailbox }));
        for (const message of messages) await store.add(message);
        for (const _ of messages) {
          const [taken] = await store.take(1, NOBODY);
          await taken!.giveBack(later(3_600_000));
        }
        return messages.map(({ id }) => id);
      };
      const failed = await fail(5, "mailbox");
      const others = await fail(2, "other");
      await store.add(newMessage({ mailbox: "mailbox" }));
      const [sent] = await store.take(1, NOBODY);
      await sent!.sending(1, NOTE);
      await sent!.remove(recovered);
      const expected = recovered === "all" ? [...failed, ...others] : failed;
      const back: string[] = [];
      for (let i = 0; i < 20 && back.length < expected.length; i++) {
        queue.clock.pass(500);
        for (const { stored } of await takeAll(store)) back.push(stored.id);
      }
      assert.equal(back.length, expected.length);
      for (const ids of [failed, others]) {
        const some = back.filter((id) => ids.includes(id));
        assert.deepEqual(some, ids.filter((id) => expected.includes(id)));
      }
    });
  }

  it("does not give up a message that waits for its busy mailbox for hours", async () => {
    const other = await queue.relay();
    await other.store.add(newMessage({ mailbox: "busy" }));
    other.http.kill();
    await queue.pass(121_000);
    const { store } = await queue.relay();
    for (let i = 0; i < 40; i++) {
      assert.deepEqual(await store.take(32, new Set(["busy"])), []);
      await queue.pass(100_000);
    }
    assert.equal(store.usage().messages.dead, 0);
    let taken = 0;
    for (let i = 0; i < 4 && taken === 0; i++) {
      taken = (await store.take(32, NOBODY)).length;
      await queue.pass(60_000);
    }
    assert.equal(taken, 1);
  });

  it("does not take more than it has room for in memory, and loses none of the rest", async () => {
    const { store, http } = await queue.relay();
    const octets = new Uint8Array(3_000_000);
    const messages = Array.from({ length: 8 }, () => newMessage({ octets }));
    for (const message of messages) await store.add(message);
    const taken = await store.take(32, NOBODY);
    assert.equal(taken.length, 8);
    for (const message of taken) {
      assert.equal((await octetsOf(message.content())).length, octets.length);
    }
    // Five of them fit into 16 MiB.
    assert.equal(http.names.filter((name) => name === "GET blob").length, 3);
  });
});

describe("messages of many recipients in an Azure queue", () => {
  it("do not take more memory than there is, and none is lost", async () => {
    const { store, http } = await queue.relay();
    const messages = Array.from(
      { length: 24 },
      () => newMessage({ record: Buffer.alloc(1_000_000) }),
    );
    for (const message of messages) await store.add(message);
    const taken = await takeAll(store);
    assert.equal(taken.length, messages.length);
    // Sixteen records fit into 16 MiB; each of the others is read in two pieces.
    assert.equal(http.names.filter((name) => name === "GET blob").length, 8 * 2);
  });
});

describe("a pointer that leads to nothing to send", () => {
  it("without a blob is dropped, once no addition can be under way", async () => {
    const dead = await queue.relay();
    dead.http.fate = (name) => {
      if (name === "PUT pointer") dead.http.kill();
      return "sent";
    };
    await assert.rejects(dead.store.add(newMessage()));
    await queue.pass(121_000);
    const { store, http } = await queue.relay();
    assert.deepEqual(await store.take(32, NOBODY), []);
    assert.deepEqual(http.since(), ["receive", "GET blob", "update pointer", "receive"]);
    await queue.pass(3_600_000);
    assert.deepEqual(await store.take(32, NOBODY), []);
    const names = http.since().filter((name) => name !== "GET list");
    assert.deepEqual(names.slice(0, 3), ["receive", "GET blob", "DELETE pointer"]);
  });

  it("to a blob whose metadata someone has removed leaves both, and stops no other message", async () => {
    const dead = await queue.relay();
    const [damaged, whole] = [newMessage(), newMessage()];
    await dead.store.add(damaged);
    await dead.store.add(whole);
    dead.http.kill();
    const { container, queue: pointers } = await queue.clients();
    const { value } = await container.listBlobsFlat().byPage().next();
    await container.getBlobClient(value.segment.blobItems[0]!.name).setMetadata({});
    await queue.pass(121_000);
    const { store, http } = await queue.relay();
    const taken = await store.take(32, NOBODY);
    assert.deepEqual(taken.map(({ stored }) => stored.id), [whole.id]);
    await taken[0]!.remove();
    await queue.pass(7200_000);
    http.since();
    assert.deepEqual(await store.take(32, NOBODY), []);
    assert(!http.since().includes("GET blob"));
    assert.equal((await pointers.getProperties()).approximateMessagesCount, 1);
  });

  it("that someone has forged is left alone: with more text than is kept, or to a record without end", async () => {
    const dead = await queue.relay();
    const [bomb, whole] = [newMessage(), newMessage()];
    await dead.store.add(bomb);
    await dead.store.add(whole);
    dead.http.kill();
    const { container, queue: pointers } = await queue.clients();
    const { value } = await container.listBlobsFlat({ includeMetadata: true }).byPage().next();
    const [{ name, metadata }] = value.segment.blobItems;
    const [wrong, negative] = [10 ** 10, -1].map((record) => ({
      ...metadata,
      record: `${record}`,
    }));
    const forge = async (changes: Record<string, unknown>) => {
      const { id, receivedAt, mailbox, connection } = whole;
      const facts = { id, receivedAt, mailbox, connection, state: "queued", due: 0, attempts: 0 };
      const rest = { code: "", note: "", generation: 0, received: 0, v: 1 };
      await pointers.sendMessage(JSON.stringify({ ...facts, ...rest, ...changes }));
    };
    await forge({ note: Buffer.alloc(4097).toString("base64") });
    await forge({ mailbox: "m".repeat(40_000) });
    await forge({ code: "c".repeat(40_000) });
    await queue.pass(121_000);
    for (const metadata of [wrong!, negative!]) {
      await container.getBlobClient(name).setMetadata(metadata);
      const { store, http } = await queue.relay();
      const taken = await store.take(32, NOBODY);
      assert.equal(http.names.filter((name) => name === "GET blob").length, taken.length + 1);
      assert(taken.every(({ stored }) => stored.id === whole.id));
      await assert.doesNotReject((await queue.command()).queue.list(10));
      await queue.pass(25 * 3_600_000);
      http.kill();
    }
    assert.equal((await pointers.getProperties()).approximateMessagesCount, 5);
  });

  it("of another program is left alone", async () => {
    const { store, http } = await queue.relay();
    const { queue: pointers } = await queue.clients();
    for (const text of ["hello", "null", "{}", '{"v":2}', "[1]"]) await pointers.sendMessage(text);
    assert.deepEqual(await store.take(32, NOBODY), []);
    assert(!http.since().some((name) => /DELETE|blob/.test(name)));
    assert.equal((await pointers.getProperties()).approximateMessagesCount, 5);
  });
});

describe("a message that kills its relay", () => {
  it("is given up after ten receipts without an attempt, with the code POISON", async () => {
    const first = await queue.relay();
    await first.store.add(newMessage());
    first.http.kill();
    for (let i = 0; i < 10; i++) {
      await queue.pass(121_000);
      const { store, http } = await queue.relay();
      assert.equal((await store.take(32, NOBODY)).length, 1);
      http.kill();
    }
    await queue.pass(121_000);
    const { store } = await queue.relay();
    assert.deepEqual(await store.take(32, NOBODY), []);
    assert.equal(store.usage().messages.dead, 1);
    const command = await queue.command();
    const [stored] = await command.queue.list(10);
    assert.deepEqual([stored!.state, stored!.code], ["dead", "POISON"]);
  });

  it("is not one whose blob could not be read for hours", async () => {
    const first = await queue.relay();
    const messages = [newMessage(), newMessage()];
    for (const message of messages) await first.store.add(message);
    first.http.kill();
    const { store, http } = await queue.relay();
    http.fate = (name) => name === "GET blob" ? "busy" : "sent";
    for (let i = 0; i < 30; i++) {
      await queue.pass(121_000);
      assert.deepEqual(await store.take(32, NOBODY), []);
    }
    http.fate = () => "sent";
    const ids: string[] = [];
    for (let i = 0; i < 10 && ids.length < 2; i++) {
      await queue.pass(121_000);
      for (const taken of await store.take(32, NOBODY)) {
        ids.push(taken.stored.id);
        await taken.remove();
      }
    }
    assert.deepEqual(ids.toSorted(), messages.map(({ id }) => id).toSorted());
    assert.equal(store.usage().messages.dead, 0);
  });

  it("is not given up as long as it is attempted", async () => {
    let { store } = await queue.relay();
    await store.add(newMessage());
    for (let i = 0; i < 25; i++) {
      const [taken] = await store.take(32, NOBODY);
      assert(taken !== undefined, `attempt ${i}`);
      assert.equal(await taken.sending(i + 1, NOTE), true);
      if (i % 2 === 0) await taken.giveBack(later(10_000, { attempts: i + 1 }));
      await store.close();
      await queue.pass(121_000);
      ({ store } = await queue.relay());
    }
  });
});

describe("a blob without a pointer", () => {
  const lose = async () => {
    const { store, http } = await queue.relay();
    const message = newMessage();
    await store.add(message);
    http.kill();
    const { queue: pointers } = await queue.clients();
    await pointers.clearMessages();
    return message;
  };

  it("is set aside with the code ORPHAN once it is too old, and never deleted or sent", async () => {
    const message = await lose();
    await queue.pass(2 * DAY);
    const { store } = await queue.relay();
    await store.take(32, NOBODY);
    await queue.pass(3_700_000);
    await until(() => queue.clock.alarms > 0);
    assert.equal(store.usage().messages.dead, 0);
    await queue.pass(DAY);
    await until(() => store.usage().messages.dead === 1);
    assert.deepEqual(await store.take(32, NOBODY), []);
    const command = await queue.command();
    const found = await command.queue.find(message.id);
    assert.deepEqual([found!.stored.state, found!.stored.code], ["dead", "ORPHAN"]);
    assert.deepEqual(await octetsOf(found!.content()), await octetsOf(message.content()));
    assert.equal(await command.queue.retry(message.id), "done");
    await queue.pass(6000);
    assert.equal((await store.take(32, NOBODY)).length, 1);
  });

  it("is not believed to be one by a relay that has just started after a long outage", async () => {
    const dead = await queue.relay();
    await dead.store.add(newMessage());
    dead.http.kill();
    await queue.pass(10 * DAY);
    const other = await queue.relay();
    assert.equal((await other.store.take(32, NOBODY)).length, 1);
    other.http.kill();
    // The queue looks empty: the only pointer is hidden by a relay that has died.
    const { store, http } = await queue.relay();
    assert.deepEqual(await store.take(32, NOBODY), []);
    http.since();
    const { alarms } = queue.clock;
    queue.clock.pass(70_000);
    await until(() => queue.clock.alarms === alarms);
    assert(http.since().includes("GET list"));
    assert.equal(store.usage().messages.dead, 0);
    await queue.pass(121_000);
    assert.equal((await store.take(32, NOBODY)).length, 1);
    assert.equal(store.usage().messages.dead, 0);
  });

  it("is delivered should the pointer turn up after all", async () => {
    const { store, http } = await queue.relay();
    const message = newMessage();
    await store.add(message);
    http.kill();
    // A relay that sees the queue empty for long, because the pointer stays hidden.
    const { container } = await queue.clients();
    const page = (await container.listBlobsFlat({ includeMetadata: true }).byPage().next()).value;
    const [blob] = page.segment.blobItems;
    await container.getBlobClient(blob!.name).setMetadata({
      ...blob!.metadata,
      state: "dead",
      code: "ORPHAN",
    });
    await queue.pass(121_000);
    const other = await queue.relay();
    const [taken] = await other.store.take(32, NOBODY);
    assert.equal(taken!.stored.id, message.id);
    assert.equal(await taken!.sending(1, NOTE), true);
    await taken!.remove();
  });
});

describe("notes in an Azure storage account", () => {
  it("are the same for all relays, until their time is over", async () => {
    const one = await queue.relay();
    const other = await queue.relay();
    const key = "login/ä?#%:é";
    assert.equal(await one.store.notes.get(key), undefined);
    const value = Uint8Array.of(0, 255, 13, 10, 128);
    await one.store.notes.set(key, value, queue.clock.date() + 60_000);
    assert.deepEqual([...(await other.store.notes.get(key))!], [...value]);
    await other.store.notes.set(key, Uint8Array.of(1), queue.clock.date() + 120_000);
    await queue.pass(119_000);
    assert.deepEqual([...(await one.store.notes.get(key))!], [1]);
    await queue.pass(2000);
    assert.equal(await one.store.notes.get(key), undefined);
  });

  it("are deleted after their time, and only those", async () => {
    const { store, http } = await queue.relay();
    await store.notes.set("short", Uint8Array.of(1), queue.clock.date() + 60_000);
    await store.notes.set("long", Uint8Array.of(2), queue.clock.date() + 60 * DAY);
    http.since();
    queue.clock.pass(2 * 3_600_000);
    await until(() => http.names.some((name) => /^DELETE/.test(name)));
    await until(() => http.names.length > 0);
    assert.deepEqual([...(await store.notes.get("long"))!], [2]);
    const { container } = await queue.clients();
    await until(() => http.names.filter((name) => /^DELETE/.test(name)).length === 1);
    const { value } = await container.listBlobsFlat({ prefix: "notes/" }).byPage().next();
    assert.equal(value.segment.blobItems.length, 1);
  });
});
