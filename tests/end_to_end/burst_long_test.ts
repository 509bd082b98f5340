// Many concurrent messages of one mailbox: paced, not failed. Graph takes four concurrent requests for an
// app and mailbox, and answers 429 to more (https://learn.microsoft.com/graph/throttling-limits).
// `npm run bench -- burst` does the same with a Graph that needs two seconds for each.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { burst, type BurstResult, CLIENTS, MESSAGES } from "./burst.ts";
import { PROGRAMS } from "./programs.ts";

const ALL = CLIENTS * MESSAGES;
/** Of each client where Graph throttles: after each 429 all wait for a second. */
const FEWER = 4;

for (const program of PROGRAMS) {
  describe(`a burst of messages of one mailbox, on ${program.name}`, () => {
    it(`of ${ALL} is sent four at a time: none throttled, none failed, none twice, in order`, async () => {
      const result = await burst(program, { delay: 50 });
      assertAllOnce(result, MESSAGES);
      assert.equal(result.throttled, 0);
      assert.equal(result.mostInFlight, 4);
      assert.equal(result.requests, ALL);
    });

    it("is sent as well when another instance's mail is throttled with it", async () => {
      // Graph sees eight concurrent requests of two relays that keep to four each.
      const result = await burst(program, {
        delay: 20,
        relayConcurrency: 8,
        messages: FEWER,
        retryAfter: 1,
      });
      assertAllOnce(result, FEWER);
      assert.ok(result.throttled > 0, "the imitation throttles");
      assert.equal(result.requests, CLIENTS * FEWER + result.throttled);
    });
  });
}

/** @param messages of each client */
function assertAllOnce({ replies, arrived }: BurstResult, messages: number): void {
  for (const reply of replies) assert.match(reply, /^250 2\.0\.0/);
  assert.equal(arrived.length, CLIENTS * messages);
  for (let client = 0; client < CLIENTS; client++) {
    assert.deepEqual(
      arrived.filter((message) => message.client === client).map((message) => message.number),
      Array.from({ length: messages }, (_, number) => number),
      `client ${client}`,
    );
  }
}
