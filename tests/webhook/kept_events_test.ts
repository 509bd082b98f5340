/** Events that wait outlast a relay with a queue. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { describe, it } from "node:test";
import { Sealer } from "../../src/queue/sealing.ts";
import { StoreError } from "../../src/queue/store.ts";
import { Secret } from "../../src/secret.ts";
import { KeptEvents } from "../../src/webhook/kept_events.ts";
import type { PendingEvent } from "../../src/webhook/outbox.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { MemoryQueue } from "../support/memory_queue.ts";

class Source {
  pending: PendingEvent[] = [];

  restore(events: readonly PendingEvent[]): void {
    this.pending.push(...events);
  }

  add(count: number, octets = 100): void {
    for (let i = 0; i < count; i++) {
      const id = `evt_${randomBytes(8).toString("hex")}`;
      this.pending.push({ id, body: "x".repeat(octets), at: 0 });
    }
  }
}

function newSealer(): Sealer {
  return new Sealer([new Secret(randomBytes(32).toString("base64"))]);
}

const clock = new FakeClock();
const sealer = newSealer();
const setUp = (store = new MemoryQueue(clock)) => {
  const failures: unknown[] = [];
  const relay = async (name = "relay.test", by = sealer) => {
    const source = new Source();
    const report = {
      failed: (error: unknown) => void failures.push(error),
      recovered: () => void failures.push("recovered"),
    };
    const kept = new KeptEvents(source, { notes: store.notes, sealer: by, name, clock, report });
    await kept.open();
    return { source, kept };
  };
  return { store, failures, relay };
};

/** Two looks, with what they write. */
async function look(): Promise<void> {
  for (let turn = 0; turn < 100; turn++) {
    if (turn % 50 === 0) clock.pass(2_000);
    await setImmediate();
  }
}

describe("events that wait", () => {
  it("are there after a stop, in their order and with their ids", async () => {
    const { relay, store } = setUp();
    const first = await relay();
    first.source.add(1500, 300);
    const { pending } = first.source;
    await first.kept.close();
    const second = await relay();
    assert.deepEqual(second.source.pending, pending);
    second.source.pending = [];
    await second.kept.close();
    assert.deepEqual((await relay()).source.pending, []);
    assert.equal(store.noted.length, 1, "nothing but the range is left");
  });

  it("are there after a crash, if two seconds have passed", async () => {
    const { relay } = setUp();
    const first = await relay();
    first.source.add(3);
    await look();
    first.source.add(2);
    await look();
    const { pending } = first.source;
    assert.deepEqual((await relay()).source.pending, pending);
  });

  it("are sealed", async () => {
    const { relay, store } = setUp();
    const { source, kept } = await relay();
    source.pending.push({ id: "evt_1", body: "anna@x.test", at: 0 });
    await kept.close();
    for (const key of store.noted) {
      const value = await store.notes.get(key);
      assert.ok(!new TextDecoder("latin1").decode(value).includes("anna"));
    }
  });

  it("of one relay are not another's", async () => {
    const { relay } = setUp();
    const first = await relay("a.test");
    first.source.add(3);
    await first.kept.close();
    assert.deepEqual((await relay("b.test")).source.pending, []);
    assert.equal((await relay("a.test")).source.pending.length, 3);
  });

  it("cost one small note for each look, however many wait", async () => {
    const { relay, store } = setUp();
    const { source, kept } = await relay();
    source.add(5000, 500);
    await look();
    const before = store.log.length;
    source.add(1, 500);
    await look();
    assert.ok(store.log.length - before <= 2, `${store.log.length - before} writes`);
    await kept.close();
  });

  it("are lost with a key that is gone, and the relay goes on", async () => {
    const { relay, failures } = setUp();
    const first = await relay();
    first.source.add(3);
    await first.kept.close();
    assert.deepEqual((await relay("relay.test", newSealer())).source.pending, []);
    assert.deepEqual(failures, []);
  });

  it("wait in memory while the store fails", async () => {
    const { relay, store, failures } = setUp();
    const { source, kept } = await relay();
    store.before = () => {
      throw new StoreError("EIO", "the disk is gone");
    };
    source.add(3);
    await look();
    assert.ok(failures.length > 0);
    store.before = () => {};
    await look();
    assert.equal(failures.at(-1), "recovered");
    await kept.close();
    assert.equal((await relay()).source.pending.length, 3);
  });

  it("are not written over while they cannot be read, and come later", async () => {
    const { relay, store, failures } = setUp();
    const first = await relay();
    first.source.add(3);
    const { pending } = first.source;
    await first.kept.close();
    store.before = () => {
      throw new StoreError("EIO", "the disk is gone");
    };
    const second = await relay();
    second.source.add(2);
    const newer = [...second.source.pending];
    const third = await relay();
    await look();
    store.before = () => {};
    await third.kept.close();
    assert.deepEqual(third.source.pending, [], "a relay that stops takes nothing");
    store.before = () => {
      throw new StoreError("EIO", "the disk is gone");
    };
    assert.deepEqual(second.source.pending, newer);
    store.before = () => {};
    await look();
    assert.deepEqual(second.source.pending, [...newer, ...pending]);
    assert.equal(failures.at(-1), "recovered");
    await second.kept.close();
    assert.equal((await relay()).source.pending.length, 5);
  });
});
