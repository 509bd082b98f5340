/** What the status page knows of events: bounded, and without recipients, contents and secrets. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { LoginFailure } from "../../src/accounts/account.ts";
import type { NotSent, Sent } from "../../src/delivery/delivery.ts";
import type { QueueEvent, RelayEvent } from "../../src/observe/relay_event.ts";
import { reply } from "../../src/smtp/reply.ts";
import type { ServiceName } from "../../src/status/services.ts";
import { Status } from "../../src/status/status.ts";
import type { Client } from "../../src/submission/submission_service.ts";
import {
  ACCOUNT,
  entryAccount,
  limitEvent,
  loginEvent,
  PRINCIPAL,
  principalOf,
  refusedEvent,
  submissionEvent,
} from "../support/events.ts";
import { FakeClock } from "../support/fake_clock.ts";

const SENT: Sent = { type: "sent", reply: reply(250, "2.0.0", "OK"), requestId: "request-1" };
const REFUSED: NotSent = {
  type: "refused",
  reply: reply(550, "5.1.0", "no mailbox"),
  ambiguous: false,
  code: "ErrorInvalidUser",
  detail: "the sender has no mailbox (ann@x.test is not bea@x.test)",
};
const WRONG: LoginFailure = {
  type: "refused",
  reply: reply(535, "5.7.8", "no"),
  code: "AADSTS7000215",
  detail: "the client secret is wrong",
};
const SERVICES: readonly ServiceName[] = [
  "Entra ID",
  "Graph",
  "Lookup file",
  "Lookup table",
  "Key Vault",
  "Queue",
  "Webhook",
  "Trace collector",
];

function clientAt(address: string): Client {
  return { connection: "c0ffee", address, port: 1 };
}

const CLIENT = clientAt("192.0.2.7");

function setUp(maxMessages = 3) {
  const clock = new FakeClock();
  const status = new Status({ maxMessages, services: SERVICES, clock });
  const tell = (...events: readonly RelayEvent[]) => events.forEach(status.notify);
  return { clock, status, tell, messages: () => status.messages.since(0) };
}

/** A message whose requests had these results. */
function requested(id: string, results: readonly (number | string)[], outcome?: NotSent) {
  const steps = results.map((result) => ({ name: "request", at: 0, milliseconds: 1, result }));
  return { ...message(id, outcome), steps } as RelayEvent;
}

function message(id: string, outcome: Parameters<typeof submissionEvent>[0] = SENT): RelayEvent {
  return submissionEvent(outcome, CLIENT, PRINCIPAL, { id, messageId: `<${id}@x.test>` });
}

function queueEvent(id: string, part: Partial<QueueEvent>): QueueEvent {
  const record = {
    kind: "message",
    account: ACCOUNT,
    username: PRINCIPAL.username,
    envelope: { from: "ann@x.test", recipients: ["bea@x.test"] },
    messageId: `<${id}@x.test>`,
    client: CLIENT.address,
    connection: "c0ffee",
  } as const;
  const queued = { id, size: 12, attempts: 1, age: 5_000, record };
  return { type: "queue", change: "sent", message: queued, steps: [], ...part };
}

describe("the messages", () => {
  it("are the last STATUS_MESSAGES", () => {
    const { tell, messages } = setUp(3);
    for (let i = 1; i <= 5; i++) tell(message(`id${i}`));
    assert.deepEqual(messages().map(({ id }) => id), ["id3", "id4", "id5"]);
  });

  it("are none with STATUS_MESSAGES=0, while devices and services are known", () => {
    const { tell, messages, status } = setUp(0);
    tell(message("id1"), queueEvent("id2", {}));
    assert.deepEqual(messages(), []);
    assert.equal(status.devices.size, 1);
  });

  it("have what finds them, and their fate", () => {
    const { tell, messages } = setUp();
    tell(message("id1"));
    assert.deepEqual(
      messages(),
      [{
        id: "id1",
        at: Date.UTC(2026, 10, 5, 6, 7, 8),
        fate: "sent",
        sender: "ann@x.test",
        messageId: "<id1@x.test>",
        username: PRINCIPAL.username,
        address: "192.0.2.7",
        size: 57,
        milliseconds: 13,
        requestId: "request-1",
        attempts: 1,
      }],
    );
  });

  it("hold no recipient, no content and no secret", () => {
    const { tell, status } = setUp();
    const secret = "Qx8~abcdefghijklmnopqrstuvwxyz0123456789";
    tell(
      message("id1", { ...REFUSED, detail: `${REFUSED.detail}; ${secret}` }),
      queueEvent("id2", { change: "dead", code: "X", detail: "Recipient 'bea@x.test' is bad" }),
      loginEvent({ mechanism: "PLAIN", username: secret, token: secret } as never, CLIENT, {
        ...WRONG,
        detail: `wrong: ${secret}`,
      }),
    );
    const kept = JSON.stringify([
      status.messages.since(0),
      status.devices.since(0),
      status.logins.since(0),
      [...status.services.states],
    ]);
    assert.ok(kept.includes("the sender has no mailbox (ann@x.test is not [address])"), kept);
    for (const hidden of ["bea@", "Qx8~", "Subject", "Grü"]) {
      assert.ok(!kept.includes(hidden), hidden);
    }
  });

  it("follow what becomes of them in the queue, in their place", () => {
    const { tell, messages, clock } = setUp();
    const queued = { type: "queued", reply: reply(250, "2.0.0", "OK") } as const;
    tell(message("id1", queued), message("id2", queued));
    const fate = () => messages().map(({ id, fate }) => `${id} ${fate}`);
    assert.deepEqual(fate(), ["id1 queued", "id2 queued"]);
    const due = clock.date() + 60_000;
    tell(queueEvent("id1", { change: "deferred", code: "ECONNREFUSED", detail: "no way", due }));
    assert.deepEqual(fate(), ["id1 deferred", "id2 queued"]);
    assert.deepEqual([messages()[0]!.due, messages()[0]!.reason?.failure.code], [
      due,
      "ECONNREFUSED",
    ]);
    tell(queueEvent("id1", { change: "deferred", ambiguous: true, code: "X", detail: "?" }));
    assert.deepEqual(fate(), ["id1 ambiguous", "id2 queued"]);
    tell(queueEvent("id2", { change: "held", code: "X", detail: "?" }));
    tell(queueEvent("id1", { change: "sent", requestId: "request-2" }));
    assert.deepEqual(fate(), ["id1 sent", "id2 held"]);
    const [first] = messages();
    assert.deepEqual([first?.reason, first?.due, first?.requestId, first?.milliseconds], [
      undefined,
      undefined,
      "request-2",
      13,
    ]);
  });

  it("of another process are listed when the queue sends them", () => {
    const { tell, messages, clock } = setUp();
    tell(queueEvent("id9", {}));
    const [found] = messages();
    assert.deepEqual([found?.id, found?.at, found?.sender, found?.messageId, found?.address], [
      "id9",
      clock.date() - 5_000,
      "ann@x.test",
      "<id9@x.test>",
      "192.0.2.7",
    ]);
  });
});

describe("the devices", () => {
  const from = (username: string, address: string, outcome: Sent | NotSent = SENT) => {
    const principal = { ...principalOf(entryAccount(username)), username };
    return submissionEvent(outcome, clientAt(address), principal);
  };

  it("are told apart by username and address, with what they sent today", () => {
    const { tell, status, clock } = setUp();
    tell(from("scanner@lookup", "192.0.2.1"), from("scanner@lookup", "192.0.2.1"));
    tell(from("scanner@lookup", "192.0.2.2"), from("ups@lookup", "192.0.2.2", REFUSED));
    const rows = () =>
      status.devices.since(0).map(({ username, address, sent, failed, messages }) => [
        username,
        address,
        sent !== undefined,
        failed?.failure.code,
        messages,
      ]);
    assert.deepEqual(rows(), [
      ["scanner@lookup", "192.0.2.1", true, undefined, 2],
      ["scanner@lookup", "192.0.2.2", true, undefined, 1],
      ["ups@lookup", "192.0.2.2", false, "ErrorInvalidUser", 0],
    ]);
    clock.skip(86_400_000);
    tell(from("scanner@lookup", "192.0.2.1"));
    assert.deepEqual(rows().at(-1), ["scanner@lookup", "192.0.2.1", true, undefined, 1]);
  });

  it("and messages name the entry of a login by tenant and client", () => {
    const { tell, status, messages } = setUp();
    const principal = { ...principalOf(entryAccount("scanner")), username: PRINCIPAL.username };
    tell(submissionEvent(SENT, CLIENT, principal));
    for (const row of [messages()[0], status.devices.since(0)[0]]) {
      assert.deepEqual([row?.username, row?.entry], [PRINCIPAL.username, "scanner"]);
    }
  });

  it("are 1,000 that have logged in, and none of them goes for strangers", () => {
    const { tell, status } = setUp();
    tell(from("scanner@lookup", "192.0.2.1"));
    for (let i = 0; i < 5_000; i++) {
      const credentials = { mechanism: "PLAIN", username: `guess${i}@lookup` } as never;
      tell(loginEvent(credentials, CLIENT, WRONG));
    }
    assert.equal(status.devices.size, 201);
    assert.ok(status.devices.since(0).some(({ username }) => username === "scanner@lookup"));
    for (let i = 0; i < 3_000; i++) tell(from(`d${i}@lookup`, "192.0.2.1"));
    assert.equal(status.devices.size, 1_200);
  });

  it("that name no user at all keep the forms that the relay expects", () => {
    const { tell, status } = setUp();
    const detail = 'the username has no "@"; expected tenant@client or id@lookup';
    tell(loginEvent({ mechanism: "PLAIN", username: "x" } as never, CLIENT, { ...WRONG, detail }));
    assert.equal(status.devices.since(0)[0]?.failed?.failure.detail, detail);
    assert.equal(status.logins.since(0)[0]?.reason, detail);
  });

  it("that try the same wrong password again still have the short reason", () => {
    const { tell, status } = setUp();
    const detail = `${WRONG.detail} (remembered: Entra ID said so 3 s ago and was not asked again)`;
    tell(loginEvent({ mechanism: "PLAIN", username: "x" } as never, CLIENT, { ...WRONG, detail }));
    assert.equal(status.devices.since(0)[0]?.failed?.failure.detail, WRONG.detail);
  });

  it("that log in after they failed are strangers no more", () => {
    const { tell, status } = setUp();
    const credentials = { mechanism: "PLAIN", username: "scanner@lookup" } as never;
    tell(loginEvent(credentials, CLIENT, WRONG));
    assert.deepEqual(status.devices.since(0).map(({ known }) => known), [false]);
    tell(loginEvent(credentials, CLIENT, principalOf(entryAccount("scanner"))));
    const [device] = status.devices.since(0);
    assert.deepEqual([status.devices.size, device?.known, device?.failed?.type], [
      1,
      true,
      "login",
    ]);
  });

  it("know why the session itself has refused mail", () => {
    const { tell, status } = setUp();
    const refusal = {
      command: "RCPT",
      reply: reply(452, "4.5.3", "Too many recipients"),
      authenticated: true,
    } as const;
    tell(refusedEvent(refusal, CLIENT, PRINCIPAL, "MAX_RECIPIENTS"));
    assert.deepEqual(status.devices.since(0)[0]?.failed?.failure, {
      type: "later",
      code: "MAX_RECIPIENTS",
      detail: "Too many recipients",
      ambiguous: false,
    });
  });

  it("do not know a login that only claims to be of an account", () => {
    const { tell, status } = setUp();
    const claimed = principalOf(ACCOUNT, "token 1");
    tell(loginEvent({ mechanism: "XOAUTH2", username: "", token: "x" } as never, CLIENT, claimed));
    tell(submissionEvent(SENT, CLIENT, claimed));
    assert.equal(status.devices.size, 0);
  });
});

describe("failed logins", () => {
  it("are counted by address, IPv6 by its /64, 500 at most", () => {
    const { tell, status } = setUp();
    const credentials = { mechanism: "PLAIN", username: "scanner@lookup" } as never;
    for (const address of ["2001:db8::1", "2001:db8::2", "192.0.2.1"]) {
      tell(loginEvent(credentials, clientAt(address), WRONG));
    }
    tell(limitEvent("AUTH_RATE_LIMIT", clientAt("192.0.2.1"), "Too many failed logins"));
    const rows = status.logins.since(0);
    assert.deepEqual(rows.map(({ count }) => count), [2, 1]);
    assert.equal(rows[1]?.reason, WRONG.detail);
    assert.equal(typeof rows[1]?.limited, "number");
    for (let i = 0; i < 1_000; i++) {
      tell(loginEvent(credentials, clientAt(`10.0.${i >> 8}.${i & 255}`), WRONG));
    }
    assert.equal(status.logins.size, 500);
  });
});

describe("throttled mailboxes", () => {
  it("are those for which Graph answered 429", () => {
    const { tell, status } = setUp();
    const steps = [{ name: "request", at: 0, milliseconds: 1, result: 429 }] as const;
    tell(requested("id1", [429, 429, 202]));
    tell(queueEvent("id2", { steps, change: "deferred", code: "X", detail: "" }));
    const [row] = status.mailboxes.since(0);
    assert.deepEqual([row?.mailbox, row?.app, row?.count], ["ann@x.test", ACCOUNT.clientId, 3]);
    assert.equal(status.mailboxes.size, 1);
  });
});

describe("services", () => {
  const later = (code: string) =>
    ({
      type: "later",
      code,
      detail: "Entra ID cannot be reached",
      reply: reply(454, "4.7.0", "later"),
    }) as const;

  it("have not answered since the first failure after their last answer", () => {
    const { tell, status, clock } = setUp();
    const since = () => status.services.state("Entra ID")?.silentSince;
    tell({ type: "token", milliseconds: 5, refusal: later("ECONNREFUSED") });
    const first = clock.date();
    clock.skip(1_000);
    tell({ type: "token", milliseconds: 5, refusal: later("ETIMEDOUT") });
    assert.equal(since(), first);
    assert.equal(status.services.state("Entra ID")?.failed?.code, "ETIMEDOUT");
    // A refusal is an answer.
    tell({
      type: "token",
      milliseconds: 5,
      refusal: { ...later("AADSTS7000215"), type: "refused" },
    });
    assert.equal(since(), undefined);
    assert.equal(status.services.state("Entra ID")?.succeeded, clock.date());
  });

  it("that answer with a fault of theirs have failed, but are there", () => {
    const { tell, status } = setUp();
    tell({ type: "token", milliseconds: 5, refusal: later("AADSTS90033") });
    const { silentSince, failed, succeeded } = status.services.state("Entra ID")!;
    assert.deepEqual([silentSince, failed?.code, succeeded], [undefined, "AADSTS90033", undefined]);
  });

  it("are Graph, by the requests of a message; the queue; the table; the vault", () => {
    const { tell, status } = setUp();
    const state = (name: ServiceName) => {
      const { succeeded, failed, silentSince } = status.services.state(name)!;
      return [succeeded !== undefined, failed?.code, silentSince !== undefined];
    };
    const unreachable = { ...REFUSED, type: "later", code: "ECONNRESET" } as const;
    tell(requested("id1", ["ECONNRESET"], unreachable));
    assert.deepEqual(state("Graph"), [false, "ECONNRESET", true]);
    tell(requested("id2", [503, 202]));
    assert.deepEqual(state("Graph"), [true, "ECONNRESET", false]);
    tell({ type: "queueFailed", code: "SQLITE_FULL", detail: "full" });
    assert.deepEqual(state("Queue"), [false, "SQLITE_FULL", true]);
    tell(queueEvent("id3", {}));
    assert.deepEqual(state("Queue"), [true, "SQLITE_FULL", false]);
    const trouble = {
      type: "trouble",
      code: "TableNotFound",
      detail: "no table",
      gone: true,
      concerns: "table",
    } as const;
    tell({ type: "lookupFailed", trouble, served: false });
    assert.deepEqual(state("Lookup table"), [false, "TableNotFound", true]);
    tell({ type: "lookupAnswered" });
    assert.deepEqual(state("Lookup table"), [true, "TableNotFound", false]);
    const report = { entries: 1, unusable: { count: 0, named: [] } } as const;
    const file = { type: "lookupFile", recovered: false } as const;
    tell({ ...file, report: { type: "kept", reason: "line 1, column 1: no", entries: 1 } });
    assert.deepEqual(state("Lookup file"), [false, "", false]);
    tell({ ...file, report: { type: "replaced", ...report } });
    assert.deepEqual(state("Lookup file"), [true, "", false]);
    const certificate = { type: "certificate", level: "INFO", text: "Certificate" } as const;
    tell({ ...certificate, change: "kept", fields: { reason: "the vault is locked" } });
    assert.deepEqual(state("Key Vault"), [false, "", true]);
    tell({ ...certificate, change: "unchanged", fields: {} });
    assert.deepEqual(state("Key Vault"), [true, "", false]);
    // The relay's own certificate for Entra ID, from files and from the vault.
    const own = { ...certificate, type: "clientCertificate", change: "kept" } as const;
    tell({ ...own, fields: { source: "file", reason: "half a file" } });
    assert.deepEqual(state("Key Vault"), [true, "", false]);
    tell({ ...own, fields: { source: "keyvault", reason: "the vault is locked" } });
    assert.deepEqual(state("Key Vault"), [true, "", true]);
    // A refusal of the relay's own credential is an answer, whatever its code.
    const refusal = {
      type: "later",
      reply: reply(454, "4.7.0", "x"),
      code: "invalid_client",
      detail: "x",
    } as const;
    tell({
      type: "token",
      milliseconds: 1,
      refusal: { ...refusal, credential: "certificate" },
    });
    assert.deepEqual(state("Entra ID"), [false, "invalid_client", false]);
    tell({ type: "token", milliseconds: 1, refusal });
    assert.deepEqual(state("Entra ID"), [false, "invalid_client", true]);
  });

  it("are the receivers of events and traces, and an open page sees at once that one fails", () => {
    const { status } = setUp();
    let changes = 0;
    status.subscribe(() => void changes++);
    const { version } = status;
    status.received("Webhook", { code: "HTTP 503", detail: "the receiver is away" });
    const { failed, silentSince } = status.services.state("Webhook")!;
    assert.deepEqual([failed?.code, silentSince], ["HTTP 503", failed?.at]);
    status.received("Webhook");
    assert.equal(status.services.state("Webhook")!.silentSince, undefined);
    assert.deepEqual([changes, status.version], [2, version + 2]);
    assert.equal(status.services.state("Trace collector")?.succeeded, undefined);
  });
});

describe("the last hour", () => {
  it("has the messages of each minute, and how long they took", () => {
    const { tell, status, clock } = setUp();
    tell(message("id1"), message("id2"), message("id3", REFUSED));
    clock.skip(60_000);
    tell(message("id4"));
    const hour = status.hour.view(clock.date());
    assert.deepEqual(hour.accepted.slice(-3), [0, 2, 1]);
    assert.deepEqual(hour.failed.slice(-3), [0, 1, 0]);
    assert.equal(hour.accepted.length, 60);
    // 12.6 ms lie between two bounds, 10 and 25 ms.
    assert.ok(hour.median.at(-1)! > 10 && hour.slow.at(-1)! <= 25);
    assert.equal(hour.median.at(-3), null);
    clock.skip(60 * 60_000);
    assert.deepEqual(status.hour.view(clock.date()).accepted.filter((count) => count > 0), []);
  });
});

describe("a page that listens", () => {
  it("is told what has changed since, and nothing is kept for it", () => {
    const { tell, status } = setUp();
    tell(message("id1"), message("id2"));
    const { version } = status;
    assert.deepEqual(status.messages.since(version), []);
    let told = 0;
    const stop = status.subscribe(() => told++);
    tell(message("id3"));
    stop();
    tell(message("id4"));
    assert.equal(told, 1);
    assert.deepEqual(status.messages.since(version).map(({ id }) => id), ["id3", "id4"]);
  });
});
