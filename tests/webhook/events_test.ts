/** What a webhook is told of each event of the relay; all of it fits docs/webhooks.schema.json. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { Ajv2020 } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import type { Outcome } from "../../src/delivery/delivery.ts";
import type { EntraRefusal } from "../../src/entra/entra_errors.ts";
import type { QueueEvent, RelayEvent } from "../../src/observe/relay_event.ts";
import { Secret } from "../../src/secret.ts";
import { reply } from "../../src/smtp/reply.ts";
import { Webhook } from "../../src/webhook/webhook.ts";
import { WEBHOOK_TYPES, type WebhookEvent } from "../../src/webhook/webhook_event.ts";
import { entryAccount, loginEvent, principalOf, submissionEvent } from "../support/events.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { RECORD } from "../support/fake_queue.ts";
import { USERNAME } from "../support/logins.ts";
import { WEBHOOK_SECRET } from "./receiver.ts";

const schema = JSON.parse(
  readFileSync(new URL("../../docs/webhooks.schema.json", import.meta.url), "utf8"),
);
const ajv = new Ajv2020({ allErrors: true, strictTypes: false, strictRequired: false });
(addFormats as unknown as (ajv: Ajv2020) => void)(ajv);
const fits = ajv.compile(schema);

const CLIENT = { connection: "c0ffee", address: "192.0.2.7", port: 1025 };
const SENT: Outcome = { type: "sent", reply: reply(250, "2.0.0", "OK"), requestId: "r-1" };

function notSent(type: "later" | "refused", ambiguous = false): Outcome {
  const code = type === "later" ? 451 : 550;
  return {
    type,
    reply: reply(code, "4.0.0", "no"),
    ambiguous,
    code: "ErrorX",
    detail: "Graph said no",
  };
}

/** A webhook whose receiver never answers. */
function setUp() {
  const clock = new FakeClock();
  const nothing = () => {};
  const webhook = new Webhook({
    url: new Secret("https://x.test/"),
    secret: new Secret(WEBHOOK_SECRET),
    http: { request: () => new Promise<never>(() => {}) },
    clock,
    report: {
      delivered: nothing,
      dropped: nothing,
      failed: nothing,
      recovered: nothing,
      refused: nothing,
    },
  });
  const told = (...events: readonly RelayEvent[]): WebhookEvent[] => {
    const before = webhook.pending.length;
    for (const event of events) webhook.notify(event);
    const added = webhook.pending.slice(before).map(({ body }) => JSON.parse(body));
    for (const event of added) assert.ok(fits(event), ajv.errorsText(fits.errors));
    return added;
  };
  const types = (...events: readonly RelayEvent[]) => told(...events).map(({ type }) => type);
  return { clock, told, types };
}

function queued(change: QueueEvent["change"], part: Partial<QueueEvent> = {}): QueueEvent {
  return {
    type: "queue",
    change,
    message: { id: "0123456789abcdef", size: 10, attempts: 2, age: 65_400, record: RECORD },
    steps: [],
    ...part,
  };
}

describe("a submitted message", () => {
  it("is told with what finds it, and never with its content or recipients", () => {
    const { told } = setUp();
    const principal = principalOf(entryAccount("scanner"));
    const part = { messageId: "<1@x.test>", username: "scanner@lookup" };
    const [accepted, sent, ...others] = told(submissionEvent(SENT, CLIENT, principal, part));
    assert.deepEqual(others, []);
    assert.equal(accepted!.type, "message.accepted");
    assert.deepEqual(sent, {
      type: "message.sent",
      timestamp: "2026-11-05T06:07:08.000Z",
      data: {
        id: "0123456789abcdef",
        message_id: "<1@x.test>",
        username: "scanner@lookup",
        tenant: principal.account.tenantId,
        app: principal.account.clientId,
        entry: "scanner",
        client: "192.0.2.7",
        sender: "ann@x.test",
        recipients: 1,
        bytes: 57,
        milliseconds: 13,
        reply: 250,
        attempts: 1,
        request: "r-1",
      },
    });
    assert.deepEqual(accepted!.data, sent!.data);
  });

  const CASES: readonly [Outcome, ...string[]][] = [
    [{ type: "queued", reply: reply(250, "2.0.0", "OK") }, "message.accepted", "message.queued"],
    [{ type: "alreadySent", reply: reply(250, "2.0.0", "OK"), id: "f00" }, "message.accepted"],
    [notSent("later"), "message.deferred"],
    [notSent("refused"), "message.failed"],
    [notSent("later", true), "message.ambiguous"],
  ];
  for (const [outcome, ...types] of CASES) {
    const ambiguous = "ambiguous" in outcome && outcome.ambiguous ? ", perhaps sent" : "";
    it(`that is ${outcome.type}${ambiguous} is ${types.join(" and ")}`, () => {
      const { told } = setUp();
      const events = told(submissionEvent(outcome, CLIENT));
      assert.deepEqual(events.map(({ type }) => type), types);
      if ("code" in outcome) assert.equal(events[0]!.data["code"], "ErrorX");
      // Graph was not asked.
      assert.equal(events[0]!.data["attempts"], undefined);
    });
  }

  it("names no recipient that the service has quoted, but the sender", () => {
    const { told } = setUp();
    const detail = "ann@x.test may not send to bob@y.test";
    const [event] = told(submissionEvent({ ...notSent("refused"), detail } as Outcome, CLIENT));
    assert.equal(event!.data["detail"], "ann@x.test may not send to [address]");
    const [held] = told(queued("held", { code: "ErrorX", detail: "bob@y.test is unknown" }));
    assert.equal(held!.data["detail"], "[address] is unknown");
  });

  it("that was never handed to Graph has no attempts", () => {
    const { told } = setUp();
    const [event] = told(submissionEvent(notSent("refused"), CLIENT));
    assert.equal(event!.data["attempts"], undefined);
  });

  it("says if tenant and app are only claimed", () => {
    const { told } = setUp();
    const principal = principalOf(entryAccount("scanner"), "a token");
    const [event] = told(submissionEvent(notSent("refused"), CLIENT, principal));
    assert.equal(event!.data["proved"], false);
  });

  it("names no recipient in what a service says, but its sender", () => {
    const { told } = setUp();
    const detail = "ErrorInvalidRecipients: 'bea@x.test', <o'brien@x.test>, \"b. c\"@x.test and " +
      "cee@[192.0.2.1] are not valid for Ann@x.test";
    const outcome = { ...notSent("refused"), detail } as Outcome;
    const shown = "ErrorInvalidRecipients: '[address]', <[address]>, [address] and [address] are " +
      "not valid for Ann@x.test";
    assert.equal(told(submissionEvent(outcome, CLIENT))[0]!.data["detail"], shown);
    const [event] = told(queued("dead", { code: "ErrorX", detail, mailbox: "ann@x.test" }));
    assert.equal(event!.data["detail"], shown);
  });

  it("has no text that looks like a secret, and none without end", () => {
    const { told } = setUp();
    const secret = "abc8Q~aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const outcome = {
      ...notSent("refused"),
      detail: `${secret} ${"x".repeat(100_000)}`,
    } as Outcome;
    const [event] = told(submissionEvent(outcome, CLIENT));
    const detail = String(event!.data["detail"]);
    assert.ok(!detail.includes(secret));
    assert.ok(detail.length < 3000);
  });
});

describe("a queued message", () => {
  it("that is set aside says if it may have been sent all the same", () => {
    const { told } = setUp();
    for (const change of ["held", "dead"] as const) {
      const [doubt] = told(queued(change, { code: "AMBIGUOUS", detail: "x", ambiguous: true }));
      assert.equal(doubt!.data["ambiguous"], true);
      const [sure] = told(queued(change, { code: "ErrorX", detail: "x" }));
      assert.ok(!("ambiguous" in sure!.data));
    }
  });

  const CASES: readonly [QueueEvent, string][] = [
    [queued("sent", { requestId: "r-2" }), "message.sent"],
    [queued("deferred", { code: "HTTP 503", detail: "x", due: 1e12 }), "message.deferred"],
    [queued("deferred", { code: "HTTP 504", detail: "x", ambiguous: true }), "message.ambiguous"],
    [queued("held", { code: "AMBIGUOUS", detail: "x" }), "message.held"],
    [queued("dead", { code: "ErrorX", detail: "x" }), "message.failed"],
  ];
  for (const [event, type] of CASES) {
    it(`that is ${event.change}${event.ambiguous ? ", perhaps sent," : ""} is ${type}`, () => {
      const [told, ...others] = setUp().told(event);
      assert.deepEqual(others, []);
      assert.equal(told!.type, type);
      const { id, message_id, username, client, sender, queued, age_seconds } = told!.data;
      assert.deepEqual({ id, message_id, username, client, sender, queued, age_seconds }, {
        id: "0123456789abcdef",
        message_id: "<queued@x.test>",
        username: USERNAME,
        client: "192.0.2.7",
        sender: "scanner@x.test",
        queued: true,
        age_seconds: 65,
      });
    });
  }

  it("is told without what cannot be opened", () => {
    const { record: _, ...message } = queued("held").message;
    const [event] = setUp().told(queued("held", { message, code: "TAMPERED", detail: "x" }));
    assert.equal(event!.data["sender"], undefined);
  });

  it("is bounced once its report is sent", () => {
    const { types } = setUp();
    const record = { ...RECORD, kind: "report" as const };
    const message = { ...queued("sent").message, record };
    assert.deepEqual(types(queued("sent", { message })), ["message.bounced"]);
    assert.deepEqual(types(queued("dead", { message, code: "x", detail: "x" })), [
      "message.failed",
    ]);
  });
});

describe("trouble", () => {
  const credentials = {
    mechanism: "PLAIN",
    username: USERNAME,
    password: new Secret("x"),
  } as const;
  const failed = (code: string, address = CLIENT.address) =>
    loginEvent(credentials, { ...CLIENT, address }, {
      type: "refused",
      reply: reply(535, "5.7.8", "no"),
      detail: "no",
      code,
    });
  const times = (count: number, event: RelayEvent) => Array.from({ length: count }, () => event);

  it("is ten failed logins from one address within ten minutes, and then once an hour", () => {
    const { told, types, clock } = setUp();
    assert.deepEqual(types(...times(9, failed("AADSTS7000215"))), []);
    assert.deepEqual(types(...times(9, failed("AADSTS7000215", "192.0.2.8"))), []);
    const [event] = told(failed("AADSTS7000215"));
    assert.deepEqual([event!.type, event!.data], ["login.failures", {
      client: "192.0.2.7",
      count: 10,
      code: "AADSTS7000215",
    }]);
    assert.deepEqual(types(...times(50, failed("AADSTS7000215"))), []);
    clock.pass(3_600_000);
    const [again] = told(...times(10, failed("AADSTS7000215")));
    assert.equal(again!.type, "login.failures");
    assert.equal(again!.data["count"], 60, "with those of the hour in which nothing was told");
  });

  it("is a hundred addresses an hour at most", () => {
    const { types, clock } = setUp();
    const attack = () =>
      Array.from({ length: 150 }, (_, i) => times(10, failed("AADSTS7000215", `10.0.0.${i}`)));
    assert.equal(types(...attack().flat()).length, 100);
    clock.pass(3_600_000);
    assert.equal(types(...attack().flat()).length, 100);
  });

  it("is not a device that fails now and then", () => {
    const { types, clock } = setUp();
    for (let i = 0; i < 50; i++) {
      assert.deepEqual(types(failed("AADSTS7000215")), []);
      clock.pass(120_000);
    }
  });

  it("is not a login that is deferred", () => {
    const { types } = setUp();
    const deferred = loginEvent(credentials, CLIENT, {
      type: "later",
      reply: reply(454, "4.7.0", "later"),
      detail: "later",
    });
    assert.deepEqual(types(...times(30, deferred)), []);
  });

  it("is an expired secret, once a day for each username", () => {
    const { types, clock } = setUp();
    assert.deepEqual(types(failed("AADSTS7000222")), ["secret.expired"]);
    assert.deepEqual(types(failed("AADSTS7000222")), []);
    clock.pass(86_400_001);
    assert.deepEqual(types(failed("AADSTS7000222")), ["secret.expired"]);
  });

  it("is an expired secret of queued mail", () => {
    const { types } = setUp();
    const held = queued("held", { code: "AADSTS7000222", detail: "x" });
    assert.deepEqual(types(held, held), ["message.held", "secret.expired", "message.held"]);
  });

  it("is an expired secret of an open session", () => {
    const { types } = setUp();
    const outcome = { ...notSent("refused"), code: "AADSTS7000222" } as Outcome;
    const event = submissionEvent(outcome, CLIENT, undefined, { username: USERNAME });
    assert.deepEqual(types(event), ["message.failed", "secret.expired"]);
  });

  it("is told once of a secret that login, message and queue find expired", () => {
    const { told } = setUp();
    const outcome = { ...notSent("refused"), code: "AADSTS7000222" } as Outcome;
    const record = { ...RECORD, username: USERNAME };
    const events = told(
      failed("AADSTS7000222"),
      submissionEvent(outcome, CLIENT, undefined, { username: USERNAME }),
      queued("held", {
        code: "AADSTS7000222",
        message: { id: "0123456789abcdef", size: 10, attempts: 2, age: 65_400, record },
      }),
    );
    assert.equal(events.filter(({ type }) => type === "secret.expired").length, 1);
  });

  it("is a certificate that ends, once a day", () => {
    const { types, told } = setUp();
    const event: RelayEvent = {
      type: "certificate",
      change: "warning",
      level: "WARNING",
      text: "The certificate expires soon",
      fields: { expires: "2026-12-01T00:00:00.000Z" },
    };
    const [first] = told(event);
    assert.deepEqual([first!.type, first!.data["expires"]], [
      "certificate.ending",
      "2026-12-01T00:00:00.000Z",
    ]);
    assert.deepEqual(types(event), []);
    assert.deepEqual(types({ ...event, change: "loaded", level: "INFO" }), []);
  });

  it("is the relay's own certificate for Entra ID that ends, once a day", () => {
    const { types, told } = setUp();
    const event: RelayEvent = {
      type: "clientCertificate",
      change: "warning",
      level: "WARNING",
      text: "Client certificate expires soon",
      fields: { expires: "2026-12-01T00:00:00.000Z", thumbprint: "ABCD" },
    };
    const [first] = told(event);
    assert.equal(first!.type, "credential.ending");
    assert.deepEqual(first!.data, {
      credential: "certificate",
      text: "Client certificate expires soon",
      expires: "2026-12-01T00:00:00.000Z",
    });
    assert.deepEqual(types(event), []);
    assert.deepEqual(types({ ...event, change: "loaded", level: "INFO" }), []);
  });

  it("is a credential of the relay's own that Entra ID refuses, and no device's secret", () => {
    const { types, told, clock } = setUp();
    const refusal: EntraRefusal = {
      type: "later",
      reply: reply(454, "4.7.0", "later"),
      code: "AADSTS7000222",
      detail: "the client secret has expired",
      credential: "secret",
    };
    const event: RelayEvent = { type: "token", milliseconds: 1, refusal };
    const [first] = told(event);
    assert.deepEqual([first!.type, first!.data], ["credential.refused", {
      credential: "secret",
      code: "AADSTS7000222",
      detail: "the client secret has expired",
    }]);
    const { code, detail } = refusal;
    const login = loginEvent(credentials, CLIENT, {
      type: "later",
      reply: refusal.reply,
      code,
      detail,
    });
    const account = { ...RECORD.account, credential: "secret" } as const;
    const record = { ...RECORD, account };
    const message = { id: "0123456789abcdef", size: 10, attempts: 2, age: 65_400, record };
    assert.deepEqual(types(event, login, queued("deferred", { code, detail, message })), [
      "message.deferred",
    ]);
    clock.pass(86_400_001);
    assert.deepEqual(types(event), ["credential.refused"]);
    const { credential: _, ...others } = refusal;
    assert.deepEqual(types({ ...event, refusal: others }), []);
  });
});

describe("a way out that is down", () => {
  const down: RelayEvent = {
    type: "backend",
    backend: "graph",
    change: "down",
    code: "ErrorServerBusy",
    detail: "Graph is busy for ann@x.test",
  };
  const up: RelayEvent = { type: "backend", backend: "graph", change: "up" };

  it("is told with its reason and without addresses, and when it takes messages again", () => {
    const [first, second, ...others] = setUp().told(down, up);
    assert.deepEqual([first!.type, first!.data], ["backend.down", {
      backend: "graph",
      code: "ErrorServerBusy",
      detail: "Graph is busy for [address]",
    }]);
    assert.deepEqual([second!.type, second!.data], ["backend.up", { backend: "graph" }]);
    assert.deepEqual(others, []);
  });

  it("is told once an hour if it goes and comes back, each way by itself", () => {
    const { types, clock } = setUp();
    assert.deepEqual(types(down, up, down, up, { ...down, backend: "exchange" }), [
      "backend.down",
      "backend.up",
      "backend.down",
    ]);
    clock.pass(3_600_000);
    assert.deepEqual(types(down), ["backend.down"]);
  });
});

it("the schema has exactly the types that there are", () => {
  assert.deepEqual(schema.properties.type.enum, [...WEBHOOK_TYPES]);
});
