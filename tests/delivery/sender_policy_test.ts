/** Who may send what: ALLOWED_SENDERS, and the list of an account's entry, on what the header says. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import type { Account } from "../../src/accounts/account.ts";
import { SenderList } from "../../src/accounts/sender_list.ts";
import type { Outcome, Submission } from "../../src/delivery/delivery.ts";
import { SenderPolicy } from "../../src/delivery/sender_policy.ts";
import { SenderRules } from "../../src/accounts/senders.ts";
import { formatReply, REPLIES, reply } from "../../src/smtp/reply.ts";
import { ACCOUNT, accountWith, attemptOf, submissionOf, tokenOf } from "../support/submissions.ts";

const SENT: Outcome = { type: "sent", reply: reply(250, "2.0.0", "OK") };
const ATTEMPT = attemptOf(accountWith(tokenOf("a.b.c")));

interface Message {
  readonly fields: string;
  readonly from?: string;
  readonly account?: Partial<Account>;
  /** ALLOWED_SENDERS */
  readonly allowed?: string;
}

/** Whether the message goes on as it came; or the code and detail of what it is refused with. */
async function judge({ fields, from = "ann@x.test", account, allowed }: Message): Promise<string> {
  const passed: Submission[] = [];
  const rules = new SenderRules(allowed === undefined ? undefined : SenderList.parse(allowed));
  const policy = new SenderPolicy({
    deliver(submission, attempt) {
      assert.equal(attempt, ATTEMPT);
      passed.push(submission);
      return Promise.resolve(SENT);
    },
  }, { rules });
  const submission: Submission = {
    ...submissionOf({ ...ACCOUNT, ...account }),
    envelope: { from, recipients: ["bea@x.test"] },
    content: [Buffer.from(`${fields}\r\n\r\nText\r\n`, "utf8")],
  };
  const outcome = await policy.deliver(submission, ATTEMPT);
  assert.equal(passed.length, outcome.type === "sent" ? 1 : 0);
  if (outcome.type === "sent") {
    assert.equal(passed[0], submission);
    return "sent";
  }
  assert(outcome.type === "refused" && !outcome.ambiguous && outcome.reply.code >= 500);
  return `${outcome.code} ${outcome.detail}`;
}

const OWN = { allowedSenders: "ann@x.test" };

describe("an account that may send as anybody", () => {
  it("is not judged, nor is its message read", async () => {
    const passed: Submission[] = [];
    const policy = new SenderPolicy({
      deliver: (submission) => Promise.resolve((passed.push(submission), SENT)),
    }, { rules: new SenderRules() });
    const content = new Proxy([], {
      get() {
        throw new Error("it was read");
      },
    });
    const submission = { ...submissionOf(ACCOUNT), content };
    assert.equal(await policy.deliver(submission, ATTEMPT), SENT);
    assert.equal(passed[0], submission);
  });
});

describe("an account that may send as some addresses", () => {
  it("sends as one of both lists, however it is spelled", async () => {
    for (const allowed of [undefined, "@x.test, bea@y.test"]) {
      for (const fields of ["From: ann@x.test", "From: Ann <ANN@X.test>", "Subject: s"]) {
        const rest = allowed === undefined ? {} : { allowed };
        assert.equal(await judge({ fields, account: OWN, ...rest }), "sent");
      }
    }
  });

  it("is refused as another: reverse-path, From, Sender, or From alone", async () => {
    const cases: readonly (readonly [fields: string, from: string])[] = [
      ["From: ann@x.test", "eve@x.test"],
      ["From: eve@x.test", "ann@x.test"],
      ["From: ann@x.test\r\nSender: eve@x.test", "ann@x.test"],
      ["From: ann@x.test, eve@x.test", "ann@x.test"],
      ["From: eve@x.test", ""],
    ];
    for (const [fields, from] of cases) {
      const why = await judge({ fields, from, account: OWN });
      assert.match(why, /^SENDER_NOT_ALLOWED eve@x\.test may not send: .*allowed_senders/);
    }
  });

  it("is told once which list does not have the address", async () => {
    const why = await judge({ fields: "From: ann@x.test", allowed: "@y.test" });
    assert.equal(why, "SENDER_NOT_ALLOWED ann@x.test may not send: it is not in ALLOWED_SENDERS");
    const rules = new SenderRules(SenderList.parse("@y.test"));
    const policy = new SenderPolicy({ deliver: () => Promise.resolve(SENT) }, { rules });
    const { reply } = await policy.deliver(submissionOf(ACCOUNT), ATTEMPT);
    assert.equal(
      formatReply(reply),
      "550 5.7.1 Sender not allowed: it is not in ALLOWED_SENDERS (ann@x.test)\r\n",
    );
  });

  it("is refused where readers may find another address in From", async () => {
    // The second has no address in it for a lenient reader; a strict one shows what stands there.
    for (const from of ["eve@x.test <ann@x.test> <bea@x.test>", "eve@y.test@"]) {
      const why = await judge({ fields: `From: ${from}`, account: OWN });
      assert.match(why, /^SENDER_NOT_ALLOWED From or Sender cannot be read for certain: /);
    }
  });

  it("sends as its from_email, and as nobody else, whatever the message says", async () => {
    const fields = "From: eve@x.test";
    const account = { fromEmail: "ann@x.test", ...OWN };
    assert.equal(await judge({ fields, from: "eve@x.test", account }), "sent");
    const other = { ...account, fromEmail: "bea@x.test" };
    assert.match(await judge({ fields, account: other }), /^SENDER_NOT_ALLOWED bea@x\.test /);
  });

  it("is refused where its header cannot be read", async () => {
    const fields = "From: ann@x.test\r\nno field\r\nTo: bea@x.test";
    assert.match(await judge({ fields, account: OWN }), /^BROKEN_HEADER /);
  });

  it("may send as nobody where its list cannot be read", async () => {
    const account = { allowedSenders: "*@x.test" };
    assert.match(await judge({ fields: "From: ann@x.test", account }), /^SENDER_NOT_ALLOWED /);
  });
});

describe("the lists of senders", () => {
  it("are ALLOWED_SENDERS first, then the entry's", () => {
    const rules = new SenderRules(SenderList.parse("@x.test"));
    assert.equal(rules.refusal(OWN, "ann@x.test"), undefined);
    assert.equal(rules.refusal(OWN, "bea@x.test"), REPLIES.senderNotInEntry);
    assert.equal(rules.refusal(OWN, "ann@y.test"), REPLIES.senderNotAllowed);
    assert.equal(rules.refusal({}, "bea@x.test"), undefined);
    assert.equal(rules.refusal({}, ""), REPLIES.senderNotAllowed);
    assert(rules.restricts({}) && rules.restricts(OWN));
    assert(!new SenderRules().restricts({}) && new SenderRules().restricts(OWN));
  });

  it("are those of each account, however many there are", () => {
    const rules = new SenderRules();
    // More lists, and more text, than are kept parsed.
    const filler = Array.from({ length: 80 }, (_, i) => `filler${i}@z.test`).join(",");
    for (let round = 0; round < 2; round++) {
      for (let i = 0; i < 1_100; i++) {
        const account = { allowedSenders: `user${i}@x.test,${filler}` };
        assert.equal(rules.refusal(account, `user${i}@x.test`), undefined);
        assert.equal(rules.refusal(account, `user${i + 1}@x.test`), REPLIES.senderNotInEntry);
      }
    }
  });
});
