/**
 * A message that its server has taken for some of its recipients: these never get it twice, and the others'
 * refusal is reported (RFC 5321 §6.1) or waited for.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import type { Outcome } from "../../src/delivery/delivery.ts";
import { notServed, withServed } from "../../src/queue/served.ts";
import { reply } from "../../src/smtp/reply.ts";
import { type Sending, World } from "./queue_world.ts";

const SENT = reply(250, "2.0.0", "OK");
const GONE = reply(550, "5.1.1", "SMTP 550 5.1.1: no such user");
const BUSY = reply(451, "4.2.1", "SMTP 451 4.2.1: try later");
const ALL = ["bea@x.test", "cid@x.test", "dan@x.test"];
const HOUR = 3_600_000;

/** A world whose service refuses some recipients, and what it was given. */
function refusing(refusals: () => Readonly<Record<string, typeof GONE>>, options = {}) {
  const world = new World(options);
  const tries: (readonly string[])[] = [];
  const reports: string[] = [];
  world.answer = ({ submission: { envelope, content }, attempt }: Sending): Outcome => {
    assert.equal(attempt.mayBePartial, true);
    if (envelope.from === "") {
      reports.push(Buffer.concat([...content]).toString("latin1"));
      return { type: "sent", reply: SENT };
    }
    tries.push(envelope.recipients);
    const refused = envelope.recipients.flatMap((recipient) => {
      const refusal = refusals()[recipient];
      return refusal === undefined ? [] : [{ recipient, reply: refusal }];
    });
    return {
      type: "sent",
      reply: SENT,
      backend: "smarthost",
      ...(refused.length === 0 ? {} : { refused }),
    };
  };
  return { world, tries, reports };
}

describe("a queued message that some recipients are refused for", () => {
  it("is sent to the others once, and its sender gets a report about these", async () => {
    const { world, tries, reports } = refusing(() => ({ "cid@x.test": GONE }), { bounce: true });
    const id = await world.add({ recipients: ALL });
    await world.run();
    await world.pass(HOUR, 10_000);
    assert.deepEqual(tries, [ALL]);
    assert.equal(reports.length, 1);
    assert.match(reports[0]!, /\r\nTo: {7}cid@x\.test\r\n/);
    assert.match(reports[0]!, /Final-Recipient: rfc822; ?cid@x\.test/i);
    assert.match(reports[0]!, /Status: 5\.1\.1/);
    assert.doesNotMatch(reports[0]!, /bea@|dan@/);
    const [dead] = world.queueEvents("dead");
    assert.deepEqual([dead?.message.id, dead?.code, dead?.backend], [
      id,
      "PARTLY_SENT",
      "smarthost",
    ]);
    assert.match(dead!.detail!, /^sent, but not to 1 of 3 recipients: /);
    // An administrator who tries it again does so for that recipient alone.
    world.store.retry(id);
    await world.pass(10_000);
    assert.deepEqual(tries.slice(1), [["cid@x.test"]]);
  });

  it("is tried again for those who were refused for now, and for nobody else", async () => {
    let refusals: Readonly<Record<string, typeof GONE>> = {
      "bea@x.test": BUSY,
      "cid@x.test": GONE,
    };
    const { world, tries, reports } = refusing(() => refusals, { bounce: true });
    const id = await world.add({ recipients: ALL });
    await world.run();
    assert.equal(world.store.stored(id)?.state, "queued");
    assert.equal(reports.length, 0, "one report tells all");
    refusals = { "cid@x.test": GONE };
    await world.pass(HOUR, 10_000);
    assert.deepEqual(tries, [ALL, ["bea@x.test", "cid@x.test"]]);
    assert.equal(reports.length, 1);
    assert.doesNotMatch(reports[0]!, /bea@|dan@/);
  });

  it("is gone once all have it", async () => {
    let refusals: Readonly<Record<string, typeof GONE>> = { "dan@x.test": BUSY };
    const { world, tries } = refusing(() => refusals);
    const id = await world.add({ recipients: ALL });
    await world.run();
    refusals = {};
    await world.pass(HOUR, 10_000);
    assert.deepEqual(tries, [ALL, ["dan@x.test"]]);
    assert.equal(world.store.stored(id), undefined);
  });

  it("is reported about those alone who still lack it when its time is over", async () => {
    const { world, tries, reports } = refusing(() => ({ "dan@x.test": BUSY }), {
      bounce: true,
      maxAge: HOUR,
    });
    await world.add({ recipients: ALL });
    await world.run();
    await world.pass(3 * HOUR, 60_000);
    assert(tries.length > 2 && tries.slice(1).every((one) => one.join() === "dan@x.test"));
    assert.equal(reports.length, 1);
    assert.match(reports[0]!, /Status: 4\.4\.7/);
    assert.doesNotMatch(reports[0]!, /bea@|cid@/);
  });
});

describe("the recipients that have been served", () => {
  it("are kept in few octets, however many there are", () => {
    const recipients = Array.from({ length: 1000 }, (_, i) => `r${i}@x.test`);
    let served: string | undefined;
    const done = new Set<number>();
    for (const places of [[0], [7, 8, 9], [999], [500, 501]]) {
      served = withServed(served, places);
      for (const place of places) done.add(place);
      assert.deepEqual(notServed(recipients, served), recipients.filter((_, i) => !done.has(i)));
    }
    assert(served!.length < 200);
    assert.deepEqual(notServed(recipients, undefined), recipients);
  });
});
