/** A relay with a webhook as a whole, against the imitated cloud. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { fixedSource } from "../../src/certificates/source.ts";
import { issueChain } from "../support/chains.ts";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import { USERNAME } from "../support/logins.ts";
import { type TestRelay, TestRelays } from "../support/relay.ts";
import { until } from "../support/until.ts";
import { startCollector } from "../traces/collector.ts";
import { type Receiver, startReceiver, status, WEBHOOK_SECRET } from "../webhook/receiver.ts";

const FROM = "scanner@example.com";
const TO = "reader@example.org";

describe("a relay with a webhook", () => {
  const relays = new TestRelays();
  let cloud: CloudServer;
  let receiver: Receiver;
  let directory: string;
  const key = randomBytes(32).toString("base64");
  beforeEach(async () => {
    cloud = await startCloud();
    receiver = await startReceiver();
    directory = mkdtempSync(join(tmpdir(), "relay-webhook-"));
  });
  afterEach(async () => {
    await receiver.close();
    await cloud.close();
    rmSync(directory, { recursive: true, force: true });
  });

  const start = (environment: Readonly<Record<string, string>> = {}): Promise<TestRelay> =>
    relays.start({
      cloud,
      environment: { WEBHOOK_URL: receiver.url, WEBHOOK_SECRET, ...environment },
    });
  const queue = () => ({
    DELIVERY_MODE: "queue",
    QUEUE_URL: `sqlite:${directory}/queue.db`,
    QUEUE_KEY: key,
    SERVER_HOSTNAME: "relay.test",
  });
  const types = () => receiver.events.map(({ type }) => type);

  it("tells of a message under the id of its 250 and its Message-ID", async () => {
    const relay = await start();
    const client = await relay.authed();
    const id = /id=([0-9a-f]{16})/.exec(await client.send(FROM, TO, "told"))![1];
    await until(() => receiver.events.length === 2);
    assert.deepEqual(types(), ["message.accepted", "message.sent"]);
    const { data } = receiver.events[1]!;
    assert.equal(data["id"], id);
    assert.equal(data["username"], USERNAME);
    assert.match(String(data["message_id"]), /^<.+@.+>$/);
    const raw = new TextDecoder().decode(cloud.inbox.get(cloud.inbox.list()[0]!.id)!.raw);
    assert.ok(raw.includes(`Message-ID: ${data["message_id"]}`), raw);
  });

  it("shows on the status page whether the receiver takes events", async () => {
    receiver.answers = [status(503)];
    const relay = await start({ HTTP_LISTEN: "127.0.0.1:0" });
    const view = async () => {
      const { overview: { services } } = await (await fetch(`${relay.url}/status/data`)).json();
      return services.find(({ name }: { readonly name: string }) => name === "Webhook");
    };
    assert.deepEqual(await view(), { name: "Webhook" });
    await (await relay.authed()).send(FROM, TO, "told");
    await until(() => relay.linesOf("The webhook does not take events; they wait").length > 0);
    const { failed, silentSince } = await view();
    assert.deepEqual([failed.code, silentSince], ["HTTP 503", failed.at]);
  });

  it("delays no mail while the receiver hangs, and stops in time", async () => {
    receiver.answers = [() => {}];
    const relay = await start();
    const client = await relay.authed();
    const begun = performance.now();
    for (let i = 0; i < 20; i++) assert.match(await client.send(FROM, TO, `${i}`), /^250/);
    const spent = performance.now() - begun;
    assert.ok(spent < 10_000, `${spent} ms`);
    assert.equal(receiver.asked.length, 1);
    client.destroy();
    const stopping = performance.now();
    await relay.stop();
    assert.ok(performance.now() - stopping < 5_000);
    const [dropped] = relay.linesOf("Events for the webhook were dropped by the stop");
    assert.deepEqual([dropped?.level, dropped?.["events"]], ["WARNING", 40]);
  });

  it("stops in time while the collector of its traces hangs as well", async () => {
    receiver.answers = [() => {}];
    const collector = await startCollector();
    collector.answers = [() => {}];
    const relay = await start({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url });
    const client = await relay.authed();
    assert.match(await client.send(FROM, TO, "told"), /^250/);
    client.destroy();
    const stopping = performance.now();
    await relay.stop();
    const spent = performance.now() - stopping;
    // Two seconds for both together; one after the other, they take four.
    assert.ok(spent < 3_500, `${spent} ms`);
    await collector.close();
  });

  it("keeps events in the queue's store until the receiver is there, over a restart", async () => {
    receiver.answers = Array.from({ length: 50 }, () => status(503));
    const first = await start(queue());
    const client = await first.authed();
    const id = /queued as ([0-9a-f]{16})/.exec(await client.send(FROM, TO, "kept"))![1];
    await until(() => first.linesOf("Queued message sent").length === 1);
    client.destroy();
    await first.stop();
    assert.deepEqual(types(), []);
    assert.deepEqual(first.linesOf("Events for the webhook were dropped"), []);
    const [before] = receiver.asked;
    receiver.answers = [];
    const second = await start(queue());
    await until(() => receiver.events.length === 3);
    assert.deepEqual(types(), ["message.accepted", "message.queued", "message.sent"]);
    assert.equal(receiver.events[0]!.id, before);
    for (const { data } of receiver.events) assert.equal(data["id"], id);
    await second.stop();
    await start(queue());
    assert.equal(receiver.events.length, 3, "what was delivered does not come again");
  });

  it("ends with what it tells if it cannot start: nothing keeps the process running", async () => {
    const closed = Promise.withResolvers<void>();
    receiver.answers = [(response) => void response.on("close", closed.resolve)];
    const expired = await issueChain({ from: -90, until: -1 });
    const begun = performance.now();
    await assert.rejects(
      relays.start({
        cloud,
        certificates: fixedSource("a test", expired),
        environment: {
          ...{ WEBHOOK_URL: receiver.url, WEBHOOK_SECRET, TLS_SOURCE: "file" },
          ...queue(),
          QUEUE_URL: `sqlite:${directory}/missing/queue.db`,
        },
      }),
      /QUEUE_URL/,
    );
    await closed.promise;
    // The request alone would take 15 s to time out, and be repeated then.
    assert.ok(performance.now() - begun < 10_000);
  });

  it("says once that the receiver fails, without its address", async () => {
    receiver.answers = [status(500)];
    const relay = await start();
    await (await relay.authed()).send(FROM, TO, "told");
    await until(() => receiver.events.length === 2);
    const [line, ...others] = relay.linesOf("The webhook does not take events");
    assert.deepEqual(others, []);
    assert.equal(line!["code"], "HTTP 500");
    assert.ok(!JSON.stringify(relay.lines).includes("key=abc"));
    assert.equal(relay.linesOf("The webhook takes events again").length, 1);
  });
});
