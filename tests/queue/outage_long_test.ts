/**
 * An outage of an hour with 10,000 queued messages: Graph cannot be reached, then does not answer, then
 * answers with 503. Prints its figures.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { MINUTE, outage } from "./outage.ts";
import { assertDrained } from "./outage_assertions.ts";

const MESSAGES = 10_000;
const MAILBOXES = 125;
/** As many as Exchange Online lets a client send by SMTP. */
const SLOW = 30;
const OF_MAILBOX = MESSAGES / MAILBOXES;

describe("an outage of an hour with 10,000 queued messages of 125 mailboxes", () => {
  it("costs few requests and no memory, and then all arrive once, the oldest first", async () => {
    const found = await outage({
      messages: MESSAGES,
      mailboxes: MAILBOXES,
      size: 6_000,
      slow: SLOW,
    });
    const { world: _, ...figures } = found;
    console.log(
      JSON.stringify(
        figures,
        (_, value) => typeof value === "number" ? Math.round(value * 10) / 10 : value,
      ),
    );
    // Of each mailbox, one message may have found out that it works again.
    assertDrained(found, 1);
    const { requests, memory: { tenth, all, draining }, drained } = found;
    assert(requests.hour < 1_000, `${requests.hour} requests in the hour`);
    assert(requests.minute < 200, `${requests.minute} requests in one minute`);

    // The contents of 9,000 more are 54 MB, their records about 5 MB.
    assert(all.heap - tenth.heap < 2, `the heap has grown: ${JSON.stringify(found.memory)}`);
    assert(draining.heap - tenth.heap < 4, JSON.stringify(found.memory));
    assert(all.resident - tenth.resident < 32, JSON.stringify(found.memory));
    assert(draining.resident - tenth.resident < 32, JSON.stringify(found.memory));

    // The longest pause between two tries while all fail, and a message's own time.
    assert(drained.first < 16_000, `${drained.first} ms to the first message`);
    assert.equal(found.world.cloud.mostOfMailbox, 4, "as many at a time as in direct mode");
    // 32 at a time, of 300 ms each, are 107 a second.
    assert(drained.others < 1.2 * MESSAGES / 107 * 1000, `${drained.others} ms`);
    // Those of which Graph takes a few in a minute hold up nobody, and are as quick as they may be.
    assert(drained.all < Math.ceil(OF_MAILBOX / SLOW) * MINUTE + 5_000, `${drained.all} ms`);
  });
});
