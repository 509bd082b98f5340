/** How long Graph asks to wait (RFC 9110 §10.2.3), and deliveries that come back later instead of waiting. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import { eventLoopTurn } from "../../src/clock.ts";
import type { NotSent, ServiceOutcome } from "../../src/delivery/delivery.ts";
import { GraphBackend } from "../../src/graph/backend.ts";
import type { HttpResponse } from "../../src/http/client.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { accountWith, mailOf, tokenOf } from "../support/submissions.ts";
import { until } from "../support/until.ts";
import { GRAPH_OPTIONS } from "./options.ts";

type Headers = Readonly<Record<string, string>>;

function response(status: number, headers: Headers = {}): HttpResponse {
  const body = Buffer.from('{"error":{"code":"ApplicationThrottled","message":"Words."}}');
  return { type: "response", status, headers: new Map(Object.entries(headers)), body };
}

/** A back end whose service gives these responses; the last one stays. */
function setUp(...script: readonly (HttpResponse | Promise<HttpResponse>)[]) {
  const clock = new FakeClock();
  const stop = new AbortController();
  const urls: string[] = [];
  const backend = new GraphBackend({
    ...GRAPH_OPTIONS,
    endpoint: new URL("http://graph.test"),
    concurrency: 4,
    pacingTimeout: 240_000,
    deliveryTimeout: 60_000,
    stop: stop.signal,
    clock,
    http: {
      request: ({ url }) => {
        urls.push(url.href);
        return Promise.resolve(script[Math.min(urls.length, script.length) - 1]!);
      },
    },
  });
  const authorization = accountWith(tokenOf("t"));
  /** @param mayWait false for a delivery of the queue */
  const deliver = (mayWait: boolean, mailbox = "ann@x.test"): Promise<ServiceOutcome> =>
    backend.deliver(mailOf(mailbox), {
      authorization,
      ...(mayWait ? {} : { mayWait }),
      beforeSending: () => Promise.resolve(true),
    });
  return { clock, backend, urls, deliver, authorization, stop };
}

function notSent(outcome: ServiceOutcome): NotSent {
  assert(outcome.type !== "sent");
  return outcome;
}

describe("Retry-After", () => {
  const cases: readonly (readonly [what: string, HttpResponse, number | undefined])[] = [
    ["429, seconds", response(429, { "retry-after": "120" }), 120_000],
    ["503, seconds", response(503, { "retry-after": "7" }), 7_000],
    [
      "429, a date",
      response(429, {
        date: "Thu, 05 Nov 2026 06:07:08 GMT",
        "retry-after": "Thu, 05 Nov 2026 06:08:38 GMT",
      }),
      90_000,
    ],
    ["500, though the message may have been sent", response(500, { "retry-after": "9" }), 9_000],
    ["429 without it", response(429), undefined],
    ["429 with nonsense", response(429, { "retry-after": "soon" }), undefined],
    ["429 with 0, which says nothing", response(429, { "retry-after": "0" }), undefined],
    ["400, where it means nothing", response(400, { "retry-after": "9" }), undefined],
  ];
  for (const [what, answer, expected] of cases) {
    it(`is in the outcome in milliseconds: ${what}`, async () => {
      const { deliver } = setUp(answer);
      assert.equal(notSent(await deliver(false)).retryAfter, expected);
    });
  }

  it("is in the outcome of a delivery that has waited as well", async () => {
    const { deliver, urls } = setUp(response(429, { "retry-after": "25" }));
    const outcome = notSent(await deliver(true));
    assert.equal(outcome.retryAfter, 25_000);
    assert.equal(urls.length, 3);
  });
});

describe("a delivery that must not wait", () => {
  it("ends with the throttling, without a wait and without another request", async () => {
    const { deliver, urls, clock } = setUp(response(429, { "retry-after": "25" }), response(202));
    const outcome = notSent(await deliver(false));
    assert.equal(outcome.code, "ApplicationThrottled");
    assert.equal(outcome.ambiguous, false);
    assert.deepEqual([urls.length, clock.sleeps.length], [1, 0]);
  });

  it("repeats after a short wait all the same", async () => {
    const { deliver, urls } = setUp(response(429, { "retry-after": "2" }), response(202));
    assert.equal((await deliver(false)).type, "sent");
    assert.equal(urls.length, 2);
  });

  it("ends at once while its mailbox is paused, with what is left of the pause", async () => {
    const { deliver, urls, clock } = setUp(response(429, { "retry-after": "25" }), response(202));
    await deliver(false);
    clock.pass(10_000);
    const outcome = notSent(await deliver(false));
    assert.equal(outcome.code, "PACING_TIMEOUT");
    assert.equal(outcome.retryAfter, 15_000);
    assert.equal(urls.length, 1);
    assert.equal((await deliver(false, "bea@x.test")).type, "sent", "another mailbox goes on");
    clock.pass(15_000);
    assert.equal((await deliver(false)).type, "sent");
  });

  it("ends its wait for a slot when the mailbox is throttled; one that may wait goes on", async () => {
    const first = Promise.withResolvers<HttpResponse>();
    const { backend, urls, clock, authorization } = setUp(
      first.promise,
      first.promise,
      first.promise,
      first.promise,
      response(202),
    );
    const send = (mayWait: boolean) =>
      backend.deliver(mailOf("ann@x.test"), { authorization, mayWait });
    const sending = [false, false, false, false].map(send);
    await until(() => urls.length === 4);
    const [impatient, patient] = [send(false), send(true)];
    let ended = false;
    void impatient.then(() => ended = true);
    await eventLoopTurn();
    assert.equal(ended, false, "it waits for a slot while nothing is wrong");
    first.resolve(response(429, { "retry-after": "30" }));
    assert.equal(notSent(await impatient).code, "PACING_TIMEOUT");
    await Promise.all(sending);
    assert.equal(urls.length, 4);
    assert.equal((await clock.passUntil(patient)).type, "sent");
  });

  it("does not wait to ask whether a message was sent either", async () => {
    const { backend, deliver, authorization, urls } = setUp(response(429, { "retry-after": "60" }));
    await deliver(false);
    const answer = await backend.lookUp({
      account: authorization,
      authorization,
      sending: { mailbox: "ann@x.test", messageId: "<1@x.test>" },
      since: 0,
      isLast: false,
    });
    assert.equal(answer.type, "later");
    assert.equal(urls.length, 1);
  });
});
