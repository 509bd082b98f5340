/** The queue in an Azure storage account, against Azurite: what is stored, in which order. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { describe, it } from "node:test";
import { openAzureQueue } from "../../../src/queue/azure/open.ts";
import { StoreError } from "../../../src/queue/store.ts";
import {
  type AzureQueue,
  azureQueues,
  DAY,
  newMessage,
  NOBODY,
  NOTE,
  octetsOf,
  takeAll,
  WatchedHttp,
} from "../../support/azure_queue.ts";
import { until } from "../../support/until.ts";

let queue: AzureQueue;
azureQueues((one) => queue = one);

describe("a message in an Azure storage account", () => {
  it("takes five requests from its arrival to its end: the pointer first, the blob gone first", async () => {
    const { store, http } = await queue.relay();
    const message = newMessage();
    await store.add(message);
    const [taken] = await store.take(1, NOBODY);
    assert(taken !== undefined);
    assert.deepEqual(await octetsOf(taken.content()), await octetsOf(message.content()));
    assert.equal(await taken.sending(1, NOTE), true);
    await taken.remove();
    assert.deepEqual(http.since(), [
      "PUT pointer",
      "PUT blob",
      "update pointer",
      "DELETE blob",
      "DELETE pointer",
    ]);
  });

  it("is in memory once while it is written, small or large", async () => {
    const { store } = await queue.relay();
    for (const size of [1_000_000, 9_000_000]) {
      const pieces: Uint8Array[] = [];
      await store.add({
        ...newMessage(),
        sealedSize: size,
        async *content() {
          for (let left = size; left > 0; left -= 250_000) {
            const piece = new Uint8Array(250_000);
            pieces.push(piece);
            yield await Promise.resolve(piece);
          }
        },
      });
      assert(pieces.every(({ byteLength }) => byteLength === 0), "the memory of each is free");
    }
  });

  it("of another size than it says is not stored", async () => {
    const { store } = await queue.relay();
    for (const sealedSize of [2999, 3001]) {
      await assert.rejects(store.add({ ...newMessage(), sealedSize }), { code: "EINVAL" });
    }
    assert.deepEqual(await (await queue.command()).queue.list(10), []);
  });

  it("is not added before both are stored", async () => {
    const { store, http } = await queue.relay();
    let added = false;
    let seen: boolean | undefined;
    http.fate = (name) => {
      if (name === "PUT blob") seen = added;
      return "sent";
    };
    await store.add(newMessage()).then(() => added = true);
    assert.equal(seen, false);
    const { container, queue: pointers } = await queue.clients();
    assert.equal((await pointers.getProperties()).approximateMessagesCount, 1);
    const blobs = await container.listBlobsFlat().byPage().next();
    assert.equal(blobs.value.segment.blobItems.length, 1);
  });

  // https://learn.microsoft.com/rest/api/storageservices/put-message: seven days by default.
  it("has a pointer that never expires, and is hidden at once", async () => {
    const { store, http } = await queue.relay();
    await store.add(newMessage());
    const { search } = http.requests.find(({ method }) => method === "POST")!.url;
    const searchParams = new URLSearchParams(search);
    assert.equal(searchParams.get("messagettl"), "-1");
    assert.equal(searchParams.get("visibilitytimeout"), "120");
    const other = await queue.relay();
    assert.deepEqual(await other.store.take(32, NOBODY), []);
    await queue.pass(30 * DAY);
    assert.equal((await other.store.take(32, NOBODY)).length, 1);
  });

  it("comes back as it was, to another relay too", async () => {
    const one = await queue.relay();
    const message = newMessage({ id: "0123456789012345", mailbox: "0123" });
    await one.store.add(message);
    await queue.pass(121_000);
    const other = await queue.relay();
    const [taken] = await other.store.take(1, NOBODY);
    assert(taken !== undefined);
    const { record, note, ...stored } = taken.stored;
    assert.deepEqual({ ...stored }, {
      id: message.id,
      receivedAt: message.receivedAt,
      size: 2943,
      mailbox: "0123",
      account: "account",
      connection: message.connection,
      state: "queued",
      due: message.receivedAt,
      attempts: 0,
      code: "",
    });
    assert.deepEqual(Buffer.from(record), Buffer.from(message.record));
    assert.equal(note.length, 0);
    assert.deepEqual(await octetsOf(taken.content()), await octetsOf(message.content()));
  });

  for (const size of [0, 1, 256 * 1024 - 500, 256 * 1024, 5_000_000]) {
    it(`of ${size} octets comes back octet by octet`, async () => {
      const one = await queue.relay();
      const octets = randomBytes(size);
      await one.store.add(newMessage({ octets }));
      await queue.pass(121_000);
      const other = await queue.relay();
      const [taken] = await other.store.take(1, NOBODY);
      assert(octets.equals(await octetsOf(taken!.content())));
    });
  }

  it("of 35 MB goes and comes in pieces of 4 MiB, and never a second time in memory", async () => {
    const { store, http } = await queue.relay();
    const octets = randomBytes(35_000_000);
    const message = newMessage({ octets, record: randomBytes(20_000) });
    await store.add(message);
    const names = http.since();
    assert.equal(names.filter((name) => name === "PUT block").length, 9);
    assert.deepEqual([names[0], names.at(-1)], ["PUT pointer", "PUT blocklist"]);
    const [taken] = await store.take(1, NOBODY);
    const read: Uint8Array[] = [];
    for await (const piece of taken!.content()) read.push(piece);
    assert(octets.equals(Buffer.concat(read)));
    assert(read.every((piece) => piece.length <= 4 * 1024 * 1024));
    const bodies = http.requests.map(({ body }) => body?.length ?? 0);
    assert(Math.max(...bodies) < 4.5 * 1024 * 1024);
    http.kill();
    await queue.pass(121_000);
    const other = await queue.relay();
    const [again] = await other.store.take(1, NOBODY);
    assert.deepEqual(Buffer.from(again!.stored.record), Buffer.from(message.record));
  });

  it("with a record of 1 MB comes back to another relay", async () => {
    const one = await queue.relay();
    const message = newMessage({ record: randomBytes(1_000_000) });
    await one.store.add(message);
    await queue.pass(121_000);
    const [taken] = await (await queue.relay()).store.take(1, NOBODY);
    assert.deepEqual(Buffer.from(taken!.stored.record), Buffer.from(message.record));
    assert.deepEqual(await octetsOf(taken!.content()), await octetsOf(message.content()));
  });

  it("has its pointer renewed while it is written slowly", async () => {
    const { store, http } = await queue.relay();
    http.fate = (name) => {
      if (name === "PUT block") queue.clock.skip(50_000);
      return "sent";
    };
    await store.add(newMessage({ octets: randomBytes(15_000_000) }));
    assert.deepEqual(http.since(), [
      "PUT pointer",
      "PUT block",
      "update pointer",
      "PUT block",
      "update pointer",
      "PUT block",
      "update pointer",
      "PUT block",
      "update pointer",
      "PUT blocklist",
    ]);
  });

  it("is not accepted if its pointer was received by another relay before the blob was there", async () => {
    const one = await queue.relay();
    const other = await queue.relay({ adding: 0 });
    let reached!: () => void;
    const uploading = new Promise<void>((resolve) => reached = resolve);
    let goOn!: () => void;
    const gate = new Promise<void>((resolve) => goOn = resolve);
    const { request } = one.http;
    one.http.request = async (what) => {
      if (what.method === "PUT" && what.url.pathname.includes("/messages/0")) {
        reached();
        await gate;
      }
      return await request.call(one.http, what);
    };
    const adding = one.store.add(newMessage());
    const refused = assert.rejects(
      adding,
      (error) => error instanceof StoreError && error.code === "LEASE_LOST",
    );
    await uploading;
    await queue.pass(121_000);
    assert.deepEqual(await takeAll(other.store), []);
    assert(other.http.since().includes("DELETE pointer"));
    goOn();
    await refused;
    await until(() => one.http.names.includes("DELETE blob"));
  });
});

describe("what Azure's operators can read", () => {
  it("has neither the record nor the content nor a note in clear, and only the message's facts", async () => {
    const { store, http } = await queue.relay();
    await store.add(newMessage({ mailbox: "hashOfMailbox" }));
    const [taken] = await store.take(1, NOBODY);
    await taken!.sending(1, Buffer.from("sealed"));
    await taken!.giveBack({
      state: "held",
      due: queue.clock.date(),
      attempts: 1,
      code: "ErrorAccessDenied",
      note: Buffer.from("sealed"),
    });
    const put = http.requests.find(({ url, method }) =>
      method === "PUT" && url.pathname.includes("/messages/0")
    )!;
    const metadata = Object.keys(put.headers).filter((name) => name.startsWith("x-ms-meta-"))
      .map((name) => name.slice(10)).sort();
    assert.deepEqual(metadata, [
      "account",
      "attempts",
      "connection",
      "due",
      "generation",
      "mailbox",
      "record",
      "size",
      "state",
    ]);
    const post = http.requests.find(({ method }) => method === "POST")!;
    const text = Buffer.concat([...post.body!.parts()].map((part) => Buffer.from(part))).toString()
      .replaceAll("&quot;", '"');
    const names = [...text.matchAll(/"(\w+)":/g)].map(([, name]) => name).sort();
    assert.deepEqual(names, [
      "account",
      "attempts",
      "code",
      "connection",
      "due",
      "generation",
      "id",
      "mailbox",
      "note",
      "received",
      "receivedAt",
      "state",
      "v",
    ]);
  });
});

describe("a failing storage account", () => {
  it("accepts nothing when the pointer cannot be stored, and is not asked to store the blob", async () => {
    const { store, http } = await queue.relay();
    http.fate = (name) => name === "PUT pointer" ? "busy" : "sent";
    await assert.rejects(store.add(newMessage()), (error) => {
      assert(error instanceof StoreError);
      assert.deepEqual([error.code, error.full], ["ServerBusy", false]);
      assert.match(error.message, /127\.0\.0\.1:\d+ says ServerBusy: it is busy and throttles/);
      return true;
    });
    assert.deepEqual(http.since(), ["PUT pointer"]);
  });

  it("leaves nothing that could be sent when the blob cannot be stored", async () => {
    const { store, http } = await queue.relay();
    http.fate = (name) => name === "PUT blob" ? "lost" : "sent";
    await assert.rejects(store.add(newMessage()), StoreError);
    await until(() => http.names.includes("DELETE pointer"));
    const names = http.since();
    assert(names.indexOf("DELETE blob") < names.indexOf("DELETE pointer"));
    http.fate = () => "sent";
    await queue.pass(DAY);
    assert.deepEqual(await takeAll((await queue.relay()).store), []);
    assert.equal(store.usage().messages.queued, 0);
  });

  it("undoes an addition later when it cannot at once", async () => {
    const { store, http } = await queue.relay();
    let away = true;
    http.fate = (name) =>
      name === "PUT blob" ? "lost" : away && /DELETE/.test(name) ? "busy" : "sent";
    await assert.rejects(store.add(newMessage()), StoreError);
    await until(() => http.names.filter((name) => name === "DELETE blob").length === 2);
    away = false;
    // The alarm is set in the turn after the response.
    while (!http.names.includes("DELETE pointer")) {
      queue.clock.pass(1000);
      await new Promise((resolve) => setImmediate(resolve));
    }
  });

  it("gets a request again that it was too busy for, where that can do no harm", async () => {
    const { store, http } = await queue.relay();
    const failed = new Set<string>();
    http.fate = (name) => {
      if (name === "PUT pointer" || failed.has(name)) return "sent";
      failed.add(name);
      return "busy";
    };
    await store.add(newMessage());
    const [taken] = await store.take(1, NOBODY);
    assert.equal(await taken!.sending(1, NOTE), true);
    await taken!.remove();
    assert.deepEqual(http.since(), [
      "PUT pointer",
      ...["PUT blob", "PUT blob"],
      ...["update pointer", "update pointer"],
      ...["DELETE blob", "DELETE blob"],
      ...["DELETE pointer", "DELETE pointer"],
    ]);
  });

  it("that lost the first response about a blob has stored it", async () => {
    const { store, http } = await queue.relay();
    let first = true;
    http.fate = (name) => {
      if (name !== "PUT blob" || !first) return "sent";
      first = false;
      return "reset";
    };
    const message = newMessage();
    await store.add(message);
    assert.equal(http.since().filter((name) => name === "PUT blob").length, 2);
    const [taken] = await store.take(1, NOBODY);
    assert.equal(await taken!.sending(1, NOTE), true);
    const due = queue.clock.date();
    await taken!.giveBack({ state: "held", due, attempts: 1, code: "X", note: NOTE });
    const { queue: command } = await queue.command();
    assert.equal((await command.find(message.id))!.stored.state, "held");
  });

  it("that lost the response about a renewal lets nobody send before the lease is over", async () => {
    const { store, http } = await queue.relay();
    await store.add(newMessage());
    const [taken] = await store.take(1, NOBODY);
    let first = true;
    http.fate = (name) => {
      if (name !== "update pointer" || !first) return "sent";
      first = false;
      return "reset";
    };
    assert.equal(await taken!.sending(1, NOTE), false);
    const other = await queue.relay();
    await queue.pass(119_000);
    assert.deepEqual(await other.store.take(32, NOBODY), []);
    await queue.pass(6000);
    assert.equal((await other.store.take(32, NOBODY)).length, 1);
  });

  it("keeps a message whose name another one wants", async () => {
    const { store, http } = await queue.relay();
    const message = newMessage();
    await store.add(message);
    const twin = newMessage({ id: message.id, receivedAt: message.receivedAt });
    await assert.rejects(store.add(twin), { code: "BlobAlreadyExists" });
    await until(() => http.names.includes("DELETE pointer"));
    assert(!http.names.includes("DELETE blob"));
    const { queue: command } = await queue.command();
    const found = await command.find(message.id);
    assert.deepEqual(await octetsOf(found!.content()), await octetsOf(message.content()));
  });

  it("does not let a message be sent whose renewal failed", async () => {
    const { store, http } = await queue.relay();
    await store.add(newMessage());
    const [taken] = await store.take(1, NOBODY);
    http.fate = () => "busy";
    await assert.rejects(
      taken!.sending(1, NOTE),
      (error) => error instanceof StoreError && error.code === "ServerBusy",
    );
  });

  it("deletes a message later that was sent and could not be deleted", async () => {
    const { store, http } = await queue.relay();
    await store.add(newMessage());
    const [taken] = await store.take(1, NOBODY);
    await taken!.sending(1, NOTE);
    http.fate = (name) => name === "DELETE blob" ? "busy" : "sent";
    await assert.rejects(taken!.remove(), StoreError);
    http.fate = () => "sent";
    http.since();
    await queue.pass(50_000);
    await until(() => store.usage().messages.sending + store.usage().messages.queued === 0);
    assert.deepEqual(http.since().slice(-2), ["DELETE blob", "DELETE pointer"]);
  });
});

describe("the count of an Azure queue", () => {
  it("is of all states, from the list when it opens, and follows the relay's own changes", async () => {
    const { store } = await queue.relay();
    const empty = { queued: 0, sending: 0, held: 0, dead: 0 };
    assert.deepEqual(store.usage(), {
      messages: empty,
      octets: 0,
      oldest: undefined,
      oldestDead: undefined,
      disk: undefined,
    });
    const messages = Array.from({ length: 5 }, () => newMessage());
    for (const message of messages) await store.add(message);
    assert.deepEqual(store.usage().messages, { ...empty, queued: 5 });
    assert.equal(store.usage().octets, 5 * 3500);
    assert.equal(store.usage().oldest, messages[0]!.receivedAt);
    const [one, two, three, four] = await store.take(4, NOBODY);
    await one!.sending(1, NOTE);
    assert.deepEqual(store.usage().messages, { ...empty, queued: 4, sending: 1 });
    await one!.remove();
    const progress = { due: queue.clock.date(), attempts: 1, code: "X", note: NOTE };
    await two!.giveBack({ state: "held", ...progress });
    await three!.giveBack({ state: "dead", ...progress });
    await four!.sending(1, NOTE);
    await four!.giveBack({ state: "queued", ...progress, due: queue.clock.date() + 60_000 });
    const expected = { queued: 2, sending: 0, held: 1, dead: 1 };
    assert.deepEqual(store.usage().messages, expected);
    assert.equal(store.usage().oldest, messages[3]!.receivedAt);
    const other = await queue.relay();
    assert.deepEqual(other.store.usage(), store.usage());
    for (const { store: each } of [{ store }, other]) {
      const all = { messages: 4, octets: 4 * 3500, isAlone: true };
      assert.deepEqual(await each.share("account"), all);
      assert.deepEqual(await each.share("b"), { messages: 0, octets: 0, isAlone: false });
    }
    await store.add(newMessage({ account: "b" }));
    assert.deepEqual(await store.share("b"), { messages: 1, octets: 3500, isAlone: false });
  });

  it("knows when the first of the dead messages was given up", async () => {
    const { store } = await queue.relay();
    for (let index = 0; index < 4; index++) await store.add(newMessage());
    const taken = await store.take(4, NOBODY);
    const now = queue.clock.date();
    const progress = { attempts: 1, code: "X", note: NOTE };
    await taken[0]!.giveBack({ state: "held", due: now - 4000, ...progress });
    assert.equal(store.usage().oldestDead, undefined, "held is not dead");
    // The younger message first.
    for (const [index, due] of [[3, now - 3000], [1, now - 2000], [2, now - 1000]] as const) {
      await taken[index]!.giveBack({ state: "dead", due, ...progress });
    }
    assert.equal(store.usage().oldestDead, now - 3000);
    const other = await queue.relay();
    assert.equal(other.store.usage().oldestDead, now - 3000, "by the list, which is by arrival");
    const { queue: command } = await queue.command();
    const dead = [taken[3], taken[1], taken[2]].map((message) => message!.stored.id);
    const next = [now - 2000, now - 1000, undefined];
    for (const [index, id] of dead.entries()) {
      assert.equal(await command.delete(id), "done");
      queue.clock.pass(70_000);
      await until(() => other.store.usage().oldestDead === next[index]);
    }
  });

  it("does not hold up the start for longer than ten seconds, however long the list is", async () => {
    const one = await queue.relay();
    await one.store.add(newMessage());
    const http = new WatchedHttp();
    const { promise: gate, resolve: open } = Promise.withResolvers<void>();
    http.hold = (name) => name === "GET list" ? gate : Promise.resolve();
    const opening = openAzureQueue({ ...queue.options(http), maxAge: 2 * DAY });
    await until(() => http.names.includes("GET list"));
    queue.clock.pass(10_000);
    const store = await opening;
    assert.equal(store.usage().messages.queued, 0);
    open();
    await until(() => store.usage().messages.queued === 1);
    await store.close();
    http.close();
  });

  it("is taken again from the list after a while, in pages", async () => {
    const one = await queue.relay();
    const other = await queue.relay();
    const count = 210;
    await Promise.all(Array.from({ length: count }, () => one.store.add(newMessage())));
    assert.equal(other.store.usage().messages.queued, 0);
    other.http.since();
    queue.clock.pass(70_000);
    await until(() => other.store.usage().messages.queued === count);
    assert.equal(other.http.since().filter((name) => name === "GET list").length, 3);
  });
});
