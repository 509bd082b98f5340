/** An outage of an hour with a short queue; outage_long_test.ts has a long one, and its figures. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { HOUR, MINUTE, outage } from "./outage.ts";
import { assertDrained } from "./outage_assertions.ts";

describe("an outage of an hour with 500 queued messages of 25 mailboxes", () => {
  it("costs few requests and harms no one else; then each message arrives once", async () => {
    const found = await outage({ messages: 500, mailboxes: 25, size: 2000, slow: 8 });
    // Of each mailbox, one message has found out that it works again.
    assertDrained(found, 1);
    assert(found.requests.hour < 1000, `${found.requests.hour} requests in the hour`);
    assert(found.drained.first < 5 * MINUTE);
    assert(found.drained.all < HOUR / 4);
  });
});
