/** What events become in `/metrics` (https://prometheus.io/docs/practices/naming/). */
import assert from "node:assert/strict";
import process from "node:process";
import { describe, it } from "node:test";
import type { Outcome } from "../../src/delivery/delivery.ts";
import type { Step } from "../../src/delivery/steps.ts";
import { eventMetrics } from "../../src/observe/event_metrics.ts";
import { Metrics } from "../../src/observe/metrics.ts";
import type { MessageEvent, QueueEvent, RelayEvent } from "../../src/observe/relay_event.ts";
import { Secret } from "../../src/secret.ts";
import type { Envelope } from "../../src/smtp/effects.ts";
import { reply } from "../../src/smtp/reply.ts";
import {
  ACCOUNT,
  connectionEvent,
  loginEvent,
  PRINCIPAL,
  submissionEvent,
} from "../support/events.ts";
import { TENANT, USERNAME } from "../support/logins.ts";
import { MESSAGE } from "../support/submissions.ts";

const client = { connection: "c0ffee", address: "192.0.2.7", port: 4711 };
const SENT: Outcome = { type: "sent", reply: reply(250, "2.0.0", "OK") };
/** Unix time in milliseconds. */
const NOW = Date.UTC(2026, 10, 5, 6, 7, 8);

/** The samples after some events, by name and labels without the prefix. */
function after(...events: readonly RelayEvent[]): ReadonlyMap<string, number> {
  const metrics = new Metrics();
  const notify = eventMetrics(metrics, () => NOW);
  for (const event of events) notify(event);
  return samplesOf(metrics);
}

function samplesOf(metrics: Metrics): ReadonlyMap<string, number> {
  return new Map(
    metrics.text().trimEnd().split("\n").filter((line) => !line.startsWith("#")).map((line) => {
      const [, name, value] = /^(?:smtp_oauth_relay_)?(.+) (\S+)$/.exec(line)!;
      return [name!, Number(value)];
    }),
  );
}

function message(outcome: Outcome, part: Partial<MessageEvent> = {}): RelayEvent {
  return { ...submissionEvent(outcome, client) as MessageEvent, ...part };
}

function step(name: Step["name"], milliseconds: number, result?: number | string): Step {
  return { name, at: NOW, milliseconds, ...(result === undefined ? {} : { result }) };
}

function refusal(code: string) {
  return {
    type: "refused",
    reply: reply(550, "5.7.1", "No"),
    ambiguous: false,
    code,
    detail: "",
  } as const;
}

function queueEvent(part: Partial<QueueEvent>): RelayEvent {
  return {
    type: "queue",
    change: "sent",
    message: { id: "0123456789abcdef", size: 100, attempts: 1, age: 90_000 },
    steps: [],
    ...part,
  };
}

describe("a login", () => {
  const credentials = {
    mechanism: "PLAIN",
    username: USERNAME,
    password: new Secret("x"),
  } as const;

  it("has its time, and the reason of its failure", () => {
    const failure = { type: "refused", reply: reply(535, "5.7.8", "No"), detail: "" } as const;
    const samples = after(
      loginEvent(credentials, client, PRINCIPAL),
      loginEvent(credentials, client, { ...failure, code: "AADSTS7000222" }),
      loginEvent(credentials, client, failure),
    );
    assert.equal(samples.get('login_duration_seconds_count{result="succeeded"}'), 1);
    assert.equal(samples.get('login_duration_seconds_sum{result="succeeded"}'), 0.0055);
    for (const reason of ["secret_expired", "malformed"]) {
      const labels = `{result="refused",reason="${reason}"}`;
      assert.equal(samples.get(`login_failures_total${labels}`), 1, reason);
    }
  });

  it("has the time of its token request, and when there was a token last", () => {
    const granted = after({ type: "token", milliseconds: 250 });
    assert.equal(granted.get('token_request_duration_seconds_sum{result="granted"}'), 0.25);
    assert.equal(granted.get("last_token_timestamp_seconds"), NOW / 1000);
    const later = {
      type: "later",
      reply: reply(454, "4.7.0", "Later"),
      code: "X",
      detail: "",
    } as const;
    const deferred = after({ type: "token", milliseconds: 30_000, refusal: later });
    assert.equal(deferred.get('token_request_duration_seconds_count{result="deferred"}'), 1);
    assert.equal(deferred.get("last_token_timestamp_seconds"), 0);
  });
});

describe("a message", () => {
  it("has its octets, its time, and that of its steps", () => {
    const samples = after(message(SENT, {
      receiving: 20,
      milliseconds: 1_500,
      steps: [
        step("prepare", 2),
        step("wait", 300),
        step("token", 100),
        step("request", 400, 429),
        step("pause", 500),
        step("request", 90, 202),
        step("request", 50, "ECONNRESET"),
      ],
    }));
    assert.equal(samples.get('message_bytes_total{result="sent"}'), MESSAGE.length);
    assert.equal(samples.get('delivery_duration_seconds_sum{result="sent"}'), 1.5);
    const times = { receive: 0.02, prepare: 0.002, wait: 0.3, token: 0.1, pause: 0.5, store: 0 };
    for (const [name, seconds] of Object.entries(times)) {
      assert.equal(
        samples.get(`delivery_step_duration_seconds_sum{step="${name}"}`),
        seconds,
        name,
      );
    }
    for (const [status, seconds] of Object.entries({ "2xx": 0.09, "4xx": 0.4, none: 0.05 })) {
      const name = `graph_request_duration_seconds_sum{status="${status}"}`;
      assert.equal(samples.get(name), seconds, status);
    }
    assert.equal(samples.get("graph_throttled_total"), 1);
    assert.equal(samples.get("graph_retries_total"), 1);
    assert.equal(samples.get('last_success_timestamp_seconds{backend="graph"}'), NOW / 1000);
  });

  it("that was not sent has a reason, and is no success", () => {
    const ambiguous = { ...refusal("ECONNRESET"), type: "later", ambiguous: true } as const;
    const limited = { ...refusal("MIME_TOO_DEEP"), limit: "MAX_MIME_DEPTH" } as const;
    const samples = after(
      message(refusal("ErrorAccessDenied")),
      message(ambiguous),
      message(limited),
    );
    for (
      const labels of [
        '{result="refused",reason="permission"}',
        '{result="ambiguous",reason="network"}',
        '{result="refused",reason="limit"}',
      ]
    ) assert.equal(samples.get(`message_failures_total${labels}`), 1, labels);
    assert.equal(samples.get('last_success_timestamp_seconds{backend="graph"}'), 0);
  });
});

describe("external recipients", () => {
  const external = (envelope: Envelope, outcome: Outcome = SENT) =>
    after(submissionEvent(outcome, client, PRINCIPAL, { envelope }))
      .get(`external_recipients_total{tenant="${TENANT}"}`) ?? 0;

  it("are those in another domain than the sender's", () => {
    const recipients = ["a@X.test", "b@y.test", "c@sub.x.test", "local"];
    assert.equal(external({ from: "ann@x.test", recipients }), 2);
  });

  // RFC 5321 §2.4: domains are compared without regard to case.
  it("are found whatever the case, and where one letter differs", () => {
    const inside = ["a@EXAMPLE-1.test", "b@example-1.TEST"];
    const outside = ["c@example-2.test", "d@exbmple-1.test", "e@example\r1.test"];
    const from = "ann@example-1.test";
    assert.equal(external({ from, recipients: [...inside, ...outside] }), outside.length);
    const others = ["a@MÜNCHEN.test", "b@münchen.test", "c@mänchen.test"];
    assert.equal(external({ from: "ann@münchen.test", recipients: others }), 1);
  });

  it("are compared with the mailbox that has sent", () => {
    const recipients = ["a@x.test", "b@y.test", "c@y.test"];
    const outcome: Outcome = { ...SENT, mailbox: "scanner@y.test" };
    assert.equal(external({ from: "ann@x.test", recipients }, outcome), 1);
  });

  it("of messages that were not sent do not count", () => {
    assert.equal(external({ from: "ann@x.test", recipients: ["b@y.test"] }, refusal("X")), 0);
  });

  it("have a bounded number of tenants", () => {
    const envelope = { from: "ann@x.test", recipients: ["b@y.test"] };
    const events = Array.from({ length: 250 }, (_, i) => {
      const account = { ...ACCOUNT, tenantId: `tenant-${i % 125}` };
      return submissionEvent(SENT, client, PRINCIPAL, { account, envelope });
    });
    const samples = after(...events);
    const tenants = [...samples.keys()].filter((name) => name.startsWith("external_recipients"));
    assert.equal(tenants.length, 101);
    assert.equal(samples.get('external_recipients_total{tenant="tenant-99"}'), 2);
    assert.equal(samples.get('external_recipients_total{tenant="other"}'), 50);
  });
});

describe("a queued message", () => {
  const record = {
    kind: "message",
    account: ACCOUNT,
    username: USERNAME,
    envelope: { from: "ann@x.test", recipients: ["b@y.test"] },
    client: client.address,
    connection: client.connection,
  } as const;

  it("that was sent has the time since its receipt, and is a success", () => {
    const { message } = queueEvent({}) as QueueEvent;
    const samples = after(queueEvent({
      message: { ...message, record },
      steps: [step("request", 80, 202)],
    }));
    assert.equal(samples.get("queue_delay_seconds_sum"), 90);
    assert.equal(samples.get('queue_delay_seconds_bucket{le="60"}'), 0);
    assert.equal(samples.get('queue_delay_seconds_bucket{le="300"}'), 1);
    assert.equal(samples.get('graph_request_duration_seconds_count{status="2xx"}'), 1);
    assert.equal(samples.get('last_success_timestamp_seconds{backend="graph"}'), NOW / 1000);
    assert.equal(samples.get(`external_recipients_total{tenant="${TENANT}"}`), 1);
  });

  it("that failed has a reason, and whether it may have been sent", () => {
    const samples = after(
      queueEvent({ change: "held", code: "AADSTS7000222", detail: "" }),
      queueEvent({ change: "deferred", code: "ECONNRESET", detail: "", ambiguous: true }),
    );
    assert.equal(samples.get('queue_failures_total{result="held",reason="secret_expired"}'), 1);
    assert.equal(samples.get('queue_failures_total{result="deferred",reason="network"}'), 1);
    assert.equal(samples.get("queue_ambiguous_tries_total"), 1);
    assert.equal(samples.get("queue_delay_seconds_count"), 0);
  });
});

describe("a connection", () => {
  const tls = (version: string) => ({ ...client, tls: { version, cipher: "X" } });

  it("counts by how it ended, its octets and its TLS", () => {
    const samples = after(
      connectionEvent(tls("TLSv1.3")),
      connectionEvent(tls("TLSv1")),
      connectionEvent(client, { secure: false, error: true }),
      connectionEvent(client, { secure: false, received: 0, error: true }),
      connectionEvent(client, { secure: false, handshakeFailed: true }),
      connectionEvent(client, { secure: false, handshakeFailed: true, wrongPort: "plain" }),
    );
    const results = { completed: 2, failed: 1, silent: 1, handshake_failed: 1, wrong_port: 1 };
    for (const [result, count] of Object.entries(results)) {
      assert.equal(samples.get(`sessions_total{result="${result}"}`), count, result);
    }
    for (const [version, count] of Object.entries({ "1.3": 1, "1.0": 1, none: 4, other: 0 })) {
      assert.equal(samples.get(`session_tls_total{version="${version}"}`), count, version);
    }
    assert.equal(samples.get("received_bytes_total"), 500);
  });
});

describe("the number of series", () => {
  it("does not depend on what clients and services send", () => {
    const metrics = new Metrics();
    const notify = eventMetrics(metrics, () => NOW);
    const before = samplesOf(metrics).size;
    for (let i = 0; i < 1000; i++) {
      const envelope = { from: `a${i}@s${i}.test`, recipients: [`b${i}@s${i}.test`] };
      notify(submissionEvent(refusal(`CODE_${i}`), client, PRINCIPAL, { envelope }));
      notify(message(SENT, { steps: [step("request", 1, i), step("request", 1, `E${i}`)] }));
      notify(queueEvent({ change: "dead", code: `code ${i}`, detail: "" }));
      notify(connectionEvent({ ...client, tls: { version: `TLS ${i}`, cipher: "X" } }));
    }
    assert.equal(samplesOf(metrics).size, before);
  });
});

describe("the cost of a message", () => {
  it("is some microseconds: nothing is formatted before somebody asks", () => {
    const metrics = new Metrics();
    const notify = eventMetrics(metrics, () => NOW);
    const event = message(SENT, { steps: [step("prepare", 2), step("request", 80, 202)] });
    const count = 20_000;
    const begun = process.cpuUsage();
    for (let i = 0; i < count; i++) notify(event);
    const { user, system } = process.cpuUsage(begun);
    // Measured: 1 to 3.
    assert.ok((user + system) / count < 25, String((user + system) / count));
    assert.equal(metrics.value("messages", { result: "sent" }), count);
  });
});

describe("names that others rely on", () => {
  it("are all still there", () => {
    const page = new Metrics().text();
    for (
      const name of [
        ...["connections", "logins", "messages", "queue_tries", "refusals", "limit_hits"],
        ...["proxy_headers_refused", "log_lines_suppressed", "log_lines_dropped"],
        "internal_errors",
      ]
    ) assert.ok(page.includes(`# TYPE smtp_oauth_relay_${name}_total counter\n`), name);
  });
});
