/**
 * A relay as a whole with a collector of the test's own: its spans have the right parents, also across the
 * queue and a restart, and a message's id and Message-ID lead to its span.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { createAuthority } from "../support/authority.ts";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import { startProxy } from "../support/proxy.ts";
import { SECRET, type TestRelay, TestRelays } from "../support/relay.ts";
import { until } from "../support/until.ts";
import { type CollectedSpan, type Collector, startCollector, status } from "../traces/collector.ts";

const FROM = "scanner@example.com";
const TO = "reader@example.org";
const OWN = "smtp_oauth_relay.";

describe("a relay with OTEL_EXPORTER_OTLP_ENDPOINT", () => {
  const relays = new TestRelays();
  let cloud: CloudServer;
  let collector: Collector;
  beforeEach(async () => {
    cloud = await startCloud();
    collector = await startCollector();
  });
  afterEach(async () => {
    await collector.close();
    await cloud.close();
  });

  const start = (environment: Readonly<Record<string, string>> = {}) =>
    relays.start({
      cloud,
      environment: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, ...environment },
    });

  /** Logs in, sends one message and leaves. @returns the reply */
  async function send(relay: TestRelay, subject: string): Promise<string> {
    const client = await relay.authed();
    const reply = await client.send(FROM, TO, subject);
    assert.match(await client.say("QUIT"), /^221/);
    client.destroy();
    return reply;
  }

  const childrenOf = (parent: CollectedSpan) =>
    collector.spans.filter(({ parentSpanId }) => parentSpanId === parent.spanId);
  const namesOf = (spans: readonly CollectedSpan[]) => spans.map(({ name }) => name);
  /** Whether each child is within the time of its parent, but for what their clocks cannot tell apart. */
  function assertWithin(parent: CollectedSpan, children: readonly CollectedSpan[]): void {
    const room = 1_000_000n;
    for (const { name, startTimeUnixNano, endTimeUnixNano } of children) {
      assert(BigInt(startTimeUnixNano) >= BigInt(parent.startTimeUnixNano) - room, name);
      assert(BigInt(endTimeUnixNano) <= BigInt(parent.endTimeUnixNano) + room, name);
    }
  }

  it("sends spans of session, login, token, message and Graph's request, each in its parent", async () => {
    const relay = await start();
    const reply = await send(relay, "traced");
    await relay.stop();
    const [session, ...others] = collector.named("SMTP session");
    assert(session !== undefined);
    assert.deepEqual(others, []);
    assert.equal(session.parentSpanId, undefined);
    for (const { traceId } of collector.spans) assert.equal(traceId, session.traceId);
    assert.deepEqual(namesOf(childrenOf(session)), ["login", "message"]);
    const [login, message] = childrenOf(session);
    assert.deepEqual(namesOf(childrenOf(login!)), ["token"]);
    const steps = childrenOf(message!);
    assert.deepEqual(namesOf(steps), ["receive", "prepare", "POST sendMail"]);
    for (const span of [login!, message!]) assertWithin(span, childrenOf(span));
    assert.equal(steps.at(-1)!.attributes["http.response.status_code"], 202);
    assert.equal(steps.at(-1)!.attributes["server.address"], "127.0.0.1");
    // The id that the client got.
    const id = /^250 2\.0\.0 OK id=([0-9a-f]{16})/.exec(reply)?.[1];
    assert.equal(message!.spanId, id);
    assert.equal(message!.attributes[`${OWN}id`], id);
    assert.equal(relay.linesOf("Message sent")[0]!["id"], id);
    assert.equal(message!.resource["service.name"], "smtp-oauth-relay");
  });

  it("leads from the Message-ID to the span, also where the relay has added it", async () => {
    const relay = await start();
    await send(relay, "with an id of the relay's");
    await relay.stop();
    const [message] = collector.named("message");
    const [{ id } = { id: "" }] = cloud.inbox.list();
    const raw = Buffer.from(cloud.inbox.get(id)!.raw).toString("latin1");
    const [, messageId] = /^Message-ID: (<.+>)\r$/im.exec(raw)!;
    const found = collector.spans.filter(({ attributes }) =>
      attributes[`${OWN}message_id`] === messageId
    );
    assert.deepEqual(found, [message]);
  });

  it("shows no recipient, subject or secret to the collector", async () => {
    const relay = await start();
    cloud.faults.add({ on: "sendMail", status: 400, code: "ErrorInvalidRecipients" });
    await send(relay, "subject-that-must-not-show");
    const stranger = relay.connect();
    await stranger.login("not-a-username", SECRET);
    await relay.stop();
    const [message] = collector.named("message");
    assert.equal(message!.status?.message, "ErrorInvalidRecipients");
    assert.equal(message!.attributes["error.type"], "ErrorInvalidRecipients");
    const all = JSON.stringify(collector.spans);
    for (const text of [TO, "must-not-show", SECRET]) assert(!all.includes(text), text);
  });

  it("asks for nothing and waits for nothing while the collector hangs", async () => {
    collector.answers = [() => {}];
    const relay = await start();
    assert.match(await send(relay, "first"), /^250/);
    const begun = performance.now();
    await relay.stop();
    const took = performance.now() - begun;
    assert(took < 4_000, String(took));
    assert.equal(collector.requests.length, 1);
  });

  it("says once that the collector does not take them, and counts them", async () => {
    collector.answers = Array.from({ length: 9 }, () => status(404));
    const relay = await start({ HTTP_LISTEN: "127.0.0.1:0" });
    await send(relay, "first");
    await relay.stop();
    const lines = relay.linesOf("Traces do not reach the collector");
    assert.deepEqual(lines.map(({ level, code }) => [level, code]), [["WARNING", "HTTP 404"]]);
  });

  it("appends /v1/traces to the endpoint's path, and sends the header fields", async () => {
    const relay = await start({
      OTEL_EXPORTER_OTLP_ENDPOINT: `${collector.url}/otlp/`,
      OTEL_EXPORTER_OTLP_HEADERS: "api-key=k1",
    });
    await send(relay, "first");
    await relay.stop();
    const [request] = collector.requests;
    assert.equal(request!.path, "/otlp/v1/traces");
    assert.equal(request!.headers["api-key"], "k1");
  });

  it("goes to an https collector through HTTPS_PROXY, and trusts EXTRA_CA_CERTS_FILEPATH", async () => {
    const directory = mkdtempSync(join(tmpdir(), "relay-traces-"));
    const file = join(directory, "authority.pem");
    const authority = await createAuthority("a company's authority");
    writeFileSync(file, authority.certificate);
    const hosted = await startCollector(await authority.issue({ names: ["collector.test"] }));
    const port = Number(new URL(hosted.url).port);
    const proxy = await startProxy({
      route: (target) => target === "collector.test:443" ? port : undefined,
    });
    try {
      const relay = await start({
        HTTPS_PROXY: proxy.url,
        EXTRA_CA_CERTS_FILEPATH: file,
        OTEL_EXPORTER_OTLP_ENDPOINT: "https://collector.test",
      });
      await send(relay, "first");
      await relay.stop();
      assert.equal(hosted.named("message").length, 1);
      assert.equal(proxy.requests.length, 1);
    } finally {
      await proxy.close();
      await hosted.close();
      rmSync(directory, { recursive: true });
    }
  });

  describe("and a queue", () => {
    let directory: string;
    let queue: Readonly<Record<string, string>>;
    beforeEach(() => {
      directory = mkdtempSync(join(tmpdir(), "relay-traces-"));
      queue = {
        DELIVERY_MODE: "queue",
        QUEUE_URL: `sqlite:${directory}/queue.db`,
        QUEUE_KEY: randomBytes(32).toString("base64"),
      };
    });
    afterEach(() => rmSync(directory, { recursive: true, force: true }));

    it("finds the message's span as the parent of its tries, before and after a restart", async () => {
      cloud.faults.add({ on: "sendMail", status: 503, code: "Unknown", times: 1000 });
      const first = await start(queue);
      const reply = await send(first, "kept");
      const id = /queued as ([0-9a-f]{16})/.exec(reply)![1]!;
      await until(() => first.linesOf("Queued message may have been sent").length > 0);
      await first.stop();
      cloud.faults.clear();
      const second = await start(queue);
      await until(() => second.linesOf("Queued message sent").length === 1);
      await second.stop();

      const [message] = collector.named("message");
      assert.equal(message!.spanId, id);
      assert.deepEqual(namesOf(childrenOf(message!)), [
        "receive",
        "store",
        ...collector.named("queue try").map(({ name }) => name),
      ]);
      const tries = collector.named("queue try");
      assert(tries.length >= 2);
      for (const tried of tries) {
        assert.equal(tried.traceId, message!.traceId);
        assert.equal(tried.parentSpanId, id);
        assert.equal(tried.attributes[`${OWN}message_id`], message!.attributes[`${OWN}message_id`]);
        assert(namesOf(childrenOf(tried)).includes("POST sendMail"));
        assertWithin(tried, childrenOf(tried));
      }
      assert.deepEqual(
        [tries[0]!, tries.at(-1)!].map(({ attributes }) => attributes[`${OWN}result`]),
        ["ambiguous", "sent"],
      );
      const instances = new Set(tries.map(({ resource }) => resource["service.instance.id"]));
      assert.equal(instances.size, 2);
      const [session] = collector.named("SMTP session");
      assert.equal(message!.parentSpanId, session!.spanId);
    });
  });
});

describe("a relay without OTEL_EXPORTER_OTLP_ENDPOINT", () => {
  const relays = new TestRelays();

  it("has no collector, and its counters stay at 0", async () => {
    const cloud = await startCloud();
    const relay = await relays.start({ cloud, environment: { HTTP_LISTEN: "127.0.0.1:0" } });
    const client = await relay.authed();
    assert.match(await client.send(FROM, TO, "untraced"), /^250/);
    const text = await (await fetch(`${relay.url}/metrics`)).text();
    assert.match(text, /^smtp_oauth_relay_trace_spans_total\{result="exported"\} 0$/m);
    await cloud.close();
  });
});
