/** The spans of events: parents, times, names and attributes, and what must be in none. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Outcome } from "../../src/delivery/delivery.ts";
import type { Step } from "../../src/delivery/steps.ts";
import type { MessageEvent, QueueEvent, RelayEvent } from "../../src/observe/relay_event.ts";
import { Secret } from "../../src/secret.ts";
import { reply } from "../../src/smtp/reply.ts";
import { type SpanContext, spansOf } from "../../src/traces/event_spans.ts";
import type { Span } from "../../src/traces/span.ts";
import {
  ACCOUNT,
  connectionEvent,
  entryAccount,
  loginEvent,
  PRINCIPAL,
  principalOf,
  submissionEvent,
} from "../support/events.ts";
import { CLIENT as APP, TENANT } from "../support/logins.ts";

const CLIENT = {
  connection: "c0ffee12",
  address: "192.0.2.7",
  port: 4711,
  tls: { version: "TLSv1.3", cipher: "TLS_AES_256_GCM_SHA384" },
};
const NOW = Date.UTC(2026, 10, 5, 6, 7, 8);
/** The steady clock has not followed a change of the machine's time by an hour. */
const CONTEXT: SpanContext = {
  now: NOW,
  steady: NOW - 3_600_000,
  services: { graph: "graph.test", entra: "entra.test" },
};
const OK = reply(250, "2.0.0", "OK");
const SENT: Outcome = { type: "sent", reply: OK, requestId: "r-1" };
const ID = "0123456789abcdef";
const OWN = "smtp_oauth_relay.";

const spans = (event: RelayEvent) => spansOf(event, CONTEXT);

function step(part: Partial<Step>, ago: number, milliseconds: number): Step {
  return { name: "request", at: CONTEXT.steady - ago, milliseconds, ...part };
}

function messageEvent(outcome: Outcome, part: Partial<MessageEvent> = {}): RelayEvent {
  return { ...submissionEvent(outcome, CLIENT) as MessageEvent, ...part };
}

function queueEvent(part: Partial<QueueEvent> = {}, record: object = {}): QueueEvent {
  return {
    type: "queue",
    change: "sent",
    message: {
      id: ID,
      size: 77,
      attempts: 2,
      age: 90_400,
      record: {
        kind: "message",
        account: ACCOUNT,
        username: PRINCIPAL.username,
        envelope: { from: "ann@x.test", recipients: ["bea@x.test"] },
        messageId: "<1@x.test>",
        client: CLIENT.address,
        connection: CLIENT.connection,
        ...record,
      },
    },
    steps: [],
    ...part,
  };
}

const [session] = spans(connectionEvent(CLIENT));

describe("the span of a session", () => {
  it("is a root, and has the client, TLS and the times", () => {
    const [span, ...others] = spans(connectionEvent(CLIENT, { milliseconds: 1500, received: 42 }));
    assert.deepEqual(others, []);
    assert.equal(span!.ids.parent, undefined);
    assert.deepEqual([span!.start, span!.end, span!.kind], [NOW - 1500, NOW, "server"]);
    assert.deepEqual(span!.attributes, {
      "client.address": "192.0.2.7",
      [`${OWN}connection`]: "c0ffee12",
      "client.port": 4711,
      "network.peer.address": "192.0.2.7",
      "network.transport": "tcp",
      "network.protocol.name": "smtp",
      "tls.protocol.name": "tls",
      "tls.protocol.version": "1.3",
      "tls.cipher": "TLS_AES_256_GCM_SHA384",
      [`${OWN}messages`]: 1,
      [`${OWN}received`]: 42,
      [`${OWN}reason`]: "QUIT",
    });
    assert.equal(span!.error, undefined);
  });

  it("names the proxy as the peer, where there is one", () => {
    const [span] = spans(connectionEvent({ ...CLIENT, proxy: "10.0.0.1" }));
    assert.equal(span!.attributes["network.peer.address"], "10.0.0.1");
    assert.equal(span!.attributes["client.address"], "192.0.2.7");
  });

  it("has an error where the handshake failed or the connection broke", () => {
    const errorOf = (part: object) => spans(connectionEvent(CLIENT, part))[0]?.error;
    assert.equal(errorOf({ handshakeFailed: true, received: 0 }), "tls_handshake");
    assert.equal(errorOf({ error: true, received: 0 }), "connection");
  });

  it("is left out for a probe that connects and leaves", () => {
    assert.deepEqual(spans(connectionEvent(CLIENT, { received: 0, messages: 0 })), []);
  });

  it("has ids of its own for another connection or client", () => {
    const ids = [
      CLIENT,
      { ...CLIENT, connection: "c0ffee13" },
      { ...CLIENT, address: "192.0.2.8" },
    ].flatMap((client) => Object.values(spans(connectionEvent(client))[0]!.ids));
    assert.equal(new Set(ids).size, 6);
    assert.deepEqual(spans(connectionEvent(CLIENT))[0]!.ids, session!.ids);
  });
});

describe("the span of a login", () => {
  const credentials = {
    mechanism: "PLAIN",
    username: "printer@lookup",
    password: new Secret("S3cret"),
  } as const;

  it("is in the session, and has the request for a token in it", () => {
    const event = loginEvent(credentials, CLIENT, principalOf(entryAccount("printer")));
    const [login, token, ...others] = spans({
      ...event as object,
      milliseconds: 80,
      steps: [step({ name: "token" }, 70, 60)],
    } as unknown as RelayEvent);
    assert.deepEqual(others, []);
    assert.equal(login!.ids.trace, session!.ids.trace);
    assert.equal(login!.ids.parent, session!.ids.span);
    assert.deepEqual([login!.start, login!.end], [NOW - 80, NOW]);
    assert.equal(login!.attributes[`${OWN}username`], "printer@lookup");
    assert.equal(login!.attributes[`${OWN}entry`], "printer");
    assert.equal(token!.ids.parent, login!.ids.span);
    assert.deepEqual([token!.name, token!.kind], ["token", "client"]);
    assert.deepEqual([token!.start, token!.end], [NOW - 70, NOW - 10]);
    assert.deepEqual(token!.attributes, { "server.address": "entra.test" });
  });

  it("has the code of a refusal, and not its words", () => {
    const refusal = {
      type: "refused",
      reply: reply(535, "5.7.8", "no"),
      detail: "AADSTS7000215: secret words",
      code: "AADSTS7000215",
    } as const;
    const [login] = spans(loginEvent(credentials, CLIENT, refusal));
    assert.equal(login!.error, "AADSTS7000215");
    assert.equal(login!.attributes[`${OWN}reply`], 535);
    assert.doesNotMatch(JSON.stringify(login), /secret words/);
  });
});

describe("the span of a message", () => {
  it("has the message's id as its own, is in the session, and has the steps in it", () => {
    const [message, receive, prepare, request, ...others] = spans(messageEvent(SENT, {
      receiving: 20,
      milliseconds: 100,
      steps: [
        step({ name: "prepare" }, 95, 5),
        step({ target: "POST sendMail", result: 202 }, 90, 85),
      ],
    }));
    assert.deepEqual(others, []);
    assert.deepEqual(message!.ids, {
      trace: session!.ids.trace,
      span: ID,
      parent: session!.ids.span,
    });
    assert.deepEqual([message!.start, message!.end], [NOW - 120, NOW]);
    for (const child of [receive, prepare, request]) {
      assert.equal(child!.ids.trace, session!.ids.trace);
      assert.equal(child!.ids.parent, ID);
      assert.match(child!.ids.span, /^[0-9a-f]{16}$/);
    }
    assert.deepEqual([receive!.start, receive!.end], [NOW - 120, NOW - 100]);
    assert.deepEqual([prepare!.start, prepare!.end], [NOW - 95, NOW - 90]);
    assert.deepEqual([request!.start, request!.end], [NOW - 90, NOW - 5]);
    assert.deepEqual([request!.name, request!.kind], ["POST sendMail", "client"]);
    assert.deepEqual(request!.attributes, {
      "server.address": "graph.test",
      "http.request.method": "POST",
      "http.response.status_code": 202,
    });
  });

  it("has who sent it, from where and what became of it", () => {
    const event = submissionEvent(
      { ...SENT, attempts: 3, mailbox: "box@x.test" },
      CLIENT,
      principalOf(entryAccount("printer")),
      {
        messageId: "<1@x.test>",
        envelope: { from: "ann@x.test", recipients: ["a@x.test", "b@x.test"] },
      },
    );
    const [message] = spans(event);
    const { [`${OWN}bytes`]: bytes, ...rest } = message!.attributes;
    assert(Number(bytes) > 0);
    assert.deepEqual(rest, {
      "client.address": "192.0.2.7",
      [`${OWN}connection`]: "c0ffee12",
      [`${OWN}id`]: ID,
      [`${OWN}message_id`]: "<1@x.test>",
      [`${OWN}username`]: "printer@lookup",
      [`${OWN}tenant`]: TENANT,
      [`${OWN}app`]: APP,
      [`${OWN}entry`]: "printer",
      [`${OWN}sender`]: "box@x.test",
      [`${OWN}mail_from`]: "ann@x.test",
      [`${OWN}recipients`]: 2,
      [`${OWN}reply`]: 250,
      [`${OWN}result`]: "sent",
      [`${OWN}attempts`]: 3,
      [`${OWN}request`]: "r-1",
    });
  });

  it("has how often it was tried: once where nothing else is said, and never if Graph was not asked", () => {
    const no = { reply: reply(451, "4.0.0", "no"), ambiguous: false, code: "ErrorX", detail: "d" };
    const request = { name: "request", at: 0, milliseconds: 1, target: "POST sendMail" } as const;
    const attempts = (outcome: Outcome, steps: readonly Step[]) =>
      spans({ ...submissionEvent(outcome, CLIENT), steps } as RelayEvent)[0]!
        .attributes[`${OWN}attempts`];
    assert.equal(attempts(SENT, []), 1);
    assert.equal(attempts({ type: "later", ...no }, [request, request]), 2);
    assert.equal(attempts({ type: "later", ...no }, []), undefined);
  });

  it("says every result, and has an error unless the client got its 250", () => {
    const no = { reply: reply(451, "4.0.0", "no"), ambiguous: false, code: "ErrorX", detail: "d" };
    const results: [Outcome, string, string | undefined][] = [
      [SENT, "sent", undefined],
      [{ type: "queued", reply: OK }, "queued", undefined],
      [{ type: "alreadySent", reply: OK, id: "a1" }, "repeated", undefined],
      [{ type: "later", ...no }, "deferred", "ErrorX"],
      [{ type: "refused", ...no }, "refused", "ErrorX"],
      [{ type: "later", ...no, ambiguous: true }, "ambiguous", "ErrorX"],
    ];
    for (const [outcome, result, error] of results) {
      const [message] = spans(messageEvent(outcome));
      assert.equal(message!.attributes[`${OWN}result`], result);
      assert.equal(message!.error, error);
    }
  });

  it("has requests with errors in it: a status of 400 and more, or the network's code", () => {
    const errorOf = (part: Partial<Step>) =>
      spans(messageEvent(SENT, { steps: [step(part, 5, 1)] })).at(-1)!;
    assert.equal(errorOf({ result: 503, target: "POST sendMail" }).error, "503");
    assert.equal(errorOf({ result: 399, target: "POST sendMail" }).error, undefined);
    const broken = errorOf({ result: "ECONNRESET", target: "PUT upload" });
    assert.equal(broken.error, "ECONNRESET");
    assert.deepEqual(broken.attributes, { "http.request.method": "PUT" });
    assert.equal(errorOf({ name: "token", result: "AADSTS50034" }).error, "AADSTS50034");
  });
});

describe("the span of a try to send a queued message", () => {
  it("is a child of the message's span, whose process may be another one", () => {
    const steps = [
      step({ name: "token" }, 40, 10),
      step({ target: "POST sendMail", result: 202 }, 30, 25),
    ];
    const [tried, token, request, ...others] = spans(queueEvent({ steps, requestId: "r-2" }));
    assert.deepEqual(others, []);
    assert.equal(tried!.ids.trace, session!.ids.trace);
    assert.equal(tried!.ids.parent, ID);
    assert.equal(tried!.ids.remote, true);
    assert.deepEqual([tried!.start, tried!.end, tried!.kind], [NOW - 40, NOW, "consumer"]);
    assert.equal(token!.ids.parent, tried!.ids.span);
    assert.equal(request!.ids.parent, tried!.ids.span);
    assert.equal(tried!.attributes[`${OWN}id`], ID);
    assert.equal(tried!.attributes[`${OWN}message_id`], "<1@x.test>");
    assert.equal(tried!.attributes[`${OWN}attempts`], 2);
    assert.equal(tried!.attributes[`${OWN}age_s`], 90);
    assert.equal(tried!.attributes[`${OWN}result`], "sent");
    assert.equal(tried!.attributes[`${OWN}request`], "r-2");
    const [again] = spans(queueEvent({ steps }));
    assert.notEqual(again!.ids.span, tried!.ids.span);
  });

  it("has the code of a failure as its error", () => {
    const [deferred] = spans(
      queueEvent({ change: "deferred", code: "ETIMEDOUT", ambiguous: true }),
    );
    assert.equal(deferred!.error, "ETIMEDOUT");
    assert.equal(deferred!.attributes[`${OWN}result`], "ambiguous");
    const [found] = spans(queueEvent({ code: "FOUND" }));
    assert.equal(found!.error, undefined);
  });

  it("is a root for a report, which no client has sent, and where the record cannot be opened", () => {
    const [report] = spans(queueEvent({}, { kind: "report", client: "127.0.0.1" }));
    assert.equal(report!.ids.parent, undefined);
    assert.equal(report!.attributes[`${OWN}report`], true);
    const { record: _, ...message } = queueEvent().message;
    const [closed] = spans(queueEvent({ change: "held", code: "QUEUE_KEY", message }));
    assert.equal(closed!.ids.parent, undefined);
    assert.equal(closed!.attributes[`${OWN}id`], ID);
  });
});

describe("no span", () => {
  it("has a recipient, a subject, a secret or the words of a service", () => {
    const secret = "aB3~cdefghijklmnopqrstuvwxyz0123456789AB";
    const outcome: Outcome = {
      type: "refused",
      reply: reply(554, "5.0.0", "recipient bea@x.test"),
      ambiguous: false,
      code: "ErrorX",
      detail: "recipient bea@x.test",
    };
    const all: readonly Span[] = [
      ...spans(submissionEvent(outcome, CLIENT, PRINCIPAL, {
        username: secret,
        envelope: { from: `${secret}@x.test`, recipients: ["bea@x.test"] },
        messageId: `<${secret}>`,
      })),
      ...spans(queueEvent({ change: "dead", code: "ErrorX", detail: "recipient bea@x.test" })),
    ];
    assert(all.length >= 3);
    assert.doesNotMatch(JSON.stringify(all), /bea@x\.test|aB3~cdef|[Ss]ubject/);
  });

  it("has a text of more than 256 characters, or half a character", () => {
    const [message] = spans(submissionEvent(SENT, CLIENT, PRINCIPAL, {
      messageId: `<${"x".repeat(254)}\u{1f600}${"y".repeat(9000)}>`,
    }));
    const id = String(message!.attributes[`${OWN}message_id`]);
    assert.equal(id.length, 256);
    assert(id.isWellFormed());
  });

  it("is made of other events", () => {
    assert.deepEqual(spans({ type: "fault", error: new Error("x") }), []);
    assert.deepEqual(spans({ type: "lookupRecovered" }), []);
  });
});
