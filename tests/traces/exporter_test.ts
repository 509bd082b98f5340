/** Batches, bounds and retries, against a collector that works, fails, hangs and comes back. */
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import { HttpClient, type HttpRequest } from "../../src/http/client.ts";
import { currentRuntime } from "../../src/runtime/current.ts";
import { Secret } from "../../src/secret.ts";
import { Exporter, type ExporterOptions } from "../../src/traces/exporter.ts";
import { relayResource } from "../../src/traces/resource.ts";
import type { Span } from "../../src/traces/span.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { until } from "../support/until.ts";
import { type Collector, startCollector, status } from "./collector.ts";

let http: HttpClient;
before(async () => {
  const { connect } = await currentRuntime();
  http = new HttpClient({ connect });
});
after(() => http.close());

let collector: Collector;
beforeEach(async () => collector = await startCollector());
afterEach(() => collector.close());

function setUp(options: Partial<ExporterOptions> = {}) {
  const clock = new FakeClock();
  const reports: string[] = [];
  const counts = { exported: 0, dropped: 0 };
  const exporter = new Exporter({
    collector: {
      url: new URL(`${collector.url}/v1/traces`),
      headers: new Map([["api-key", new Secret("k1")]]),
    },
    resource: relayResource("relay.test"),
    http,
    clock,
    report: {
      exported: (spans) => void (counts.exported += spans),
      dropped: (spans) => void (counts.dropped += spans),
      failed: (code, detail) => void reports.push(`failed ${code}: ${detail}`),
      recovered: () => void reports.push("recovered"),
    },
    ...options,
  });
  return { exporter, clock, reports, counts };
}

let made = 0;
function spansOf(count: number): Span[] {
  return Array.from({ length: count }, () => ({
    ids: {
      trace: "5b8efff798038103d269b633813fc60c",
      span: (++made).toString(16).padStart(16, "0"),
    },
    name: "message",
    kind: "internal",
    start: Date.now(),
    end: Date.now(),
    attributes: {},
  }));
}

const ids = (spans: readonly Span[]) => spans.map(({ ids }) => ids.span);
const collected = () => collector.spans.map(({ spanId }) => spanId);

describe("a collector that works", () => {
  it("gets the spans of five seconds in one request, with the header fields of the settings", async () => {
    const { exporter, clock, counts } = setUp();
    const spans = spansOf(3);
    for (const span of spans) exporter.add([span]);
    clock.pass(4_999);
    assert.equal(clock.alarms, 1);
    clock.pass(1);
    await until(() => exporter.waiting === 0);
    assert.deepEqual(collected(), ids(spans));
    const [request, ...others] = collector.requests;
    assert.deepEqual(others, []);
    assert.equal(request!.path, "/v1/traces");
    assert.equal(request!.headers["content-type"], "application/json");
    assert.match(request!.headers["user-agent"]!, /^smtp-oauth-relay\/\d/);
    assert.equal(request!.headers["api-key"], "k1");
    assert.deepEqual(counts, { exported: 3, dropped: 0 });
    exporter.add(spansOf(1));
    clock.pass(5_000);
    await until(() => collector.spans.length === 4);
  });

  it("gets 512 spans at once, and the rest with the next ones", async () => {
    const { exporter, clock } = setUp();
    const spans = spansOf(1030);
    exporter.add(spans);
    await until(() => exporter.waiting === 6);
    assert.deepEqual(collector.requests.map(({ spans }) => spans), [512, 512]);
    clock.pass(5_000);
    await until(() => exporter.waiting === 0);
    assert.deepEqual(collected(), ids(spans));
  });

  it("is not asked in the turn of the event loop that mail is in", () => {
    const requests: HttpRequest[] = [];
    const never = (request: HttpRequest) => {
      requests.push(request);
      return new Promise<never>(() => {});
    };
    const { exporter } = setUp({ http: { request: never } });
    exporter.add(spansOf(512));
    assert.equal(requests.length, 0);
  });

  it("may reject some of them: these are counted and not sent again", async () => {
    const { exporter, clock, counts, reports } = setUp();
    const body = '{"partialSuccess":{"rejectedSpans":"2","errorMessage":"too old"}}';
    collector.answers = [status(200, { "content-type": "application/json" }, body)];
    exporter.add(spansOf(5));
    clock.pass(5_000);
    await until(() => exporter.waiting === 0);
    assert.deepEqual(counts, { exported: 3, dropped: 2 });
    assert.deepEqual(reports, ["failed REJECTED: the collector has rejected spans: too old"]);
    assert.equal(collector.requests.length, 1);
  });
});

describe("a collector that fails", () => {
  it("gets the same spans again after 429, 502, 503 and 504, with longer and longer waits", async () => {
    const { exporter, clock, counts, reports } = setUp();
    collector.answers = [status(429), status(502), status(503), status(504)];
    const spans = spansOf(2);
    exporter.add(spans);
    clock.pass(5_000);
    await until(() => exporter.waiting === 0);
    assert.deepEqual(collected(), ids(spans));
    // The first wait is for the turn of the event loop.
    assert.deepEqual(clock.sleeps, [0, 750, 1500, 3000, 6000]);
    assert.deepEqual(reports, [
      "failed HTTP 429: the collector does not take the spans",
      "recovered",
    ]);
    assert.deepEqual(counts, { exported: 2, dropped: 0 });
  });

  it("is asked at least once a minute, unless it asks to wait, five minutes at most", async () => {
    const { exporter, clock } = setUp();
    collector.answers = [
      ...Array.from({ length: 10 }, () => status(503)),
      status(503, { "retry-after": "120" }),
      status(429, { "retry-after": "9999" }),
    ];
    exporter.add(spansOf(1));
    clock.pass(5_000);
    await until(() => exporter.waiting === 0);
    assert.deepEqual(clock.sleeps.slice(-3), [45_000, 120_000, 300_000]);
  });

  it("in another way loses the spans, which are counted", async () => {
    for (const code of [400, 401, 404, 413, 500, 301]) {
      const { exporter, clock, counts, reports } = setUp();
      collector.answers = [status(code, code === 301 ? { location: "http://127.0.0.1:9/" } : {})];
      exporter.add(spansOf(4));
      clock.pass(5_000);
      await until(() => exporter.waiting === 0);
      assert.deepEqual(counts, { exported: 0, dropped: 4 });
      assert.deepEqual(reports, [`failed HTTP ${code}: the collector does not take the spans`]);
      exporter.add(spansOf(1));
      clock.pass(5_000);
      await until(() => exporter.waiting === 0);
      assert.equal(reports[1], "recovered");
    }
  });

  it("or breaks the connection gets the spans again", async () => {
    const { exporter, clock, reports } = setUp();
    collector.answers = [
      (response) => response.socket!.destroy(),
      (response) => response.socket!.end("SMTP 220 hello\r\n\r\n"),
    ];
    exporter.add(spansOf(1));
    clock.pass(5_000);
    await until(() => exporter.waiting === 0);
    assert.match(reports[0]!, /^failed [A-Z]+: no response from the collector$/);
    assert.equal(reports[1], "recovered");
    assert.equal(collector.spans.length, 1);
  });

  it("makes no more than 2,048 spans wait; later ones are dropped and counted", async () => {
    const { exporter, clock, counts } = setUp();
    clock.patient = true;
    collector.answers = [status(503)];
    const spans = spansOf(2040);
    exporter.add(spans);
    exporter.add(spansOf(10));
    exporter.add(spansOf(10));
    assert.equal(exporter.waiting, 2048);
    assert.equal(counts.dropped, 12);
    await until(() => clock.alarms > 0);
    clock.pass(0);
    await until(() => collector.requests.length === 1 && clock.alarms > 0);
    exporter.add(spansOf(1));
    assert.equal(counts.dropped, 13);
    clock.patient = false;
    clock.pass(60_000);
    await until(() => exporter.waiting === 0);
    assert.deepEqual(collected().slice(0, 2040), ids(spans));
    assert.equal(counts.exported, 2048);
  });
});

describe("a stop", () => {
  it("sends what is left at once", async () => {
    const { exporter, counts } = setUp();
    exporter.add(spansOf(700));
    exporter.add(spansOf(3));
    await exporter.close(2_000);
    assert.equal(collector.spans.length, 703);
    assert.deepEqual(counts, { exported: 703, dropped: 0 });
    exporter.add(spansOf(1));
    assert.equal(counts.dropped, 1);
  });

  it("ends a request to a collector that hangs, and drops the spans", async () => {
    const { exporter, clock, counts } = setUp();
    collector.answers = [() => {}];
    exporter.add(spansOf(2));
    const closed = exporter.close(2_000);
    await until(() => collector.requests.length === 1);
    clock.pass(2_000);
    await closed;
    assert.deepEqual(counts, { exported: 0, dropped: 2 });
  });

  it("does not wait for a collector that fails", async () => {
    const { exporter, clock, counts } = setUp();
    clock.patient = true;
    collector.answers = [status(503)];
    exporter.add(spansOf(2));
    clock.pass(5_000);
    await until(() => clock.alarms > 0);
    clock.pass(0);
    await until(() => collector.requests.length === 1 && clock.alarms > 0);
    await exporter.close(2_000);
    assert.deepEqual(counts, { exported: 0, dropped: 2 });
    assert.equal(clock.alarms, 0);
  });

  it("with nothing to send ends at once", async () => {
    const { exporter, clock } = setUp();
    await exporter.close(2_000);
    assert.equal(collector.requests.length, 0);
    assert.equal(clock.alarms, 0);
  });
});
