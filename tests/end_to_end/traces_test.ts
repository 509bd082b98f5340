/**
 * The program with a collector of the test's own: a queued message's spans come from two processes, one after
 * the other, and are one trace. What waits is sent when a process stops.
 */
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { type Collector, startCollector } from "../traces/collector.ts";
import { PROGRAMS } from "./programs.ts";
import { QueueWorld, send, untilIs } from "./queue_world.ts";

for (const program of PROGRAMS) {
  describe(`${program.name} with traces`, () => {
    let collector: Collector;
    let world: QueueWorld;
    beforeEach(async () => {
      collector = await startCollector();
      world = await QueueWorld.open(program, { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url });
    });
    afterEach(async () => {
      await world.close();
      await collector.close();
    });

    it("puts a queued message's arrival and its sending, by a later process, into one trace", async () => {
      world.cloud.faults.add({ on: "sendMail", status: 503, code: "Unknown", times: 1000 });
      const first = await world.start();
      const client = await world.logIn(first);
      const reply = await send(client, "traced");
      const id = /queued as ([0-9a-f]{16})/.exec(reply)?.[1];
      assert(id !== undefined, reply);
      client.destroy();
      await first.running.until("stderr", /Queued message may have been sent/);
      assert.equal(await first.running.stop(), 0);
      const [message] = collector.named("message");
      const [session] = collector.named("SMTP session");
      assert.equal(message?.spanId, id);
      assert.equal(message?.parentSpanId, session?.spanId);

      world.cloud.faults.clear();
      const second = await world.start();
      await untilIs(() => world.arrived, (subjects) => subjects.length === 1);
      assert.equal(await second.running.stop(), 0);
      const tries = collector.named("queue try");
      for (const tried of tries) {
        assert.equal(tried.parentSpanId, id);
        assert.equal(tried.traceId, message?.traceId);
      }
      const last = tries.at(-1)!;
      assert.equal(last.attributes["smtp_oauth_relay.result"], "sent");
      assert.notEqual(
        last.resource["service.instance.id"],
        message?.resource["service.instance.id"],
      );
      const [request] = collector.spans.filter(({ name, parentSpanId }) =>
        name === "POST sendMail" && parentSpanId === last.spanId
      );
      assert.equal(request?.attributes["http.response.status_code"], 202);
    });
  });
}
