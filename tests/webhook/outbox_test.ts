/** A receiver that fails, hangs, lies and comes back: ids, order and bounds. */
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import { HttpClient, type HttpFailure, type HttpRequest } from "../../src/http/client.ts";
import { currentRuntime } from "../../src/runtime/current.ts";
import { Secret } from "../../src/secret.ts";
import { Outbox, type OutboxOptions } from "../../src/webhook/outbox.ts";
import type { WebhookEvent } from "../../src/webhook/webhook_event.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { until } from "../support/until.ts";
import { type Receiver, startReceiver, status, WEBHOOK_SECRET } from "./receiver.ts";

let http: HttpClient;
before(async () => {
  const { connect } = await currentRuntime();
  http = new HttpClient({ connect });
});
after(() => http.close());

let receiver: Receiver;
beforeEach(async () => receiver = await startReceiver());
afterEach(() => receiver.close());

/** Dates of the machine, so that signatures are new, and waits that a test lets pass. */
class Time extends FakeClock {
  /** Milliseconds by which dates are ahead. */
  ahead = 0;

  override date(): number {
    return Date.now() + this.ahead;
  }
}

function setUp(options: Partial<OutboxOptions> = {}) {
  const clock = new Time();
  const reports: string[] = [];
  const outbox = new Outbox({
    url: new Secret(receiver.url),
    secret: new Secret(WEBHOOK_SECRET),
    http,
    clock,
    report: {
      delivered: () => void reports.push("delivered"),
      dropped: () => void reports.push("dropped"),
      failed: (code) => void reports.push(`failed ${code}`),
      recovered: () => void reports.push("recovered"),
      refused: (code) => void reports.push(`refused ${code}`),
    },
    ...options,
  });
  const count = (report: string) => reports.filter((one) => one === report).length;
  const add = (count: number) => {
    for (let i = 0; i < count; i++) outbox.add(eventOf(i));
  };
  return { clock, outbox, reports, count, add };
}

function eventOf(number: number, text = ""): WebhookEvent {
  return { type: "message.sent", timestamp: new Date().toISOString(), data: { number, text } };
}

const numbers = () => receiver.events.map(({ data }) => data["number"]);

describe("a receiver that works", () => {
  it("gets every event once, in order, with an id of its own and a valid signature", async () => {
    const { outbox, add, count } = setUp();
    add(20);
    await until(() => outbox.pending.length === 0);
    assert.deepEqual(numbers(), [...Array(20).keys()]);
    assert.equal(new Set(receiver.asked).size, 20);
    assert.equal(count("delivered"), 20);
    add(1);
    await until(() => outbox.pending.length === 0);
    assert.equal(receiver.events.length, 21);
  });
});

describe("a receiver that fails", () => {
  it("gets the same event with the same id until it takes it, and the others after it", async () => {
    const { outbox, add, clock, reports } = setUp();
    receiver.answers = [status(500), status(503), status(400), status(404)];
    add(3);
    await until(() => outbox.pending.length === 0);
    assert.deepEqual(numbers(), [0, 1, 2]);
    const [first, ...rest] = receiver.asked;
    assert.deepEqual(receiver.asked.slice(0, 5), Array(5).fill(first));
    assert.equal(new Set(rest).size, 3);
    // Doubled, half of it random; the first wait is for the turn of the event loop.
    assert.deepEqual(clock.sleeps, [0, 750, 1500, 3000, 6000]);
    assert.deepEqual(reports, ["failed HTTP 500", "recovered", ...Array(3).fill("delivered")]);
  });

  it("is asked at most every five minutes after some failures", async () => {
    const { outbox, add, clock } = setUp();
    receiver.answers = Array.from({ length: 14 }, () => status(500));
    add(1);
    await until(() => outbox.pending.length === 0);
    assert.equal(Math.max(...clock.sleeps), 225_000);
  });

  it("may say how long to wait (RFC 9110 §10.2.3), an hour at most", async () => {
    const { outbox, add, clock } = setUp();
    receiver.answers = [
      status(429, { "retry-after": "90" }),
      status(503, { "retry-after": "99999" }),
    ];
    add(1);
    await until(() => outbox.pending.length === 0);
    assert.deepEqual(clock.sleeps, [0, 90_000, 3_600_000]);
  });

  it("that redirects is not followed", async () => {
    const { outbox, add, reports } = setUp();
    receiver.answers = [status(307, { location: "http://127.0.0.1:9/" })];
    add(1);
    await until(() => outbox.pending.length === 0);
    assert.equal(reports[0], "failed HTTP 307");
  });

  it("for a day loses the events of that time, which are counted", async () => {
    const { outbox, add, clock, count } = setUp();
    clock.patient = true;
    receiver.answers = Array.from({ length: 1000 }, () => status(500));
    add(2);
    await until(() => clock.alarms > 0);
    clock.pass(0);
    await until(() => receiver.asked.length === 1 && clock.alarms > 0);
    clock.ahead = 86_400_001;
    clock.pass(1000);
    await until(() => outbox.pending.length === 0);
    assert.equal(count("dropped"), 2);
    assert.equal(receiver.events.length, 0);
    receiver.answers = [];
    clock.ahead = 0;
    add(1);
    await until(() => {
      clock.pass(0);
      return receiver.events.length === 1;
    });
  });
});

/** As a web application firewall does, for a text that a client has chosen. */
describe("a receiver that refuses some events", () => {
  const refuse = (...refused: readonly number[]) => {
    receiver.refuses = ({ data }) => refused.includes(Number(data["number"])) ? 403 : undefined;
  };

  it("gets the others all the same, in their order, and those again for some time", async () => {
    const { outbox, add, clock, count } = setUp();
    refuse(0, 2);
    add(5);
    await until(() => receiver.events.length === 3);
    assert.deepEqual(numbers(), [1, 3, 4]);
    const waited = clock.sleeps.reduce((sum, time) => sum + time);
    assert.ok(waited < 60_000, `${waited} ms`);
    const [refused] = receiver.asked;
    receiver.refuses = ({ id }) => id === refused ? 403 : undefined;
    await until(() => numbers().includes(2));
    for (let i = 1; count("dropped") === 0; i++) {
      assert.ok(i < 10);
      outbox.add(eventOf(100 + i));
      const again = () => receiver.asked.at(-1) === refused || count("dropped") === 1;
      await until(() => numbers().includes(100 + i) && again());
    }
    await until(() => outbox.pending.length === 0);
    assert.ok(!numbers().includes(0));
    assert.deepEqual([count("dropped"), count("refused HTTP 403")], [1, 1]);
  });

  it("loses none if it refuses all of them for a while", async () => {
    const { outbox, add, count } = setUp();
    receiver.answers = Array.from({ length: 200 }, () => status(403));
    add(15);
    await until(() => outbox.pending.length === 0);
    assert.deepEqual(numbers().toSorted((a, b) => Number(a) - Number(b)), [...Array(15).keys()]);
    assert.equal(count("dropped"), 0);
  });
});

describe("a receiver that lies", () => {
  it("has an event that it answered with 2xx, whatever comes after the head", async () => {
    const { outbox, add } = setUp();
    receiver.answers = [
      (response) => {
        response.writeHead(200, { "content-length": "1000000" });
        response.write("x".repeat(100_000));
      },
      (response) => {
        response.writeHead(202, { "content-length": "10" });
        response.write("x", () => response.destroy());
      },
    ];
    add(3);
    await until(() => outbox.pending.length === 0);
    assert.equal(receiver.asked.length, 3);
    assert.deepEqual(numbers(), [2]);
  });

  it("or breaks the connection gets the event again", async () => {
    const { outbox, add, reports } = setUp();
    receiver.answers = [
      (response) => response.socket!.destroy(),
      (response) => response.socket!.end("SMTP 220 hello\r\n\r\n"),
    ];
    add(1);
    await until(() => outbox.pending.length === 0);
    assert.deepEqual(numbers(), [0]);
    assert.match(reports[0]!, /^failed [A-Z]+/);
  });
});

describe("a receiver that hangs", () => {
  it("is given up after 15 s, and asked again with the same id", async () => {
    const requests: HttpRequest[] = [];
    const failure: HttpFailure = { type: "failure", sent: true, code: "ETIMEDOUT", message: "" };
    const hanging = {
      request(request: HttpRequest) {
        requests.push(request);
        return requests.length === 1 ? Promise.resolve(failure) : http.request(request);
      },
    };
    const { outbox, add } = setUp({ http: hanging });
    add(1);
    await until(() => outbox.pending.length === 0);
    assert.equal(requests[0]!.timeout, 15_000);
    const ids = requests.map(({ headers }) => headers["webhook-id"]);
    assert.equal(ids.length, 2);
    assert.equal(ids[0], ids[1]);
  });

  it("holds up no caller, and makes no more than 10,000 events and 8 MiB wait", () => {
    const never = { request: () => new Promise<never>(() => {}) };
    const { outbox, add, count } = setUp({ http: never });
    add(10_005);
    assert.equal(outbox.pending.length, 10_000);
    assert.equal(count("dropped"), 5);
    const { outbox: second, count: ofSecond } = setUp({ http: never });
    for (let i = 0; i < 10; i++) second.add(eventOf(i, "x".repeat(1024 * 1024)));
    assert.equal(second.pending.length, 7);
    assert.equal(ofSecond("dropped"), 3);
  });
});

describe("a stop", () => {
  it("waits for what can be delivered", async () => {
    const { outbox, add } = setUp();
    add(5);
    assert.deepEqual(await outbox.close(2_000), []);
    assert.deepEqual(numbers(), [0, 1, 2, 3, 4]);
  });

  it("does not wait for a receiver that fails, and returns what is left, with the ids", async () => {
    const { outbox, add, clock, reports } = setUp();
    clock.patient = true;
    receiver.answers = [status(500)];
    add(3);
    await until(() => clock.alarms > 0);
    clock.pass(0);
    await until(() => reports.length > 0);
    const left = await outbox.close(2_000);
    assert.equal(left.length, 3);
    assert.equal(left[0]!.id, receiver.asked[0]);
    const { outbox: next } = setUp();
    next.restore(left);
    await until(() => next.pending.length === 0);
    assert.deepEqual(numbers(), [0, 1, 2]);
    assert.equal(receiver.events[0]!.id, left[0]!.id);
  });
});
