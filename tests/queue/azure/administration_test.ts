/** The `queue` command's access to a queue in Azurite, beside running relays. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { describe, it } from "node:test";
import { setImmediate } from "node:timers/promises";
import type { MessageProgress, StoredMessage, TakenMessage } from "../../../src/queue/store.ts";
import {
  type AzureQueue,
  azureQueues,
  DAY,
  newMessage,
  NOBODY,
  NOTE,
  octetsOf,
  type Relay,
  takeAll,
  type WatchedHttp,
} from "../../support/azure_queue.ts";
import { until } from "../../support/until.ts";

let queue: AzureQueue;
azureQueues((one) => queue = one);

const progress = (changes: Partial<MessageProgress> = {}): MessageProgress => ({
  state: "held",
  due: queue.clock.date(),
  attempts: 2,
  code: "invalid_client",
  note: Buffer.from("a note"),
  ...changes,
});

/** A message that a relay has given back so. */
async function given({ store }: Relay, changes: Partial<MessageProgress> = {}) {
  const message = newMessage();
  await store.add(message);
  const [taken] = await store.take(1, NOBODY);
  assert.equal(taken!.stored.id, message.id);
  await taken!.giveBack(progress(changes));
  return message;
}

/** Holds a command's first request of that name up. */
function gate(http: WatchedHttp, name: string) {
  let arrive!: () => void;
  let goOn!: () => void;
  const reached = new Promise<void>((resolve) => arrive = resolve);
  const open = new Promise<void>((resolve) => goOn = resolve);
  http.hold = async (held) => {
    if (held !== name) return;
    arrive();
    await open;
  };
  return { reached, goOn };
}

const idsOf = (messages: readonly { readonly id: string }[]) => messages.map(({ id }) => id);

describe("the list of an Azure queue", () => {
  it("has all messages in order of arrival, page by page, with their sealed records", async () => {
    const { store } = await queue.relay();
    const messages = Array.from({ length: 23 }, () => newMessage({ record: randomBytes(700) }));
    await Promise.all(messages.map((message) => store.add(message)));
    const { queue: command } = await queue.command();
    const listed: StoredMessage[] = [];
    for (;;) {
      const page = await command.list(10, listed.at(-1));
      if (page.length === 0) break;
      listed.push(...page);
    }
    assert.deepEqual(idsOf(listed), idsOf(messages));
    for (const [i, { record }] of listed.entries()) {
      assert.deepEqual(Buffer.from(record), Buffer.from(messages[i]!.record));
    }
    // The next page of a list that another command has begun.
    const other = await queue.command();
    assert.deepEqual(idsOf(await other.queue.list(3, listed[9])), idsOf(messages.slice(10, 13)));
  });

  it("shows what waits, what is held and what is dead, with code, attempts and note", async () => {
    const relay = await queue.relay();
    const due = queue.clock.date() + 1_800_000;
    const states = [
      progress(),
      progress({ state: "dead", code: "ErrorInvalidRecipients" }),
      progress({ state: "queued", code: "ServerBusy", due }),
    ];
    for (const state of states) await given(relay, state);
    const { queue: command } = await queue.command();
    const listed = await command.list(10);
    const shown = listed.map(({ state, due, attempts, code, note }) => ({
      state,
      due,
      attempts,
      code,
      note: Buffer.from(note),
    }));
    assert.deepEqual(shown, states);
  });

  it("goes on when a message is sent meanwhile", async () => {
    const { store } = await queue.relay();
    const messages = Array.from({ length: 6 }, () => newMessage());
    for (const message of messages) await store.add(message);
    const { queue: command, http } = await queue.command();
    const [first] = await command.list(1);
    const taken = await store.take(3, NOBODY);
    for (const one of taken) {
      await one.sending(1, NOTE);
      await one.remove();
    }
    // The page that it has read still has the three: it skips them, and is not at the end.
    assert.deepEqual(idsOf(await command.list(2, first)), idsOf(messages.slice(3, 5)));
    assert(http.names.includes("GET blob"));
  });

  it("finds a message by its id, with its content, and knows no other", async () => {
    const { store } = await queue.relay();
    const [one, other] = [newMessage(), newMessage({ octets: randomBytes(9_000_000) })];
    await store.add(one);
    await store.add(other);
    const { queue: command } = await queue.command();
    const found = await command.find(other.id);
    assert.equal(found!.stored.id, other.id);
    assert(Buffer.from(await octetsOf(found!.content())).equals(await octetsOf(other.content())));
    assert.equal(await command.find("unknown"), undefined);
    assert.equal(await command.retry("unknown"), "unknown");
    assert.equal(await command.delete("unknown"), "unknown");
  });
});

describe("queue retry in an Azure storage account", () => {
  for (const state of ["held", "dead"] as const) {
    it(`makes a ${state} message due at once, with the attempts that it had`, async () => {
      const relay = await queue.relay();
      const message = await given(relay, { state });
      const { queue: command } = await queue.command();
      assert.equal(await command.retry(message.id), "done");
      await queue.pass(6000);
      const [taken] = await relay.store.take(32, NOBODY);
      const { id, state: now, attempts, note } = taken!.stored;
      assert.deepEqual([id, now, attempts, Buffer.from(note).toString()], [
        message.id,
        "queued",
        2,
        "a note",
      ]);
      assert.deepEqual(await octetsOf(taken!.content()), await octetsOf(message.content()));
      assert.equal(await taken!.sending(3, NOTE), true);
      await taken!.remove();
      assert.deepEqual(await command.list(10), []);
    });
  }

  it("makes a message due that waits for later, once: its old pointer is dropped", async () => {
    const relay = await queue.relay();
    const message = await given(relay, { state: "queued", due: queue.clock.date() + 3_600_000 });
    const { queue: command, http } = await queue.command();
    assert.equal(await command.retry(message.id), "done");
    assert(!http.names.includes("GET messages"));
    await queue.pass(6000);
    const [taken] = await relay.store.take(32, NOBODY);
    assert.equal(taken!.stored.id, message.id);
    await taken!.giveBack(progress({ state: "queued", due: queue.clock.date() + 5 * 3_600_000 }));
    relay.http.since();
    await queue.pass(3_700_000);
    assert.deepEqual(await relay.store.take(32, NOBODY), []);
    assert(relay.http.since().includes("DELETE pointer"));
    await queue.pass(5 * 3_600_000);
    assert.equal((await relay.store.take(32, NOBODY)).length, 1);
  });

  it("has a message tried now although its mailbox is paused, and ends the pause once", async () => {
    const { store } = await queue.relay();
    const later = queue.clock.date() + 3_600_000;
    const message = newMessage({ mailbox: "failing" });
    await store.add(message);
    const fail = async () => {
      const [taken] = await store.take(1, NOBODY);
      assert.equal(taken?.stored.id, message.id);
      await taken.giveBack(progress({ state: "queued", due: later }), later);
    };
    await fail();
    const { queue: command } = await queue.command();
    assert.equal(await command.retry(message.id), "done");
    await queue.pass(6000);
    await fail();
    await queue.pass(60_000);
    assert.deepEqual(await store.take(32, NOBODY), []);
  });

  it("that stands still lets no relay send by the new pointer before the old one counts no more", async () => {
    const relay = await queue.relay();
    const message = await given(relay, { state: "queued", due: queue.clock.date() + 7_200_000 });
    const { queue: command, http } = await queue.command();
    const { reached, goOn } = gate(http, "PUT metadata");
    const retrying = command.retry(message.id);
    await reached;
    await queue.pass(70_000);
    assert.deepEqual(await takeAll(relay.store), []);
    goOn();
    assert.equal(await retrying, "done");
    await queue.pass(30_000);
    assert.equal((await takeAll(relay.store)).length, 1);
  });

  it("leaves a message alone that is due already", async () => {
    const { store } = await queue.relay();
    const message = newMessage({ receivedAt: queue.clock.date() });
    await store.add(message);
    const { queue: command, http } = await queue.command();
    assert.equal(await command.retry(message.id), "done");
    assert(!http.since().includes("PUT pointer"));
  });

  for (const last of ["PUT pointer", "PUT metadata", "update pointer"]) {
    it(`loses nothing and doubles nothing when the command dies after its ${last}`, async () => {
      const relay = await queue.relay();
      const held = await given(relay);
      const waiting = await given(relay, {
        state: "queued",
        due: queue.clock.date() + 7_200_000,
      });
      for (const { id } of [held, waiting]) {
        const { queue: command, http } = await queue.command();
        http.fate = (name) => {
          if (name === last) http.kill();
          return "sent";
        };
        await command.retry(id).catch(() => {});
        assert(http.killed);
      }
      const sent: string[] = [];
      for (let i = 0; i < 100; i++) {
        await queue.pass(100_000);
        for (const taken of await takeAll(relay.store)) {
          sent.push(taken.stored.id);
          assert.equal(await taken.sending(1, NOTE), true);
          await taken.remove();
        }
      }
      const expected = last === "PUT pointer" ? [waiting.id] : [held.id, waiting.id];
      assert.deepEqual(sent.toSorted(), expected.toSorted());
      const { queue: pointers } = await queue.clients();
      assert.equal((await pointers.getProperties()).approximateMessagesCount, 0);
    });
  }
});

describe("queue delete in an Azure storage account", () => {
  for (const state of ["held", "dead", "queued"] as const) {
    it(`deletes a ${state} message that no relay is at, at once`, async () => {
      const relay = await queue.relay();
      const message = await given(relay, { state, due: queue.clock.date() + 3_600_000 });
      const { queue: command } = await queue.command();
      const sleeps = queue.clock.sleeps.length;
      assert.equal(await command.delete(message.id), "done");
      assert.equal(queue.clock.sleeps.length, sleeps);
      assert.equal(await command.delete(message.id), "unknown");
      await queue.pass(DAY);
      assert.deepEqual(await takeAll(relay.store), []);
    });
  }

  it("deletes a message that is due and at no relay, and no relay sends it", async () => {
    const dead = await queue.relay();
    const message = newMessage();
    await dead.store.add(message);
    dead.http.kill();
    const { queue: command } = await queue.command();
    assert.equal(await command.delete(message.id), "done");
    const { store } = await queue.relay({ adding: 0 });
    await queue.pass(121_000);
    assert.deepEqual(await takeAll(store), []);
  });

  it("keeps a relay from sending that has taken the message, but not begun", async () => {
    const { store } = await queue.relay();
    const message = newMessage();
    await store.add(message);
    const [taken] = await store.take(1, NOBODY);
    const { queue: command } = await queue.command();
    assert.equal(await command.delete(message.id), "done");
    assert.equal(await taken!.sending(1, NOTE), false);
  });

  it("keeps a relay from sending while it waits", async () => {
    queue.clock.patient = true;
    const { store } = await queue.relay();
    const message = newMessage();
    await store.add(message);
    const [taken] = await store.take(1, NOBODY);
    const { queue: command, http } = await queue.command();
    const deleting = command.delete(message.id);
    await until(() => http.names.includes("PUT metadata"));
    while (queue.clock.sleeps.length === 0) await setImmediate();
    queue.clock.skip(5500);
    assert.equal(await taken!.sending(1, NOTE), false);
    queue.clock.pass(15_000);
    assert.equal(await deleting, "done");
  });

  for (const action of ["delete", "retry"] as const) {
    it(`does not ${action} a message that is being sent`, async () => {
      queue.clock.patient = true;
      const first = await queue.relay();
      const message = newMessage();
      await first.store.add(message);
      first.http.kill();
      // Long enough for a retry to be more than what is about to happen anyway.
      await queue.pass(700_000);
      const relay = await queue.relay();
      const [taken] = await relay.store.take(1, NOBODY);
      assert.equal(await taken!.sending(1, NOTE), true);
      const { queue: command, http } = await queue.command();
      const acting = command[action](message.id);
      await until(() => http.names.includes("PUT metadata"));
      while (queue.clock.sleeps.length === 0) await setImmediate();
      queue.clock.pass(4500);
      await until(() => relay.http.names.filter((name) => name === "PUT metadata").length >= 2);
      queue.clock.pass(11_000);
      assert.equal(await acting, "sending");
      assert.equal((await command.find(message.id))!.stored.state, "sending");
      assert.equal(await command[action](message.id), "sending");
      await taken!.giveBack(progress());
      assert.equal((await command.find(message.id))!.stored.state, "held");
      assert.equal(await command[action](message.id), "done");
    });
  }

  it("says of a message that was sent while it waited that it was being sent", async () => {
    queue.clock.patient = true;
    const { store } = await queue.relay();
    const message = newMessage();
    await store.add(message);
    const [taken] = await store.take(1, NOBODY);
    const { queue: command, http } = await queue.command();
    const deleting = command.delete(message.id);
    await until(() => http.names.includes("PUT metadata"));
    assert.equal(await taken!.sending(1, NOTE), true);
    await taken!.remove();
    while (queue.clock.sleeps.length === 0) await setImmediate();
    queue.clock.pass(15_000);
    assert.equal(await deleting, "sending");
  });

  it("keeps a relay from sending that has got the message before it was due", async () => {
    const { store } = await queue.relay();
    const message = await given({ store } as Relay, {
      state: "queued",
      due: queue.clock.date() + 3_600_000,
    });
    await store.add(newMessage());
    const [sent] = await store.take(1, NOBODY);
    await sent!.sending(1, NOTE);
    await sent!.remove("all");
    let taken: readonly TakenMessage[] = [];
    while (taken.length === 0) {
      queue.clock.pass(500);
      taken = await store.take(1, NOBODY);
    }
    const { queue: command } = await queue.command();
    assert.equal(await command.delete(message.id), "done");
    assert.equal(await taken[0]!.sending(1, NOTE), false);
  });

  it("deletes no version of a message that it has not seen", async () => {
    const relay = await queue.relay();
    const message = await given(relay);
    const { queue: command, http } = await queue.command();
    const { reached, goOn } = gate(http, "DELETE blob");
    const deleting = command.delete(message.id);
    await reached;
    const other = await queue.command();
    assert.equal(await other.queue.retry(message.id), "done");
    goOn();
    assert.equal(await deleting, "done");
    // The second time after it has waited for the relays.
    const names = http.since().filter((name) => /DELETE|PUT/.test(name));
    assert.deepEqual(names, ["DELETE blob", "PUT metadata", "DELETE blob"]);
  });

  it("deletes a message whose relay died while it was sending, an hour later", async () => {
    const relay = await queue.relay();
    const message = newMessage();
    await relay.store.add(message);
    const [taken] = await relay.store.take(1, NOBODY);
    await taken!.sending(1, NOTE);
    queue.clock.pass(4500);
    await until(() => relay.http.names.includes("PUT metadata"));
    relay.http.kill();
    const { queue: command } = await queue.command();
    assert.equal(await command.delete(message.id), "sending");
    await queue.pass(3_700_000);
    assert.equal(await command.delete(message.id), "done");
  });

  it("waits for all messages at once that are deleted together", async () => {
    queue.clock.patient = true;
    const { store, http: relay } = await queue.relay();
    const messages = Array.from({ length: 20 }, () => newMessage());
    for (const message of messages) await store.add(message);
    relay.kill();
    const { queue: command, http } = await queue.command();
    await command.list(100);
    http.since();
    const deleting = Promise.all(messages.map(({ id }) => command.delete(id)));
    while (queue.clock.sleeps.length < messages.length) await setImmediate();
    // Their names are known from the list.
    assert(!http.since().includes("GET list"));
    queue.clock.pass(15_000);
    assert.deepEqual(await deleting, messages.map(() => "done"));
  });
});
