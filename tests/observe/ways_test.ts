/** The listeners of events know the way out that a message has gone, and when one is down. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { MessageEvent, RelayEvent } from "../../src/observe/relay_event.ts";
import { createLog } from "../support/log.ts";
import { Metrics } from "../../src/observe/metrics.ts";
import { reasonOf } from "../../src/observe/reasons.ts";
import { reply } from "../../src/smtp/reply.ts";
import { Services } from "../../src/status/services.ts";
import { spansOf } from "../../src/traces/event_spans.ts";
import { submissionEvents } from "../../src/webhook/message_events.ts";
import { listeners, submissionEvent } from "../support/events.ts";

const CLIENT = { connection: "c0ffee", address: "192.0.2.7", port: 4711 };
const STEP = {
  name: "request",
  at: 0,
  milliseconds: 30,
  target: "SMTP exchange",
  result: 250,
  backend: "exchange",
} as const;
const OUTCOME = {
  type: "sent",
  reply: reply(250, "2.0.0", "OK"),
  backend: "exchange",
} as const;
const SENT = { ...submissionEvent(OUTCOME, CLIENT) as MessageEvent, steps: [STEP] };
const DOWN: RelayEvent = {
  type: "backend",
  backend: "graph",
  change: "down",
  code: "ECONNREFUSED",
  detail: "Graph cannot be reached",
};

describe("a message that went by another way than Graph", () => {
  it("is counted for that way, and none of Graph's figures change", () => {
    const metrics = new Metrics();
    const log = createLog({ level: "CRITICAL", format: "json", write: () => {} });
    listeners(log, () => 0, metrics).notify(SENT);
    const text = metrics.text();
    assert.match(text, /last_success_timestamp_seconds\{backend="exchange"\} [1-9]/);
    assert.match(text, /last_success_timestamp_seconds\{backend="graph"\} 0/);
    assert.match(
      text,
      /smtp_conversation_duration_seconds_count\{backend="exchange",status="2xx"\} 1/,
    );
    assert.doesNotMatch(text, /graph_request_duration_seconds_count\{[^}]*\} [1-9]/);
  });

  it("is in the log, the webhook's event and the trace with its name", () => {
    const lines: Record<string, unknown>[] = [];
    const write = (line: string) => void lines.push(JSON.parse(line));
    listeners(createLog({ level: "INFO", format: "json", write })).notify(SENT);
    assert.deepEqual([lines[0]?.["backend"], lines[0]?.["ms_smtp"]], ["exchange", 30]);
    assert(!("ms_graph" in lines[0]!));
    assert(submissionEvents(SENT).every(({ data }) => data["backend"] === "exchange"));
    const services = { graph: "graph.test", entra: "entra.test", smtp: () => "smtp.test" };
    const spans = spansOf(SENT, { now: 0, steady: 0, services });
    const message = spans.find(({ name }) => name === "message");
    assert.equal(message?.attributes["smtp_oauth_relay.backend"], "exchange");
    const step = spans.find(({ name }) => name === "SMTP exchange");
    assert.equal(step?.attributes["server.address"], "smtp.test");
    assert.equal(step?.attributes["smtp_oauth_relay.reply"], 250);
    assert(!("http.request.method" in step!.attributes));
  });

  it("shows that its service answers, and what says that it does not", () => {
    const services = new Services(["Graph", "Exchange by SMTP"]);
    services.notice(SENT, 1);
    assert.equal(services.state("Exchange by SMTP")?.succeeded, 1);
    assert.equal(services.state("Graph")?.succeeded, undefined);
    const failing = (result: number | string) => ({ ...SENT, steps: [{ ...STEP, result }] });
    // A refused message is an answer too.
    services.notice(failing(550), 2);
    assert.equal(services.state("Exchange by SMTP")?.succeeded, 2);
    services.notice(failing("ECONNREFUSED"), 3);
    assert.equal(services.state("Exchange by SMTP")?.silentSince, 3);
    services.notice(failing(535), 4);
    assert.deepEqual(services.state("Exchange by SMTP")?.failed?.at, 4);
    assert.equal(services.state("Exchange by SMTP")?.silentSince, undefined);
  });

  it("shows a server that refuses everybody, or lacks what the relay needs, as failing", () => {
    const cases = [[554, "SMTP 554 5.7.1"], ["SMTP_NO_STARTTLS", "SMTP_NO_STARTTLS"]] as const;
    for (const [result, code] of cases) {
      const services = new Services(["Exchange by SMTP"]);
      const outcome = {
        type: "later",
        reply: reply(451, "4.4.1", "no"),
        ambiguous: false,
        code,
        detail: "no",
        outage: true,
        backend: "exchange",
      } as const;
      const event = submissionEvent(outcome, CLIENT) as MessageEvent;
      services.notice({ ...event, steps: [{ ...STEP, result }] }, 5);
      const { succeeded, failed, silentSince } = services.state("Exchange by SMTP")!;
      assert.deepEqual([succeeded, failed?.code, silentSince], [undefined, code, undefined]);
    }
  });
});

describe("a way out that is down", () => {
  it("is told once when it goes and when it comes back, and counted", () => {
    const lines: Record<string, unknown>[] = [];
    const metrics = new Metrics();
    const write = (line: string) => void lines.push(JSON.parse(line));
    const log = createLog({ level: "INFO", format: "json", write });
    const { notify } = listeners(log, () => 0, metrics);
    notify(DOWN);
    assert.match(metrics.text(), /backend_down\{backend="graph"\} 1/);
    notify({ type: "backend", backend: "graph", change: "up" });
    assert.match(metrics.text(), /backend_down\{backend="graph"\} 0/);
    assert.deepEqual(
      lines.map(({ level, message, backend, code }) => [level, message, backend, code]),
      [
        [
          "WARNING",
          "Back end does not take messages: they go by the next",
          "graph",
          "ECONNREFUSED",
        ],
        ["WARNING", "Back end takes messages again", "graph", undefined],
      ],
    );
    assert.match(metrics.text(), /backend_outages_total\{backend="graph"\} 1/);
  });
});

describe("the reason of a refusal by an SMTP server", () => {
  const cases = [
    ["SMTP 535 5.7.139", "permission"],
    ["SMTP 535 5.7.3", "permission"],
    ["SMTP 535 5.7.8", "login"],
    ["SMTP 432 4.3.2", "throttled"],
    ["SMTP 421 4.3.2", "throttled"],
    ["SMTP 421", "service"],
    ["SMTP 554 5.2.270", "size"],
    ["SMTP 552", "size"],
    ["SMTP 554 5.2.2", "quota"],
    ["SMTP 554 5.2.0", "quota"],
    ["SMTP 550 5.7.60", "permission"],
    ["SMTP 550 5.1.1", "recipient"],
    ["SMTP 550 5.1.8", "sender"],
    ["SMTP 550", "content"],
    ["SMTP 451 4.4.62", "service"],
    ["CLOSED", "network"],
    ["SMTP_NO_STARTTLS", "network"],
    ["TOKEN_UNVERIFIED", "token"],
    ["BACKEND_UNSET", "entry"],
  ] as const;
  for (const [code, reason] of cases) {
    it(`is ${reason} for ${code}`, () => assert.equal(reasonOf(code), reason));
  }
});
