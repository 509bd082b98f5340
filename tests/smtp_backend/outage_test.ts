/**
 * BACKEND=graph,exchange with Graph down at each moment of a delivery: the message goes by Exchange exactly
 * where Graph surely did not take it, and is never sent twice.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { Fault } from "../../src/sandbox/faults.ts";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import { type TestRelay, TestRelays } from "../support/relay.ts";

interface Moment {
  readonly what: string;
  readonly fault: Fault;
  readonly reply: RegExp;
  /** By which way it arrived. */
  readonly by: "graph" | "exchange" | "none";
}

const ALWAYS = { times: 1000 };
const MOMENTS: readonly Moment[] = [
  {
    what: "closes the connection before it has read the message",
    // Some of the message had left, so that no client can know.
    fault: { on: "sendMail", after: "head", connection: "close", ...ALWAYS },
    reply: /^451 4\.4\.2 .* may have been sent/,
    by: "none",
  },
  {
    what: "breaks the connection once it has read the message",
    fault: { on: "sendMail", connection: "reset", ...ALWAYS },
    reply: /^451 4\.4\.2 .* may have been sent/,
    by: "none",
  },
  {
    what: "breaks the connection once it has taken the message",
    fault: { on: "sendMail", after: "take", connection: "reset", ...ALWAYS },
    reply: /^451 4\.4\.2 .* may have been sent/,
    by: "graph",
  },
  {
    what: "does not answer once it has taken the message",
    fault: { on: "sendMail", after: "take", connection: "blackhole", ...ALWAYS },
    reply: /^451 4\.4\.2 .* may have been sent/,
    by: "graph",
  },
  {
    what: "answers 500, which says nothing for certain",
    fault: { on: "sendMail", status: 500, ...ALWAYS },
    reply: /^451 4\.\d\.\d .* may have been sent/,
    by: "none",
  },
  {
    what: "asks to come back later: 503 with Retry-After",
    fault: { on: "sendMail", status: 503, retryAfter: 120, ...ALWAYS },
    reply: /^250 /,
    by: "exchange",
  },
  {
    what: "throttles",
    fault: { on: "sendMail", status: 429, retryAfter: 120, ...ALWAYS },
    reply: /^250 /,
    by: "exchange",
  },
  {
    what: "refuses the token",
    fault: { on: "sendMail", status: 401, ...ALWAYS },
    reply: /^250 /,
    by: "exchange",
  },
  {
    what: "refuses the message for good",
    fault: { on: "sendMail", status: 400, code: "ErrorInvalidRecipients", ...ALWAYS },
    reply: /^550 5\.1\.3 /,
    by: "none",
  },
];

describe("with BACKEND=graph,exchange, while Graph", () => {
  const relays = new TestRelays();
  let cloud: CloudServer;
  before(async () => {
    cloud = await startCloud();
  });
  after(() => cloud.close());

  const start = async (environment: Record<string, string> = {}) => {
    await cloud.inbox.clear();
    cloud.faults.clear();
    return await relays.start({
      cloud,
      environment: {
        BACKEND: "graph,exchange",
        EXCHANGE_SMTP_URL: await cloud.submissionUrl(),
        GRAPH_HTTP_TIMEOUT: "1",
        DELIVERY_TIMEOUT: "2s",
        ...environment,
      },
    });
  };

  const send = async (relay: TestRelay) => {
    const client = await relay.sending();
    return await client.say("From: a@example.com\r\nTo: b@example.org\r\n\r\nx\r\n.");
  };

  for (const { what, fault, reply, by } of MOMENTS) {
    it(`${what}, the message is ${by === "none" ? "not sent" : `sent by ${by} alone`}`, async () => {
      const relay = await start();
      const { messages } = cloud.exchange.figures;
      cloud.faults.add(fault);
      assert.match(await send(relay), reply);
      const arrived = cloud.inbox.list().length;
      const byExchange = cloud.exchange.figures.messages - messages;
      assert.deepEqual([arrived, byExchange], [by === "none" ? 0 : 1, by === "exchange" ? 1 : 0]);
    });
  }

  it("cannot be reached, messages go by Exchange, and only the first waits for it", async () => {
    const relay = await start({ GRAPH_ENDPOINT: "http://127.0.0.1:9/" });
    const times: number[] = [];
    for (let i = 0; i < 4; i++) {
      const began = performance.now();
      assert.match(await send(relay), /^250 /);
      times.push(performance.now() - began);
    }
    assert.equal(cloud.inbox.list().length, 4);
    assert(Math.max(...times.slice(1)) < 1_000, times.join());
    const lines = relay.linesOf("Back end does not take messages");
    assert.deepEqual(lines.map((line) => [line["backend"], line["code"]]), [[
      "graph",
      "ECONNREFUSED",
    ]]);
    assert.deepEqual(relay.linesOf("Message sent").map((line) => line["backend"]), [
      ...["exchange", "exchange", "exchange", "exchange"],
    ]);
  });

  it("does not give a token for Exchange, the message is deferred, and nothing is sent", async () => {
    const relay = await start();
    cloud.faults.add({ on: "sendMail", status: 429, retryAfter: 120, times: 1000 });
    const client = await relay.sending();
    cloud.faults.add({ on: "token", status: 400, code: "temporarily_unavailable", times: 1000 });
    assert.match(
      await client.say("From: a@example.com\r\nTo: b@example.org\r\n\r\nx\r\n."),
      /^451 /,
    );
    assert.equal(cloud.inbox.list().length, 0);
  });
});

describe("tokens for Graph and for Exchange", () => {
  const relays = new TestRelays();
  let cloud: CloudServer;
  const audiences: string[] = [];
  before(async () => {
    cloud = await startCloud({
      entra: {
        roles(_client, audience) {
          audiences.push(audience);
          return audience.includes("outlook") ? ["SMTP.SendAsApp"] : ["Mail.Send"];
        },
      },
    });
  });
  after(() => cloud.close());

  it("are never mixed: each service gets its own, and the login asks for the first one's", async () => {
    const start = async (BACKEND: string) => {
      audiences.length = 0;
      return await relays.start({
        cloud,
        environment: { BACKEND, EXCHANGE_SMTP_URL: await cloud.submissionUrl() },
      });
    };
    const graph = cloud.endpoint.origin;
    const exchange = "https://outlook.office365.com";
    // The imitations refuse a token of the other's audience.
    const first = await start("graph,exchange");
    const client = await first.sending();
    assert.deepEqual(audiences, [graph]);
    cloud.faults.add({ on: "sendMail", status: 401, times: 9 });
    const message = "From: a@example.com\r\nTo: b@example.org\r\n\r\nx\r\n.";
    assert.match(await client.say(message), /^250/);
    assert.deepEqual(new Set(audiences), new Set([graph, exchange]));
    cloud.faults.clear();
    const count = audiences.length;
    // Both are kept now, each under its own scope.
    for (let i = 0; i < 3; i++) assert.match(await (await first.sending()).say(message), /^250/);
    assert(audiences.slice(count).every((audience) => audience === graph), audiences.join());
    const second = await start("exchange,graph");
    await second.authed();
    assert.deepEqual(audiences, [exchange]);
  });
});
