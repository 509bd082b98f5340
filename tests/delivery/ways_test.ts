/** The choice among several ways out: when the next is tried, and when it must not be. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import type { BackendName, BackendNames } from "../../src/backend_name.ts";
import {
  Backends,
  type BackendsOptions,
  type Way,
  type WayChange,
} from "../../src/delivery/backends.ts";
import { notOwned, notRecorded } from "../../src/delivery/outcomes.ts";
import type { Attempt, NotSent, ServiceOutcome, Submission } from "../../src/delivery/delivery.ts";
import { reasonNotToSend } from "../../src/delivery/before_sending.ts";
import { reply } from "../../src/smtp/reply.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { accountWith, mailOf, tokenOf } from "../support/submissions.ts";

const ATTEMPT: Attempt = { authorization: accountWith(tokenOf("t")) };
const MAIL = mailOf("ann@x.test");
const SENT: ServiceOutcome = { type: "sent", reply: reply(250, "2.0.0", "OK") };

function notSent(part: Partial<NotSent>): NotSent {
  const { type = "later", code = "ECONNREFUSED" } = part;
  const answer = type === "later" ? reply(451, "4.4.1", code) : reply(550, "5.7.1", code);
  return { type, reply: answer, ambiguous: false, code, detail: code, ...part };
}

const DOWN = notSent({ outage: true });
const AMBIGUOUS = notSent({ code: "HTTP 502", ambiguous: true, outage: true });

class World {
  readonly clock = new FakeClock();
  readonly tried: BackendName[] = [];
  readonly changes: WayChange[] = [];
  readonly outcomes: Partial<Record<BackendName, ServiceOutcome>> = {};
  /** Whether a way asks before it sends. */
  asks = false;
  /** The way that knows only the relay's own login. */
  unchecked: BackendName | undefined;
  readonly backends: Backends;

  constructor(standard: BackendNames, options: Partial<BackendsOptions> = {}) {
    this.backends = new Backends({
      standard,
      wayOf: (name) => this.#way(name),
      sentLookup: { lookUp: () => Promise.resolve({ type: "notFound" }) },
      changed: (change) => void this.changes.push(change),
      clock: this.clock,
      ...options,
    });
  }

  async deliver(submission: Submission = MAIL, attempt = ATTEMPT): Promise<ServiceOutcome> {
    this.tried.length = 0;
    return await this.backends.deliver(submission, attempt);
  }

  #way(name: BackendName): Way {
    return {
      id: name,
      checksNoApp: name === this.unchecked,
      deliver: async (_submission, { beforeSending }) => {
        this.tried.push(name);
        if (this.asks && beforeSending !== undefined) {
          const reason = await reasonNotToSend(beforeSending, { mailbox: "ann@x.test" });
          if (reason !== undefined) return reason;
        }
        return this.outcomes[name] ?? SENT;
      },
      refusal: ({ content }) =>
        name === "graph" && content[0]!.length > 100
          ? notSent({ type: "refused", code: "GRAPH_REQUEST_LIMIT" })
          : undefined,
    };
  }
}

describe("several ways out", () => {
  it("are tried in their order, the next after a passing failure in which nothing was taken", async () => {
    const world = new World(["graph", "exchange", "smarthost"]);
    assert.equal((await world.deliver()).type, "sent");
    assert.deepEqual(world.tried, ["graph"]);
    world.outcomes.graph = notSent({ code: "ApplicationThrottled" });
    world.outcomes.exchange = notSent({ code: "SMTP 451 4.3.0" });
    assert.equal((await world.deliver()).type, "sent");
    assert.deepEqual(world.tried, ["graph", "exchange", "smarthost"]);
  });

  const final: readonly (readonly [what: string, outcome: NotSent])[] = [
    ["the message may have been sent", AMBIGUOUS],
    ["it is refused for good", notSent({ type: "refused", code: "ErrorInvalidRecipients" })],
    ["the mailbox has more mail than it may send", notSent({ code: "PACING_TIMEOUT" })],
    ["the relay stops", notSent({ code: "STOPPING" })],
    ["others need the memory", notSent({ code: "OVER_SHARE" })],
  ];
  for (const [what, outcome] of final) {
    it(`end with the first when ${what}`, async () => {
      const world = new World(["graph", "exchange"]);
      world.outcomes.graph = outcome;
      assert.equal(await world.deliver(), outcome);
      assert.deepEqual(world.tried, ["graph"]);
    });
  }

  it("end with the first when another relay has the message, or it cannot be recorded", async () => {
    for (
      const [beforeSending, code] of [
        [() => Promise.resolve(false), notOwned().code],
        [() => Promise.reject(new Error("disk")), notRecorded(new Error("disk")).code],
      ] as const
    ) {
      const world = new World(["graph", "exchange"]);
      world.asks = true;
      const outcome = await world.deliver(MAIL, { ...ATTEMPT, beforeSending });
      assert(outcome.type === "later" && outcome.code === code);
      assert.deepEqual(world.tried, ["graph"]);
    }
  });

  it("leave out a way that checks no app after the app was denied, but not one that does", async () => {
    const world = new World(["exchange", "smarthost", "graph"]);
    world.unchecked = "smarthost";
    world.outcomes.exchange = notSent({ code: "SMTP 535 5.7.3", denied: true });
    assert.equal((await world.deliver()).type, "sent");
    assert.deepEqual(world.tried, ["exchange", "graph"]);
    const short = new World(["exchange", "smarthost"]);
    short.unchecked = "smarthost";
    short.outcomes.exchange = notSent({ code: "SMTP 535 5.7.3", denied: true });
    assert.equal(await short.deliver(), short.outcomes.exchange);
    short.outcomes.exchange = DOWN;
    assert.equal((await short.deliver()).type, "sent");
  });

  it("answer as the first, with what the second said: only the first is set up for sure", async () => {
    const world = new World(["graph", "exchange"]);
    world.outcomes.graph = DOWN;
    world.outcomes.exchange = notSent({ type: "refused", code: "SMTP 550 5.7.60" });
    const outcome = await world.deliver();
    assert(outcome.type === "later" && outcome.code === "ECONNREFUSED" && !outcome.ambiguous);
    assert.match(outcome.detail, /; by exchange: SMTP 550 5\.7\.60/);
  });

  it("answer that the message may have been sent when that is what the second says", async () => {
    const world = new World(["graph", "exchange"]);
    world.outcomes.graph = DOWN;
    world.outcomes.exchange = AMBIGUOUS;
    assert.equal(await world.deliver(), AMBIGUOUS);
  });
});

describe("a way out that is down", () => {
  it("is not tried for each message, and again after a while by one", async () => {
    const world = new World(["graph", "exchange"]);
    world.outcomes.graph = DOWN;
    await world.deliver();
    assert.deepEqual(world.tried, ["graph", "exchange"]);
    for (let i = 0; i < 3; i++) {
      await world.deliver();
      assert.deepEqual(world.tried, ["exchange"]);
    }
    world.clock.pass(15_000);
    // One tries; it is down still, and the pause is longer.
    await world.deliver();
    assert.deepEqual(world.tried, ["graph", "exchange"]);
    world.clock.pass(15_000);
    await world.deliver();
    assert.deepEqual(world.tried, ["exchange"]);
    world.clock.pass(15_000);
    delete world.outcomes.graph;
    await world.deliver();
    assert.deepEqual(world.tried, ["graph"]);
    await world.deliver();
    assert.deepEqual(world.tried, ["graph"]);
    assert.deepEqual(world.changes.map(({ backend, change }) => [backend, change]), [
      ["graph", "down"],
      ["graph", "up"],
    ]);
  });

  it("is tried by one message only, while others go the next way", async () => {
    const world = new World(["graph", "exchange"]);
    world.outcomes.graph = DOWN;
    await world.deliver();
    world.clock.pass(15_000);
    world.tried.length = 0;
    await Promise.all([1, 2, 3].map(() => world.backends.deliver(MAIL, ATTEMPT)));
    assert.equal(world.tried.filter((name) => name === "graph").length, 1);
  });

  it("is known from a message that may have been sent too: the next message goes the next way", async () => {
    const world = new World(["graph", "exchange"]);
    world.outcomes.graph = AMBIGUOUS;
    assert.equal(await world.deliver(), AMBIGUOUS);
    assert.equal((await world.deliver()).type, "sent");
    assert.deepEqual(world.tried, ["exchange"]);
  });

  it("does not turn a refusal by the next one into a final one, nor into a doubt", async () => {
    const world = new World(["graph", "exchange"]);
    world.outcomes.graph = AMBIGUOUS;
    await world.deliver();
    world.outcomes.exchange = notSent({ type: "refused" });
    const outcome = await world.deliver();
    assert(outcome.type === "later" && !outcome.ambiguous);
  });

  it("is the last one's fate never: somebody has to be asked", async () => {
    const world = new World(["graph", "exchange"]);
    world.outcomes.graph = DOWN;
    world.outcomes.exchange = DOWN;
    for (let i = 0; i < 3; i++) {
      await world.deliver();
      assert.equal(world.tried.at(-1), "exchange");
    }
    const alone = new World(["graph"]);
    alone.outcomes.graph = DOWN;
    for (let i = 0; i < 3; i++) {
      await alone.deliver();
      assert.deepEqual(alone.tried, ["graph"]);
    }
  });

  it("is not what a mailbox's own trouble means", async () => {
    const world = new World(["graph", "exchange"]);
    world.outcomes.graph = notSent({ code: "ErrorQuotaExceeded" });
    await world.deliver();
    await world.deliver();
    assert.deepEqual(world.tried, ["graph", "exchange"]);
    assert.deepEqual(world.changes, []);
  });
});

describe("an account whose entry names its ways", () => {
  const bulk = { ...MAIL, account: { ...MAIL.account, backends: ["hve"] } as const };

  it("goes by these alone", async () => {
    const world = new World(["graph", "exchange"]);
    await world.deliver(bulk);
    assert.deepEqual(world.tried, ["hve"]);
  });

  it("is deferred with the reason where there is no such way", async () => {
    const world = new World(["graph"], { wayOf: (name) => `${name} is not set up` });
    const outcome = await world.deliver(bulk);
    assert(outcome.type === "later" && outcome.code === "BACKEND_UNSET");
    assert.match(String(outcome.reply.text), /hve is not set up/);
    assert.equal(world.backends.refusal(bulk)?.code, "BACKEND_UNSET");
  });
});

describe("LARGE_MESSAGES=exchange", () => {
  const large = mailOf("ann@x.test", [Buffer.alloc(500)]);
  const near = mailOf("ann@x.test", [Buffer.alloc(150)]);

  it("sends what is over the limit by Exchange, and the rest by Graph", async () => {
    const world = new World(["graph", "smarthost"], { largeFrom: 400 });
    await world.deliver(large);
    assert.deepEqual(world.tried, ["exchange"]);
    await world.deliver(near);
    assert.deepEqual(world.tried, ["graph"]);
  });

  it("also what only Graph's form or Graph itself finds too large", async () => {
    for (const code of ["GRAPH_REQUEST_LIMIT", "HTTP 413"]) {
      const world = new World(["graph"], { largeFrom: 400 });
      world.outcomes.graph = notSent({ type: "refused", code });
      assert.equal((await world.deliver(near)).type, "sent");
      assert.deepEqual(world.tried, ["graph", "exchange"]);
      assert.equal(world.backends.refusal(near), undefined);
    }
  });

  it("does nothing with other refusals, nor without the setting", async () => {
    const world = new World(["graph"], { largeFrom: 400 });
    world.outcomes.graph = notSent({ type: "refused", code: "ErrorAccessDenied" });
    await world.deliver(near);
    assert.deepEqual(world.tried, ["graph"]);
    const without = new World(["graph"]);
    without.outcomes.graph = notSent({ type: "refused", code: "HTTP 413" });
    await without.deliver(large);
    assert.deepEqual(without.tried, ["graph"]);
    assert.equal(without.backends.refusal(near)?.code, "GRAPH_REQUEST_LIMIT");
  });
});
