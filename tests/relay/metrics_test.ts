/** `/metrics` of whole relays, against the imitated cloud. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fixedSource } from "../../src/certificates/source.ts";
import { selfSignedCertificate } from "../../src/certificates/self_signed.ts";
import { GAUGES } from "../../src/observe/gauges.ts";
import { HISTOGRAMS } from "../../src/observe/histograms.ts";
import { COUNTERS } from "../../src/observe/metrics.ts";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import { TENANT } from "../support/logins.ts";
import { type RelaySetup, type TestRelay, TestRelays } from "../support/relay.ts";

const FROM = "scanner@example.com";
const TO = "reader@example.org";

const relays = new TestRelays();
let cloud: CloudServer;
beforeEach(async () => void (cloud = await startCloud()));
afterEach(() => cloud.close());

function start(
  environment: Readonly<Record<string, string>> = {},
  parts: Partial<RelaySetup> = {},
): Promise<TestRelay> {
  return relays.start({
    cloud,
    environment: { HTTP_LISTEN: "127.0.0.1:0", ...environment },
    ...parts,
  });
}

async function pageOf({ url }: TestRelay): Promise<string> {
  return await (await fetch(`${url}/metrics`)).text();
}

/** A sample, by its name and labels without the prefix; undefined if it is not there. */
async function sample(relay: TestRelay, name: string): Promise<number | undefined> {
  const line = (await pageOf(relay)).split("\n").find((line) =>
    line.startsWith(`smtp_oauth_relay_${name} `)
  );
  return line === undefined ? undefined : Number(line.slice(line.lastIndexOf(" ")));
}

/** Asks until a sample has this value. */
async function untilSample(relay: TestRelay, name: string, value: number): Promise<void> {
  while (await sample(relay, name) !== value) await sleep(20);
}

async function assertSamples(relay: TestRelay, expected: Record<string, number>): Promise<void> {
  for (const [name, value] of Object.entries(expected)) {
    assert.equal(await sample(relay, name), value, name);
  }
}

describe("a relay's metrics", () => {
  it("follow a message from the login to Graph", async () => {
    const relay = await start();
    const client = await relay.authed();
    assert.match(await client.send(FROM, TO), /^250 /);
    await assertSamples(relay, {
      'token_request_duration_seconds_count{result="granted"}': 1,
      'login_duration_seconds_count{result="succeeded"}': 1,
      'delivery_duration_seconds_count{result="sent"}': 1,
      'delivery_step_duration_seconds_count{step="prepare"}': 1,
      'graph_request_duration_seconds_count{status="2xx"}': 1,
      [`external_recipients_total{tenant="${TENANT}"}`]: 1,
      open_connections: 1,
      deliveries_in_flight: 0,
    });
    const now = Date.now() / 1000;
    for (
      const name of [
        'last_success_timestamp_seconds{backend="graph"}',
        "last_token_timestamp_seconds",
      ]
    ) {
      const at = await sample(relay, name);
      assert.ok(at! > now - 60 && at! <= now, name);
    }
    // TLS is off.
    assert.equal(await sample(relay, "certificate_expires_timestamp_seconds"), undefined);
  });

  it("say which deliveries are under way, and which wait", async () => {
    const relay = await start({ GRAPH_CONCURRENCY: "1" });
    cloud.faults.add({ on: "sendMail", delay: 2_000, status: 500 });
    const clients = [await relay.authed(), await relay.authed()];
    const replies = clients.map((client, i) => client.send(FROM, TO, `message ${i}`));
    await untilSample(relay, "deliveries_waiting", 1);
    await assertSamples(relay, { deliveries_in_flight: 1, throttled_mailboxes: 0 });
    await Promise.all(replies);
    await assertSamples(relay, {
      deliveries_in_flight: 0,
      deliveries_waiting: 0,
      'delivery_step_duration_seconds_count{step="wait"}': 1,
      'graph_request_duration_seconds_count{status="5xx"}': 1,
      'graph_request_duration_seconds_count{status="2xx"}': 1,
    });
  });

  it("count throttling and repeats, and the mailboxes that are throttled", async () => {
    const relay = await start();
    cloud.faults.add({ on: "sendMail", status: 429, code: "ApplicationThrottled", retryAfter: 2 });
    const client = await relay.authed();
    const reply = client.send(FROM, TO);
    await untilSample(relay, "throttled_mailboxes", 1);
    assert.match(await reply, /^250 /);
    await assertSamples(relay, {
      graph_throttled_total: 1,
      graph_retries_total: 1,
      'delivery_step_duration_seconds_count{step="pause"}': 1,
      'graph_request_duration_seconds_count{status="4xx"}': 1,
    });
  });

  it("show each of several ways out as up from the start", async () => {
    const ways = { BACKEND: "graph,exchange", EXCHANGE_SMTP_URL: await cloud.submissionUrl() };
    const page = await pageOf(await start(ways));
    assert.match(page, /^smtp_oauth_relay_backend_down\{backend="graph"\} 0$/m);
    assert.match(page, /^smtp_oauth_relay_backend_down\{backend="exchange"\} 0$/m);
  });

  it("say when the certificate expires", async () => {
    const certificate = await selfSignedCertificate();
    const relay = await start({ TLS_SOURCE: "file" }, {
      certificates: fixedSource("self-signed", certificate),
    });
    const expires = await sample(relay, "certificate_expires_timestamp_seconds");
    const tls = await (await fetch(`${relay.url}/readyz`)).json() as {
      parts: { tls: { expires: string } };
    };
    assert.equal(expires, Date.parse(tls.parts.tls.expires) / 1000);
    assert.ok(expires! > Date.now() / 1000);
  });
});

describe("the metrics of a relay with a queue", () => {
  let directory: string;
  beforeEach(() => void (directory = mkdtempSync(join(tmpdir(), "relay-metrics-"))));
  afterEach(() => rmSync(directory, { recursive: true }));

  const startQueue = () =>
    start({
      DELIVERY_MODE: "queue",
      QUEUE_URL: `sqlite:${directory}/queue.db`,
      QUEUE_KEY: randomBytes(32).toString("base64"),
    });

  it("are all that there are", async () => {
    const page = await pageOf(await startQueue());
    const described = new Set(
      [...page.matchAll(/^# TYPE smtp_oauth_relay_(\w+) /gm)].map((match) => match[1]!),
    );
    const names = [
      ...Object.keys(COUNTERS).map((name) => `${name}_total`),
      ...Object.keys(HISTOGRAMS),
      // Set by the commands, and where there are several ways out.
      ...Object.keys(GAUGES).filter((name) => name !== "build_info" && name !== "backend_down"),
    ];
    assert.deepEqual([...described].sort(), names.sort());
  });

  it("follow a message through it", async () => {
    const relay = await startQueue();
    const client = await relay.authed();
    assert.match(await client.send(FROM, TO), /^250 /);
    await untilSample(relay, 'queue_tries_total{result="sent"}', 1);
    await assertSamples(relay, {
      'messages_total{result="queued"}': 1,
      'delivery_step_duration_seconds_count{step="store"}': 1,
      queue_delay_seconds_count: 1,
      'graph_request_duration_seconds_count{status="2xx"}': 1,
      [`external_recipients_total{tenant="${TENANT}"}`]: 1,
      queue_dead_messages: 0,
      queue_oldest_dead_seconds: 0,
    });
    assert.ok((await sample(relay, 'last_success_timestamp_seconds{backend="graph"}'))! > 0);
  });

  it("have the reason and the age of what is given up", async () => {
    const relay = await startQueue();
    cloud.faults.add({ on: "sendMail", status: 403, code: "ErrorAccessDenied", times: 2 });
    const client = await relay.authed();
    const begin = Date.now();
    assert.match(await client.send(FROM, TO), /^250 /);
    await untilSample(relay, "queue_dead_messages", 1);
    const name = 'queue_failures_total{result="dead",reason="permission"}';
    await untilSample(relay, name, 1);
    assert.equal(await sample(relay, "queue_waiting_messages"), 0);
    const age = (await sample(relay, "queue_oldest_dead_seconds"))!;
    // The clocks may differ by a little.
    assert.ok(age <= (Date.now() - begin) / 1000 + 1, `${age} s`);
    await sleep(5);
    assert.ok((await sample(relay, "queue_oldest_dead_seconds"))! > age, "it grows");
  });
});
