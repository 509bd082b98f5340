/** The 250 of a queued message: after it is on stable storage, and only then. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import type { Authorization } from "../../src/accounts/account.ts";
import { SenderRules } from "../../src/accounts/senders.ts";
import { checkedDelivery } from "../../src/delivery/checked_delivery.ts";
import type { Delivery, Outcome, Submission } from "../../src/delivery/delivery.ts";
import { QueueDelivery } from "../../src/queue/queue_delivery.ts";
import { QueueRoom } from "../../src/queue/queue_room.ts";
import { openRecord } from "../../src/queue/record.ts";
import { StoreError } from "../../src/queue/store.ts";
import { Secret } from "../../src/secret.ts";
import { SenderList } from "../../src/accounts/sender_list.ts";
import { ContentBuilder, discard } from "../../src/smtp/content.ts";
import { formatReply, reply } from "../../src/smtp/reply.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { MemoryQueue } from "../support/memory_queue.ts";
import { ACCOUNT, accountWith, submissionOf, tokenOf } from "../support/submissions.ts";
import { WaitingTestClient } from "../support/waiting_client.ts";
import { newSealer } from "./queue_world.ts";

const ID = "0123456789abcdef";

interface Bounds {
  readonly maxMessages?: number;
  readonly maxOctets?: number;
}

function setUp(bounds: Bounds = {}) {
  const clock = new FakeClock();
  const store = new MemoryQueue(clock);
  const sealer = newSealer();
  const direct: string[] = [];
  let added = 0;
  const room = new QueueRoom(store, { maxMessages: 1000, maxOctets: 10 ** 9, ...bounds });
  const delivery = new QueueDelivery({
    store,
    sealer,
    room,
    direct: {
      deliver: ({ id }) => {
        direct.push(id);
        return Promise.resolve({ type: "sent", reply: reply(250, "2.0.0", "OK") });
      },
    },
    credentialOf(login) {
      const { clientSecret: secret } = login as { readonly clientSecret?: Secret };
      return secret && { type: "secret", secret, verified: true };
    },
    added: () => void added++,
  });
  return { clock, store, sealer, direct, room, delivery, added: () => added };
}

/** A login with a client secret. */
const LOGIN: Authorization & { readonly clientSecret: Secret } = {
  ...accountWith(tokenOf("t")),
  clientSecret: new Secret("its secret"),
};

function submission(changes: Partial<Submission> = {}): Submission {
  return { ...submissionOf(ACCOUNT), ...changes };
}

function replyTo(outcome: Outcome): string {
  return formatReply(outcome.reply).trimEnd();
}

describe("a queued delivery", () => {
  it("answers once the message is on stable storage, with its id", async () => {
    const { store, delivery, added } = setUp();
    const stored = Promise.withResolvers<void>();
    store.before = () => stored.promise;
    let outcome: Outcome | undefined;
    const delivered = delivery.deliver(submission(), { authorization: LOGIN })
      .then((result) => outcome = result);
    for (let turn = 0; turn < 20; turn++) await Promise.resolve();
    assert.equal(outcome, undefined);
    assert.equal(added(), 0);
    stored.resolve();
    assert.equal(replyTo(await delivered), `250 2.0.0 OK: queued as ${ID}`);
    assert.equal(added(), 1);
    assert.deepEqual(store.ids(), [ID]);
  });

  it("stores all that is needed to send the message later, sealed", async () => {
    const { store, sealer, delivery } = setUp();
    const message = submission({
      content: [Buffer.from("Subject: s\r\n\r\n"), Buffer.from("x\r\n")],
    });
    await delivery.deliver(message, { authorization: LOGIN });
    const stored = store.stored(ID)!;
    assert.equal(stored.size, 17);
    assert.equal(stored.receivedAt, message.receivedAt);
    const record = openRecord(sealer, ID, stored.record);
    assert.ok(record.credential.type === "secret");
    assert.equal(record.credential.secret.reveal(), "its secret");
    const { kind, envelope, account, facts, client, connection } = record;
    assert.deepEqual({ kind, envelope, account, facts, client, connection }, {
      kind: "message",
      envelope: message.envelope,
      account: message.account,
      facts: message.facts,
      client: message.client,
      connection: message.connection,
    });
    const clear = JSON.stringify(stored, (_, value) => value instanceof Uint8Array ? "" : value);
    assert.doesNotMatch(clear, /x\.test|secret|192\.0|11111111|aaaaaaaa|c0ffee/);
    const [taken] = await store.take(1, new Set());
    const content = await sealer.openContent(taken!.content(), `content ${ID}`, taken!.stored.size);
    assert.equal(Buffer.concat(content as Uint8Array[]).toString(), "Subject: s\r\n\r\nx\r\n");
  });

  it("needs the content no longer once it has answered", async () => {
    const { store, sealer, delivery } = setUp();
    const builder = new ContentBuilder();
    builder.append(Buffer.from("Subject: kept\r\n\r\nx\r\n"));
    const content = builder.finish();
    await delivery.deliver(submission({ content }), { authorization: LOGIN });
    discard(content);
    const [taken] = await store.take(1, new Set());
    const opened = await sealer.openContent(taken!.content(), `content ${ID}`, taken!.stored.size);
    assert.match(Buffer.concat(opened as Uint8Array[]).toString(), /^Subject: kept/);
  });

  it("is 451 if the store fails, and 452 if it is full; nothing is kept", async () => {
    for (
      const [full, expected] of [
        [false, "451 4.3.0 EIO: the queue cannot store the message now; try again later"],
        [true, "452 4.3.1 EIO: the queue has no room now; try again later"],
      ] as const
    ) {
      const { store, delivery, added } = setUp();
      store.before = () => {
        throw new StoreError("EIO", "/var/queue.db: bad disk", full);
      };
      const outcome = await delivery.deliver(submission(), { authorization: LOGIN });
      assert.equal(replyTo(outcome), expected);
      assert(outcome.type === "later" && !outcome.ambiguous);
      assert.equal(outcome.detail, "/var/queue.db: bad disk");
      assert.deepEqual(store.ids(), []);
      assert.equal(added(), 0);
    }
  });

  it("fails with a fault of the program", async () => {
    const { store, delivery } = setUp();
    store.before = () => {
      throw new TypeError("a bug");
    };
    await assert.rejects(delivery.deliver(submission(), { authorization: LOGIN }), TypeError);
  });

  it("is direct for a client's own token, which ends before a queue can rely on it", async () => {
    const { store, direct, delivery } = setUp({ maxMessages: 0 });
    const outcome = await delivery.deliver(submission(), {
      authorization: accountWith(tokenOf("its own")),
    });
    assert.equal(outcome.type, "sent");
    assert.deepEqual(direct, [ID]);
    assert.deepEqual(store.ids(), []);
  });

  it("gives messages of one mailbox one name, and others another", async () => {
    const { store, delivery } = setUp();
    const names: string[] = [];
    let number = 0;
    const accounts = [
      ACCOUNT,
      { ...ACCOUNT, clientId: "other" },
      { ...ACCOUNT, fromEmail: "real@x.test" },
    ];
    for (const account of accounts) {
      for (const from of ["ann@x.test", "ANN@x.test", "bea@x.test"]) {
        const id = `${++number}`.padStart(16, "0");
        const envelope = { from, recipients: ["cem@x.test"] };
        await delivery.deliver(submission({ id, account, envelope }), { authorization: LOGIN });
        names.push(store.stored(id)!.mailbox);
      }
    }
    const [ann, same, bea, otherAnn, , otherBea, real, alsoReal, stillReal] = names;
    assert.equal(ann, same);
    assert.equal(new Set([ann, bea, otherAnn, otherBea, real]).size, 5);
    assert.deepEqual([alsoReal, stillReal], [real, real], "all are sent from one mailbox");
  });

  it("gives each entry of the lookup table an account name of its own", async () => {
    const { store, delivery } = setUp();
    const names: string[] = [];
    for (const entry of [undefined, "one", "two", "one"]) {
      const id = `${names.length}`.padStart(16, "0");
      const account = entry === undefined
        ? ACCOUNT
        : { ...ACCOUNT, entry: { id: entry, foundBy: "id" as const } };
      await delivery.deliver(submission({ id, account }), { authorization: LOGIN });
      names.push(store.stored(id)!.account);
    }
    assert.equal(new Set(names).size, 3);
    assert.equal(names[3], names[1]);
  });
});

describe("the bounds of a queue", () => {
  it("refuse at MAIL, and after the content", async () => {
    const { room, delivery, store } = setUp({ maxMessages: 1 });
    assert.equal(room.mailRefusal(), undefined);
    await delivery.deliver(submission(), { authorization: LOGIN });
    assert.equal(
      formatReply(room.mailRefusal()!).trimEnd(),
      "452 4.3.1 The queue holds QUEUE_MAX_MESSAGES messages; try again later",
    );
    const id = "1".repeat(16);
    const outcome = await delivery.deliver(submission({ id }), { authorization: LOGIN });
    assert.match(replyTo(outcome), /^452 4\.3\.1 .*QUEUE_MAX_MESSAGES/);
    assert.equal(outcome.type === "later" && outcome.limit, "QUEUE_MAX_MESSAGES");
    assert.deepEqual(store.ids(), [ID]);
  });

  it("count what is held and dead too, until it is deleted", async () => {
    const { room, delivery, store } = setUp({ maxMessages: 2 });
    for (const [id, state] of [["1", "held"], ["2", "dead"]] as const) {
      const name = id.repeat(16);
      await delivery.deliver(submission({ id: name }), { authorization: LOGIN });
      store.tamper(name, (stored) => ({ ...stored, state }));
    }
    assert.equal(room.mailRefusal()!.code, 452);
    store.delete("2".repeat(16));
    assert.equal(room.mailRefusal(), undefined);
  });

  it("are those of octets, with the message's own", async () => {
    const { room, delivery, store } = setUp({ maxOctets: 1000 });
    const admitted = await room.admit(999);
    assert(typeof admitted === "function");
    assert.equal(room.mailRefusal(), undefined, "one octet is free");
    assert(typeof await room.admit(1) !== "function", "together with those that are being stored");
    admitted();
    assert.match(replyTo(await room.admit(1000) as Outcome), /^452 4\.3\.1 .*QUEUE_MAX_BYTES/);
    const outcome = await delivery.deliver(
      submission({ content: [Buffer.alloc(2000)] }),
      { authorization: LOGIN },
    );
    assert.equal(outcome.reply.code, 452);
    assert.deepEqual(store.ids(), []);
    assert.equal(room.mailRefusal(), undefined, "a small one has room");
  });

  it("keep 64 MiB and a twentieth of the disk free", async () => {
    const MIB = 1024 * 1024;
    const { room, store } = setUp();
    const refused = async (free: number, total: number, octets = 0) => {
      store.disk = { free: free * MIB, total: total * MIB };
      const admitted = await room.admit(octets * MIB);
      if (typeof admitted !== "function") return admitted.code;
      admitted();
    };
    assert.equal(await refused(65, 100), undefined);
    assert.equal(await refused(63, 100), "DISK_FULL");
    assert.equal(await refused(501, 10_000), undefined);
    assert.equal(await refused(499, 10_000), "DISK_FULL");
    assert.equal(await refused(510, 10_000, 20), "DISK_FULL", "after this message");
    store.disk = { free: 10 * MIB, total: 100 * MIB };
    assert.match(formatReply(room.mailRefusal()!), /^452 4\.3\.1 .*disk/);
  });
});

describe("a queue behind the checks of a submission", () => {
  function checked(next: Delivery, allowed?: string): Delivery {
    const rules = new SenderRules(allowed === undefined ? undefined : SenderList.parse(allowed));
    return checkedDelivery(next, { rules, duplicateWindow: 600_000 });
  }

  it("does not queue what the sender policy refuses", async () => {
    const { delivery, store } = setUp();
    const outcome = await checked(delivery, "bea@x.test")
      .deliver(submission(), { authorization: LOGIN });
    assert.equal(outcome.reply.code, 550);
    assert.deepEqual(store.ids(), []);
  });

  it("queues a message once whose client was gone before its 250", async () => {
    const { delivery, store } = setUp();
    const chain = checked(delivery);
    const stored = Promise.withResolvers<void>();
    store.before = () => stored.promise;
    const client = new WaitingTestClient();
    const first = chain.deliver(submission(), { authorization: LOGIN, client });
    client.leave(false);
    await Promise.resolve();
    const again = new WaitingTestClient();
    const second = chain.deliver(submission({ id: "f".repeat(16) }), {
      authorization: LOGIN,
      client: again,
    });
    stored.resolve();
    assert.equal((await first).type, "queued");
    const outcome = await second;
    assert.equal(replyTo(outcome), `250 2.0.0 OK id=${ID}`);
    assert.deepEqual(store.ids(), [ID]);
    again.leave(true);
  });

  it("queues an equal message again whose client had its 250", async () => {
    const { delivery, store } = setUp();
    const chain = checked(delivery);
    const client = new WaitingTestClient();
    await chain.deliver(submission(), { authorization: LOGIN, client });
    client.read();
    await chain.deliver(submission({ id: "f".repeat(16) }), { authorization: LOGIN });
    assert.equal(store.ids().length, 2);
  });
});
