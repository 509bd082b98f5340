/** One delivery by SMTP: when it is tried again, what it says before it sends, and what it makes of its token. */
import { Buffer } from "node:buffer";
import assert from "node:assert/strict";
import { setImmediate } from "node:timers/promises";
import { describe, it } from "node:test";
import type { SendingProgress, ServiceOutcome } from "../../src/delivery/delivery.ts";
import { Steps } from "../../src/delivery/steps.ts";
import { Secret } from "../../src/secret.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { accountWith, mailOf, tokenOf } from "../support/submissions.ts";
import { noToken } from "../queue/queue_world.ts";
import { smtpRemedy } from "../../src/smtp_backend/smtp_errors.ts";
import {
  accepted,
  CONVERSATION,
  exchangeBackend,
  failed,
  FakeServer,
  refused,
  said,
} from "./server.ts";

const MAIL = mailOf("ann@x.test");

function world(answers: FakeServer["answers"] = []) {
  const clock = new FakeClock();
  const server = new FakeServer(clock);
  server.answers = answers;
  const authorization = accountWith(tokenOf("t"));
  const backend = exchangeBackend(server, clock);
  return { clock, server, authorization, backend };
}

function notSent(outcome: ServiceOutcome) {
  assert(outcome.type !== "sent");
  return outcome;
}

describe("a delivery by SMTP", () => {
  it("logs in as the mailbox, with the token of its scope, and confirms the token", async () => {
    const { server, authorization, backend } = world();
    const scopes: string[] = [];
    const watched = {
      ...authorization,
      token: (scope: string) => {
        scopes.push(scope);
        return authorization.token(scope);
      },
    };
    const outcome = await backend.deliver(MAIL, { authorization: watched });
    assert(outcome.type === "sent" && outcome.backend === "exchange");
    assert.deepEqual(scopes, ["https://outlook.office365.com/.default"]);
    assert.deepEqual(authorization.events, ["confirmed"]);
    const [{ login, server: target, message, options }] = server.sendings as [
      typeof server.sendings[0],
    ];
    assert(login.type === "token" && login.username === "ann@x.test");
    assert.deepEqual([target.limit.connections, message.from], [3, "ann@x.test"]);
    assert.equal(options.partlyRefused, "stop");
  });

  it("is tried again twice after a broken connection, and not from a queue", async () => {
    for (const [mayWait, tries] of [[true, 3], [false, 1]] as const) {
      const { server, authorization, backend } = world(
        [1, 2, 3].map(() => failed("connect", "ECONNREFUSED")),
      );
      const outcome = notSent(await backend.deliver(MAIL, { authorization, mayWait }));
      assert.equal(server.sendings.length, tries);
      assert.deepEqual([outcome.code, outcome.outage, outcome.ambiguous], [
        "ECONNREFUSED",
        true,
        false,
      ]);
    }
  });

  it("has DELIVERY_TIMEOUT in direct mode, with more for what is over GRAPH_REQUEST_LIMIT", async () => {
    const large = { ...MAIL, content: [...MAIL.content, Buffer.alloc(4_250_000, "large\r\n")] };
    for (
      const [mail, mayWait, time] of [
        [MAIL, true, 60_000],
        [large, true, 63_000],
        [MAIL, false, 60_000],
      ] as const
    ) {
      const { server, authorization, backend } = world();
      await backend.deliver(mail, { authorization, mayWait });
      const [{ timeout, awaitsLastReply } = { timeout: 0 }] = server.sendings.map((one) =>
        one.options
      );
      // From a queue, the reply after the final dot has the time of RFC 5321 §4.5.3.2.6.
      assert.deepEqual([timeout, awaitsLastReply], [time, !mayWait]);
    }
  });

  it("is never tried again once the end of the message may have left", async () => {
    const { server, authorization, backend } = world([failed("content", "ETIMEDOUT", true)]);
    const outcome = notSent(await backend.deliver(MAIL, { authorization }));
    assert.equal(server.sendings.length, 1);
    assert.deepEqual([outcome.ambiguous, outcome.type, outcome.attempts], [true, "later", 1]);
    assert.match(String(outcome.reply.text), /may have been sent/);
  });

  it("is not tried again where that would not help: a certificate, a name, a proxy's rule", async () => {
    for (
      const code of [
        "CERT_HAS_EXPIRED",
        "ERR_TLS_CERT_ALTNAME_INVALID",
        "ENOTFOUND",
        "PROXY_403",
        "INJECTION",
      ]
    ) {
      const { server, authorization, backend } = world([failed("connect", code)]);
      const outcome = notSent(await backend.deliver(MAIL, { authorization }));
      assert.equal(outcome.code, code);
      assert.equal(server.sendings.length, 1, code);
      const said = /CERT/.test(code)
        ? /certificate is not trusted/
        : /^PROXY/.test(code)
        ? /the proxy does not let/
        : /cannot be reached/;
      assert.match(String(outcome.reply.text), said);
      assert.equal(smtpRemedy(code) === undefined, !/CERT|PROXY/.test(code));
    }
  });

  it("does not take its own limits for an outage of the server", async () => {
    const { authorization, backend } = world([failed("connect", "BUSY")]);
    assert.equal(notSent(await backend.deliver(MAIL, { authorization })).outage, undefined);
  });

  it("rejects a refused token, and gives up when there is no other", async () => {
    const { server, authorization, backend } = world([refused("AUTH", "535 5.7.3 no")]);
    const outcome = notSent(await backend.deliver(MAIL, { authorization }));
    assert.deepEqual(authorization.events, ["rejected"]);
    assert.equal(server.sendings.length, 1);
    assert.deepEqual([outcome.type, outcome.reply.code], ["later", 454]);
  });

  it("keeps a token that is refused for the mailbox's sake alone: 403, not 401", async () => {
    const statuses: number[] = [];
    const { backend, authorization } = world([refused("AUTH", "535 5.7.139 disabled")]);
    const watched = {
      ...authorization,
      reject: (_: unknown, status: number) => void statuses.push(status),
    };
    const { type, reply } = notSent(await backend.deliver(MAIL, { authorization: watched }));
    assert.deepEqual(statuses, [403]);
    // Waiting does not switch it on.
    assert.deepEqual([type, reply.code, reply.enhanced], ["refused", 550, "5.7.1"]);
  });

  it("ends with Entra ID's refusal of a token, without a connection", async () => {
    for (const type of ["later", "refused"] as const) {
      const { server, backend } = world();
      const authorization = accountWith(noToken(type, "AADSTS7000222"));
      const outcome = notSent(await backend.deliver(MAIL, { authorization }));
      assert.deepEqual([outcome.type, outcome.code], [type, "AADSTS7000222"]);
      assert.equal(server.sendings.length, 0);
    }
  });

  it("says before the content what finds the message later, and sends nothing if it must not", async () => {
    const told: SendingProgress[] = [];
    for (const may of [true, false]) {
      const { authorization, backend } = world();
      const beforeSending = (progress: SendingProgress) => {
        told.push(progress);
        return Promise.resolve(may);
      };
      const outcome = await backend.deliver(MAIL, { authorization, beforeSending });
      if (may) assert.equal(outcome.type, "sent");
      else assert.equal(notSent(outcome).code, "NOT_OWNED");
    }
    assert.deepEqual(told[0], {
      mailbox: "ann@x.test",
      messageId: "<0123456789abcdef@relay.test>",
      backend: "exchange",
    });
  });

  it("names the refused recipients as the client has written them, each of them", async () => {
    const { authorization, backend } = world([
      accepted(["bea@x.test", "Cid@x.test", "postmaster@x.test"], {
        "Cid@x.test": "550 5.1.1 no Cid",
        "postmaster@x.test": "450 4.2.1 later",
      }),
    ]);
    const recipients = ["bea@x.test", "Cid@x.test", "cid@x.test", "postmaster"];
    const mail = { ...MAIL, envelope: { from: "ann@x.test", recipients } };
    const outcome = await backend.deliver(mail, { authorization, mayBePartial: true });
    assert(outcome.type === "sent");
    assert.deepEqual(outcome.refused?.map(({ recipient, reply: { code } }) => [recipient, code]), [
      ["Cid@x.test", 550],
      ["cid@x.test", 550],
      ["postmaster", 451],
    ]);
  });

  it("lets the final refusal count where some recipients are refused for now", async () => {
    const { authorization, backend } = world([{
      type: "refused",
      stage: "RCPT",
      reply: said("450 4.2.1 later"),
      recipients: [
        { recipient: "bea@x.test", reply: said("450 4.2.1 later") },
        { recipient: "cid@x.test", reply: said("550 5.1.1 gone") },
      ],
      conversation: CONVERSATION,
    }]);
    const outcome = notSent(await backend.deliver(MAIL, { authorization }));
    assert.deepEqual([outcome.type, outcome.code], ["refused", "SMTP 550 5.1.1"]);
  });

  it("notes what takes time, under its own name", async () => {
    const { authorization, backend } = world([failed("connect", "ECONNRESET")]);
    const steps = new Steps();
    await backend.deliver(MAIL, { authorization, steps });
    assert.deepEqual(
      steps.list.map(({ name, target, result, backend }) => [name, target, result, backend]),
      [
        ["prepare", undefined, undefined, undefined],
        ["request", "SMTP exchange", "ECONNRESET", "exchange"],
        ["pause", undefined, undefined, "exchange"],
        ["request", "SMTP exchange", 250, "exchange"],
      ],
    );
  });

  it("begins nothing once the relay stops, and ends its wait", async () => {
    const clock = new FakeClock();
    const server = new FakeServer(clock, 1_000);
    const stop = new AbortController();
    const backend = exchangeBackend(server, clock, { stop: stop.signal });
    const authorization = accountWith(tokenOf("t"));
    const all = [1, 2, 3, 4].map(() => backend.deliver(MAIL, { authorization }));
    for (let i = 0; i < 5; i++) await setImmediate();
    assert.deepEqual(backend.load, { active: 3, waiting: 1, throttled: 0 });
    stop.abort();
    const last = notSent(await all[3]!);
    assert.deepEqual([last.code, last.ambiguous], ["STOPPING", false]);
    clock.pass(1_000);
    // Those under way go on.
    assert(
      (await Promise.all(all.slice(0, 3))).every(({ type }) => type === "sent"),
    );
    assert.equal(notSent(await backend.deliver(MAIL, { authorization })).code, "STOPPING");
  });

  it("keeps apart the connections of different apps, tenants and mailboxes", async () => {
    const { server, backend, authorization } = world();
    const other = { ...MAIL, account: { ...MAIL.account, clientId: "other" } };
    const foreign = { ...MAIL, account: { ...MAIL.account, tenantId: "other" } };
    for (const mail of [MAIL, other, foreign, mailOf("bea@x.test")]) {
      await backend.deliver(mail, { authorization });
    }
    assert.equal(new Set(server.sendings.map(({ server: { account } }) => account)).size, 4);
    // The two apps of one mailbox share what the server allows it.
    const [own, others, ...rest] = server.sendings.map(({ server: { limit } }) => limit.shared);
    assert.equal(own, others);
    assert.equal(new Set([own, ...rest]).size, 3);
  });

  it("keeps apart the connections of different tokens for one app and mailbox", async () => {
    // As those of two users who have signed in to the app: each may send only as himself.
    const { server, backend } = world();
    for (const token of ["ann's", "bea's", "ann's"]) {
      await backend.deliver(MAIL, { authorization: accountWith(tokenOf(token)) });
    }
    const [ann, bea, again] = server.sendings.map(({ server: { account } }) => account);
    assert.notEqual(ann, bea);
    assert.equal(ann, again);
    assert.doesNotMatch(`${ann}${bea}`, /'s/);
  });

  it("logs in with a password where the server has one for the relay", async () => {
    const clock = new FakeClock();
    const server = new FakeServer(clock);
    const password = new Secret("p");
    const backend = exchangeBackend(server, clock, {
      id: "smarthost",
      login: { type: "password", username: "relay", password },
    });
    const authorization = accountWith(noToken("later", "none"));
    assert.equal((await backend.deliver(MAIL, { authorization })).type, "sent");
    assert.deepEqual(server.sendings[0]!.login, { type: "password", username: "relay", password });
  });
});
