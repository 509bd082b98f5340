/** What must hold after each outage. */
import assert from "node:assert/strict";
import { type Outage, SLOW_MAILBOXES } from "./outage.ts";

/** @param early messages of a mailbox at most that arrive before an older one */
export function assertDrained(found: Outage, early: number): void {
  const { world, direct, queued, sent } = found;
  const { cloud, told } = world;
  for (const { address, arrived, queued } of world.mailboxes) {
    const inOrder = Array.from({ length: queued }, (_, number) => number);
    assert.deepEqual(arrived.toSorted((one, other) => one - other), inOrder, address);
    const overtook = arrived.filter((number, index) => number > Math.min(...arrived.slice(index)));
    assert(overtook.length <= early, `${address}: ${overtook} came before older ones`);
  }
  assert.equal(world.arrived, world.mailboxes.reduce((sum, { queued }) => sum + queued, 0));
  assert.deepEqual(world.held, { queued: 0, sending: 0, held: 0, dead: 0 });
  assert.equal(told.get("queue sent"), world.arrived);
  assert.equal(told.get("fault"), undefined);

  // Graph has not been asked more often than it takes.
  assert(cloud.mostOfMailbox <= 4, `${cloud.mostOfMailbox} requests of a mailbox at a time`);
  assert.equal(cloud.tooMany, 0);
  assert.equal(cloud.impatient, 0, "before the end of a Retry-After");
  const windows = Math.ceil(found.drained.all / 60_000);
  assert(cloud.throttled <= SLOW_MAILBOXES * 4 * windows, `${cloud.throttled} throttled`);
  assert(cloud.throttled >= SLOW_MAILBOXES, "the slow ones were throttled");
  assert.equal(sent, found.messages + cloud.throttled, "each message takes one request");

  // One answer of Graph takes 400 ms at most, and a login with a client's own token nothing.
  for (const time of [...Object.values(direct), found.directFromDrained]) assert(time <= 400);
  for (const time of Object.values(queued)) assert.equal(time, 0);
}
