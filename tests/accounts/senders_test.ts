/** Which senders an account may use, judged from its data. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { SenderList } from "../../src/accounts/sender_list.ts";
import { senderCheck, SenderRules } from "../../src/accounts/senders.ts";
import { REPLIES } from "../../src/smtp/reply.ts";
import { CLIENT, TENANT } from "../support/logins.ts";

const APP = { tenantId: TENANT, clientId: CLIENT };
const LIVE = { expiry: () => undefined };

describe("a sender policy", () => {
  const policy = new SenderRules(SenderList.parse("@x.test"));

  it("restricts an account by ALLOWED_SENDERS or its own list", () => {
    const free = new SenderRules();
    assert.equal(free.restricts({}), false);
    assert.equal(free.refusal({}, "anybody@x.test"), undefined);
    assert.equal(free.restricts({ allowedSenders: "a@x.test" }), true);
    assert.equal(policy.restricts({}), true);
  });

  it("requires the address on both lists, and names the list that lacks it", () => {
    const account = { allowedSenders: "a@x.test, b@y.test" };
    assert.equal(policy.refusal(account, "A@x.test"), undefined);
    assert.equal(policy.refusal(account, "c@x.test"), REPLIES.senderNotInEntry);
    assert.equal(policy.refusal(account, "b@y.test"), REPLIES.senderNotAllowed);
  });

  it("keeps the lists of several accounts apart, however often each is checked", () => {
    for (let round = 0; round < 2; round++) {
      for (const sender of ["a@x.test", "b@x.test"]) {
        assert.equal(policy.refusal({ allowedSenders: sender }, sender), undefined);
        assert.equal(policy.refusal({ allowedSenders: sender }, "c@x.test")?.code, 550);
      }
    }
  });

  it("allows nothing by a stored list that cannot be parsed", () => {
    for (const allowedSenders of ["", "*@x.test", "nobody"]) {
      assert.equal(policy.refusal({ allowedSenders }, "a@x.test"), REPLIES.senderNotInEntry);
    }
  });
});

describe("the check of MAIL", () => {
  it("reads the entry again only after a refusal, and keeps the old one if that fails", async () => {
    const account = { ...APP, allowedSenders: "a@x.test" };
    let refreshed = 0;
    const check = senderCheck(account, {
      authorization: LIVE,
      policy: new SenderRules(),
      refresh() {
        refreshed++;
        return Promise.resolve({ type: "later", reply: REPLIES.ok, detail: "no table" });
      },
    });
    for (const from of ["a@x.test", ""]) assert.equal(check(from), undefined);
    assert.equal(refreshed, 0);
    assert.equal(check("b@x.test"), REPLIES.senderNotInEntry);
    await Promise.resolve();
    assert.equal(check("b@x.test"), REPLIES.senderNotInEntry);
    assert.equal(check("a@x.test"), undefined);
    assert.equal(refreshed, 2);
  });

  it("reports first that the login has expired", () => {
    const check = senderCheck({ ...APP, fromEmail: "a@x.test" }, {
      authorization: { expiry: () => REPLIES.tooManyMessages },
      policy: new SenderRules(),
      refresh: () => assert.fail("nothing is to be read"),
    });
    assert.equal(check(""), REPLIES.tooManyMessages);
  });
});
