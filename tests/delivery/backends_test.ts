/**
 * A submission is data, and a back end gets it as it came: what Exchange needs is done in the back end for
 * Graph alone. Another back end must not find hidden recipients in the message.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { after, before, describe, it } from "node:test";
import type { Account, Authorization } from "../../src/accounts/account.ts";
import { SenderList } from "../../src/accounts/sender_list.ts";
import type { Attempt, Backend, Delivery, Submission } from "../../src/delivery/delivery.ts";
import { checkedDelivery } from "../../src/delivery/checked_delivery.ts";
import { SenderRules } from "../../src/accounts/senders.ts";
import { GraphBackend } from "../../src/graph/backend.ts";
import { HttpClient } from "../../src/http/client.ts";
import { reply } from "../../src/smtp/reply.ts";
import { GRAPH_OPTIONS } from "../graph/options.ts";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import { CLIENT, TENANT } from "../support/logins.ts";
import { accountWith, attemptOf, fetchToken } from "../support/submissions.ts";
import { settle, TestClient } from "./waiting_client.ts";

/** A back end that needs no token. */
const NO_AUTHORIZATION: Authorization = {
  token() {
    throw new Error("no token is needed");
  },
  reject() {},
  confirm() {},
  unverified: () => undefined,
  expiry: () => undefined,
};
/** Lines that Exchange would not leave alone, in pieces. */
const CONTENT = [
  Buffer.from("From: Ann <ann@x.test>\r\nTo: bea@x.test, gone@x.test\r\nSubject: s\r\n"),
  Buffer.from("MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"),
  Buffer.from("Content-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=C3=9Fe\r\n"),
  Buffer.from("alone\n\r.\r\n"),
];
const RECEIVED_AT = Date.UTC(2026, 10, 5, 6, 7, 8);

const SUBMISSION: Submission = {
  id: "0123456789abcdef",
  account: {
    tenantId: TENANT,
    clientId: CLIENT,
    entry: { id: "scanner", foundBy: "id" },
    allowedSenders: "ann@x.test, @y.test",
  },
  username: "scanner@lookup",
  envelope: { from: "ann@x.test", recipients: ["bea@x.test", "hidden@x.test"] },
  messageId: "<1@x.test>",
  content: CONTENT,
  facts: { helo: "printer", esmtp: true, tls: true, smtputf8: false },
  client: "192.0.2.7",
  connection: "c0ffee",
  receivedAt: RECEIVED_AT,
};

/** Writes a submission down, as a queue would, and reads it again. */
function stored(submission: Submission): Submission {
  const { content, ...data } = submission;
  const json = JSON.stringify(data);
  const octets = Uint8Array.from(Buffer.concat([...content]));
  return { ...JSON.parse(json) as Omit<Submission, "content">, content: [octets] };
}

/** Another mail service, which writes down what it gets. */
class OtherBackend implements Backend {
  readonly id = "other";
  readonly got: (readonly [Submission, Attempt])[] = [];

  deliver(submission: Submission, attempt: Attempt) {
    this.got.push([submission, attempt]);
    const sent = { type: "sent", reply: reply(250, "2.0.0", `OK id=${submission.id}`) } as const;
    return Promise.resolve(sent);
  }
}

const RULES = new SenderRules(SenderList.parse("@x.test, @y.test"));
const OPTIONS = { rules: RULES, duplicateWindow: 600_000 };

function octetsOf({ content }: Submission): Buffer {
  return Buffer.concat([...content]);
}

describe("a back end that is not Graph, behind the rules of direct delivery", () => {
  it("gets the octets as they came, and hidden recipients in the envelope alone", async () => {
    const backend = new OtherBackend();
    const attempt = attemptOf(NO_AUTHORIZATION, new TestClient());
    const outcome = await checkedDelivery(backend, OPTIONS).deliver(SUBMISSION, attempt);
    assert.equal(outcome.type, "sent");
    const [[submission, passed] = []] = backend.got;
    assert(submission !== undefined && passed === attempt);
    assert.deepEqual(octetsOf(submission), Buffer.concat(CONTENT));
    assert.doesNotMatch(octetsOf(submission).toString("latin1"), /bcc|hidden@/i);
    assert.deepEqual(submission.envelope.recipients, ["bea@x.test", "hidden@x.test"]);
  });

  it("gets one that was written down and read again, with its time in milliseconds", async () => {
    const backend = new OtherBackend();
    const again = stored(SUBMISSION);
    const delivery = checkedDelivery(backend, OPTIONS);
    assert.equal((await delivery.deliver(again, attemptOf(NO_AUTHORIZATION))).type, "sent");
    const [[submission] = []] = backend.got;
    assert(submission !== undefined);
    assert.deepEqual(octetsOf(submission), Buffer.concat(CONTENT));
    assert.deepEqual({ ...submission, content: CONTENT }, SUBMISSION);
    assert.equal(submission.receivedAt, RECEIVED_AT);
  });

  it("is not asked twice for a message whose client was gone, before and after it was stored", async () => {
    const backend = new OtherBackend();
    const delivery = checkedDelivery(backend, OPTIONS);
    await delivery.deliver(SUBMISSION, attemptOf(NO_AUTHORIZATION, TestClient.gone()));
    await settle();
    const again = { ...stored(SUBMISSION), id: "second" };
    const outcome = await delivery.deliver(again, attemptOf(NO_AUTHORIZATION));
    assert(outcome.type === "alreadySent" && outcome.id === SUBMISSION.id);
    assert.equal(backend.got.length, 1);
  });

  it("gets nothing from an account that may not send it", async () => {
    const backend = new OtherBackend();
    const account = { ...SUBMISSION.account, allowedSenders: "@y.test" };
    const delivery = checkedDelivery(backend, OPTIONS);
    const attempt = attemptOf(NO_AUTHORIZATION);
    const outcome = await delivery.deliver(stored({ ...SUBMISSION, account }), attempt);
    assert(outcome.type === "refused" && outcome.code === "SENDER_NOT_ALLOWED");
    assert.equal(backend.got.length, 0);
  });
});

describe("a submission that was written down and read again", () => {
  let cloud: CloudServer;
  const http = new HttpClient();
  before(async () => {
    cloud = await startCloud();
  });
  after(async () => {
    http.close();
    await cloud.close();
  });

  it("of an account that may not send as anybody has no other's address in its names", async () => {
    // Readers may show the name alone.
    await cloud.inbox.clear();
    const authorization = accountWith(await fetchToken(cloud.authority));
    const content = [
      Buffer.from('From: "eve@y.test" <ann@x.test>\r\nTo: bea@x.test\r\n\r\nText\r\n'),
    ];
    const { allowedSenders: _, ...rest } = SUBMISSION.account;
    const anybody: Account = rest;
    for (const account of [SUBMISSION.account, anybody]) {
      for (const rules of [new SenderRules(), RULES]) {
        const { message, ...options } = GRAPH_OPTIONS;
        const backend = new GraphBackend({
          ...options,
          message: { ...message, senders: rules },
          http,
          endpoint: cloud.endpoint,
        });
        const delivery = checkedDelivery(backend, { ...OPTIONS, rules });
        const submission = { ...stored({ ...SUBMISSION, content }), account };
        const outcome = await delivery.deliver(submission, attemptOf(authorization));
        assert.equal(outcome.type, "sent", JSON.stringify(outcome));
        const { raw } = cloud.inbox.get(cloud.inbox.list()[0]!.id)!;
        const isRestricted = rules.restricts(account);
        assert.equal(/eve@y\.test/.test(Buffer.from(raw).toString("latin1")), !isRestricted);
      }
    }
  });

  it("arrives by Graph as it would have at once, hidden recipients in Bcc", async () => {
    const authorization = accountWith(await fetchToken(cloud.authority));
    const { message, ...options } = GRAPH_OPTIONS;
    const backend = new GraphBackend({
      ...options,
      message: { ...message, senders: RULES },
      http,
      endpoint: cloud.endpoint,
    });
    assert.equal(backend.id, "graph");
    const delivery: Delivery = checkedDelivery(backend, OPTIONS);
    for (const submission of [SUBMISSION, stored(SUBMISSION)]) {
      const outcome = await delivery.deliver(submission, attemptOf(authorization));
      assert.equal(outcome.type, "sent", JSON.stringify(outcome));
    }
    const [again, atOnce] = cloud.inbox.list().map(({ id }) => cloud.inbox.get(id)!);
    assert.deepEqual([...again!.recipients].sort(), ["bea@x.test", "hidden@x.test"]);
    assert.deepEqual(again!.raw, atOnce!.raw);
    const text = Buffer.from(again!.raw).toString("latin1");
    assert.match(text, /^Received: .*\r\n.*\r\n\tThu, 5 Nov 2026 06:07:08 \+0000\r\n/);
    assert.match(text, /\r\nBcc: hidden@x\.test\r\n/);
    assert.match(text, /\r\nContent-Transfer-Encoding: base64\r\n/);
  });
});
