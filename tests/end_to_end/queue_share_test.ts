// One login that sends more than Graph takes, and another one beside it.

import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import { PROGRAMS, TENANT } from "./programs.ts";
import { QueueWorld, send } from "./queue_world.ts";

const OTHER = `${TENANT}@44444444-4444-4444-4444-444444444444`;

for (const program of PROGRAMS) {
  describe(`a queue that one login fills, on ${program.name}`, () => {
    let world: QueueWorld;
    afterEach(() => world.close());

    it("has room for another one, which is told apart from a full queue", async () => {
      world = await QueueWorld.open(program, { QUEUE_MAX_MESSAGES: "10" });
      const relay = await world.start();
      world.holdGraph();
      const other = await world.logIn(relay, OTHER);
      assert.match(await send(other, "other 1"), /^250/);
      const greedy = await world.logIn(relay);
      for (let i = 0; i < 8; i++) assert.match(await send(greedy, `greedy ${i}`), /^250/);
      assert.match(
        await send(greedy, "one more"),
        /^452 4\.3\.1 .*its share of QUEUE_MAX_MESSAGES/,
      );
      assert.match(
        await greedy.say("MAIL FROM:<a@example.com>"),
        /^452 4\.3\.1 .*its share of QUEUE_MAX_MESSAGES/,
      );
      assert.match(await send(other, "other 2"), /^250/);
      assert.match(
        await other.say("MAIL FROM:<a@example.com>"),
        /^452 4\.3\.1 The queue holds QUEUE_MAX_MESSAGES/,
      );
      world.freeGraph();
      assert.equal(await relay.running.stop(), 0);
      assert.match(relay.running.stderr, /QUEUE_MAX_MESSAGES/);
    });
  });
}
