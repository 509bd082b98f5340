/** Relays on one queue that die at random, and the ledger of what they have accepted and sent. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import {
  AzureQueue,
  newMessage,
  NOBODY,
  NOTE,
  type Relay,
  takeAll,
} from "../../support/azure_queue.ts";
import type { AzuriteStorage } from "../../support/azurite_storage.ts";

class Ledger {
  readonly acknowledged = new Set<string>();
  /** How often each message was sent. */
  readonly sent = new Map<string, number>();
  /** Messages that were being sent when their relay died, or the response about their deletion was lost. */
  readonly inDoubt = new Set<string>();

  send(id: string): void {
    this.sent.set(id, (this.sent.get(id) ?? 0) + 1);
  }
}

/** Lets a relay live for a number of requests; the response of its last one may be lost. */
async function live({ store, http }: Relay, ledger: Ledger): Promise<void> {
  let left = 1 + randomBytes(1)[0]! % 60;
  http.fate = () => {
    if (--left > 0) return "sent";
    http.kill();
    return randomBytes(1)[0]! % 2 === 0 ? "sent" : "lost";
  };
  const accept = async () => {
    while (!http.killed) {
      const message = newMessage();
      try {
        await store.add(message);
      } catch {
        continue;
      }
      // A dead relay gives nobody a 250.
      if (!http.killed) ledger.acknowledged.add(message.id);
    }
  };
  const deliver = async () => {
    while (!http.killed) {
      const taken = await store.take(4, NOBODY).catch(() => []);
      if (taken.length === 0) await setImmediate();
      await Promise.all(taken.map(async (message) => {
        const { id } = message.stored;
        try {
          if (!await message.sending(1, NOTE) || http.killed) return;
          ledger.send(id);
          ledger.inDoubt.add(id);
          await message.remove();
          ledger.inDoubt.delete(id);
        } catch {
          // It is dead.
        }
      }));
    }
  };
  await Promise.all([accept(), accept(), deliver()]);
}

/**
 * @param deaths how many relays die
 * @param relays how many live at the same time
 */
export async function dieAndLook(
  azurite: AzuriteStorage,
  deaths: number,
  relays: number,
): Promise<void> {
  const queue = new AzureQueue(azurite);
  const ledger = new Ledger();
  const doubted = new Set<string>();
  for (let dead = 0; dead < deaths; dead += relays) {
    const alive = await Promise.all(Array.from({ length: relays }, () => queue.relay()));
    await Promise.all(alive.map((relay) => live(relay, ledger)));
    for (const id of ledger.inDoubt) doubted.add(id);
    // Half of them have their leases end before the next ones start.
    if (dead % 2 === 0) await queue.pass(121_000);
  }
  // Pointers without a blob are hidden for an hour.
  await queue.pass(3_700_000);
  const { store } = await queue.relay();
  for (let idle = 0; idle < 3;) {
    const taken = await takeAll(store);
    idle = taken.length === 0 ? idle + 1 : 0;
    for (const message of taken) {
      assert.equal(await message.sending(1, NOTE), true);
      ledger.send(message.stored.id);
      await message.remove();
    }
    queue.clock.pass(6000);
  }
  const lost = [...ledger.acknowledged].filter((id) => !ledger.sent.has(id));
  const twice = [...ledger.sent].filter(([, times]) => times > 1).map(([id]) => id);
  assert.deepEqual(lost, []);
  assert.deepEqual(twice.filter((id) => !doubted.has(id)), []);
  assert(ledger.acknowledged.size > deaths, `${ledger.acknowledged.size} were acknowledged`);
  const { container, queue: pointers } = await queue.clients();
  const { value } = await container.listBlobsFlat().byPage().next();
  assert.deepEqual(value.segment.blobItems.map(({ name }: { name: string }) => name), []);
  assert.equal((await pointers.getProperties()).approximateMessagesCount, 0);
  await queue.close();
}
