/** That one account does not take all of the queue from the others. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { setImmediate } from "node:timers/promises";
import { describe, it } from "node:test";
import type { Account, Authorization } from "../../src/accounts/account.ts";
import { accountName } from "../../src/queue/names.ts";
import { QueueDelivery } from "../../src/queue/queue_delivery.ts";
import { QueueRoom } from "../../src/queue/queue_room.ts";
import { QueueShares } from "../../src/queue/queue_shares.ts";
import { StoreError } from "../../src/queue/store.ts";
import { Secret } from "../../src/secret.ts";
import { formatReply } from "../../src/smtp/reply.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { MemoryQueue } from "../support/memory_queue.ts";
import { ACCOUNT, accountWith, submissionOf, tokenOf } from "../support/submissions.ts";
import { DAY, HOUR, newSealer } from "./queue_world.ts";

const LOGIN: Authorization & { readonly clientSecret: Secret } = {
  ...accountWith(tokenOf("t")),
  clientSecret: new Secret("its secret"),
};
const account = (clientId: string): Account => ({ ...ACCOUNT, clientId });
const [GREEDY, OTHER, THIRD] = ["greedy", "other", "third"].map(account) as [
  Account,
  Account,
  Account,
];

interface Bounds {
  readonly maxMessages?: number;
  readonly maxOctets?: number;
}

class Shared {
  readonly clock = new FakeClock();
  readonly store = new MemoryQueue(this.clock);
  readonly sealer = newSealer();
  readonly room: QueueRoom;
  readonly #delivery: QueueDelivery;
  #ids = 0;

  constructor(bounds: Bounds) {
    this.room = this.#room(bounds);
    const { store, sealer, room } = this;
    this.#delivery = new QueueDelivery({
      store,
      sealer,
      room,
      direct: { deliver: () => Promise.reject(new Error("not to be delivered directly")) },
      credentialOf: () => ({ type: "secret", secret: LOGIN.clientSecret, verified: true }),
      added: () => {},
    });
  }

  #room(bounds: Bounds): QueueRoom {
    const { store, clock } = this;
    const all = { maxMessages: 1_000_000, maxOctets: 10 ** 12, ...bounds };
    return new QueueRoom(store, all, new QueueShares(store, clock));
  }

  /** @returns the id, or the code of the refusal */
  async add(account: Account, octets = 10): Promise<string> {
    const id = `${++this.#ids}`.padStart(16, "0");
    const content = [Buffer.alloc(octets)];
    const outcome = await this.#delivery.deliver(
      { ...submissionOf(account), id, content },
      { authorization: LOGIN },
    );
    return outcome.type === "queued" ? id : `${outcome.type === "later" && outcome.limit}`;
  }

  /** Until it is refused. @returns how many were queued, and why no more were */
  async fill(account: Account, octets = 10): Promise<[count: number, limit: string]> {
    for (let count = 0;; count++) {
      const id = await this.add(account, octets);
      if (!/^\d/.test(id)) return [count, id];
    }
  }

  /** The reply to MAIL, once what it asks for has come. */
  async atMail(account: Account): Promise<string | undefined> {
    const name = accountName(this.sealer, account);
    this.room.mailRefusal(name);
    await setImmediate();
    const reply = this.room.mailRefusal(name);
    return reply === undefined ? undefined : formatReply(reply);
  }
}

describe("the shares of a queue", () => {
  it("let one account have all of it while no other uses it", async () => {
    const shared = new Shared({ maxMessages: 50 });
    assert.deepEqual(await shared.fill(GREEDY), [50, "QUEUE_MAX_MESSAGES"]);
  });

  it("leave room for others as soon as there are any, and for each of them", async () => {
    const shared = new Shared({ maxMessages: 1000 });
    await shared.add(OTHER);
    assert.deepEqual(await shared.fill(GREEDY), [800, "QUEUE_MAX_MESSAGES"]);
    const [others] = await shared.fill(OTHER);
    assert(others > 150, `${others}`);
    const [third] = await shared.fill(THIRD);
    assert(third > 20, `${third}`);
    assert.match(await shared.atMail(GREEDY) ?? "", /its share of QUEUE_MAX_MESSAGES/);
    assert.equal(await shared.atMail(account("new")), undefined);
  });

  it("count octets too", async () => {
    const shared = new Shared({ maxOctets: 1_000_000 });
    await shared.add(OTHER);
    const [count, limit] = await shared.fill(GREEDY, 8000);
    assert.equal(limit, "QUEUE_MAX_BYTES");
    const { octets } = shared.store.usage();
    assert(count > 50 && octets > 750_000 && octets < 830_000, `${octets}`);
    assert.match(await shared.atMail(GREEDY) ?? "", /its share of QUEUE_MAX_BYTES/);
    assert.match(await shared.add(OTHER, 100_000), /^\d+$/, "a large message of another");
  });

  it("count what was let in since the store was asked", async () => {
    const shared = new Shared({ maxOctets: 1_000_000 });
    await shared.add(OTHER, 300_000);
    const [count] = await shared.fill(GREEDY, 1000);
    // Four times of what is free: 4/5 of 700 kB, as stored.
    const octets = shared.store.usage().octets - 300_000;
    assert(Math.abs(octets - 560_000) < 8_000, `${count} messages, ${octets} octets`);
  });

  it("do not count if the store has not told anything for half a minute", async () => {
    const shared = new Shared({ maxMessages: 100 });
    await shared.add(OTHER);
    await shared.fill(GREEDY);
    shared.store.share = () => Promise.reject(new StoreError("EIO", "a bad disk"));
    shared.clock.pass(29_000);
    assert.equal(await shared.add(GREEDY), "QUEUE_MAX_MESSAGES");
    shared.clock.pass(1_000);
    assert.match(await shared.add(GREEDY), /^\d+$/);
  });

  it("keep a part of the disk's room as well", async () => {
    const MIB = 1024 * 1024;
    const shared = new Shared({});
    shared.store.disk = { free: 65 * MIB, total: 100 * MIB };
    await shared.add(OTHER);
    for (let i = 0; i < 5; i++) await shared.add(GREEDY, MIB);
    assert.equal(await shared.add(GREEDY), "QUEUE_MAX_BYTES");
    assert.match(await shared.add(OTHER), /^\d+$/);
  });

  it("are larger again once messages are gone, within seconds", async () => {
    const shared = new Shared({ maxMessages: 100 });
    const first = await shared.add(OTHER);
    await shared.fill(GREEDY);
    assert.notEqual(await shared.atMail(GREEDY), undefined);
    for (const id of shared.store.ids().slice(0, 40)) if (id !== first) shared.store.delete(id);
    assert.equal(await shared.atMail(GREEDY), undefined);
    assert.match(await shared.add(GREEDY), /^\d+$/);
  });

  it("count those who have only asked for room, for a day", async () => {
    const shared = new Shared({ maxMessages: 100 });
    await shared.atMail(OTHER);
    assert.deepEqual(await shared.fill(GREEDY), [80, "QUEUE_MAX_MESSAGES"]);
    shared.clock.pass(DAY - HOUR);
    assert.deepEqual(await shared.fill(GREEDY), [0, "QUEUE_MAX_MESSAGES"]);
    shared.clock.pass(HOUR);
    assert.deepEqual(await shared.fill(GREEDY), [20, "QUEUE_MAX_MESSAGES"]);
  });

  it("hold for many messages at once", async () => {
    const shared = new Shared({ maxMessages: 100 });
    await shared.add(OTHER);
    for (let i = 0; i < 78; i++) await shared.add(GREEDY);
    await Promise.all(Array.from({ length: 50 }, () => shared.add(GREEDY)));
    assert(shared.store.ids().length <= 82, `${shared.store.ids().length}`);
  });

  it("ask the store only when the queue is nearly full", async () => {
    const shared = new Shared({ maxMessages: 100 });
    let asked = 0;
    const share = shared.store.share.bind(shared.store);
    shared.store.share = (name) => {
      asked++;
      return share(name);
    };
    await shared.add(OTHER);
    for (let i = 0; i < 78; i++) await shared.add(GREEDY);
    assert.equal(asked, 0);
    await shared.fill(GREEDY);
    assert.equal(asked, 1);
  });

  it("refuse nobody while the store cannot tell", async () => {
    const shared = new Shared({ maxMessages: 100 });
    await shared.add(OTHER);
    shared.store.share = () => Promise.reject(new StoreError("EIO", "no"));
    assert.deepEqual(await shared.fill(GREEDY), [99, "QUEUE_MAX_MESSAGES"]);
  });
});
