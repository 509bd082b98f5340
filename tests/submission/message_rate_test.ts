/** MESSAGE_RATE_LIMIT: which messages count together, and when they are refused. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Account } from "../../src/accounts/account.ts";
import { MessageLimit } from "../../src/submission/message_rate.ts";
import { REPLIES } from "../../src/smtp/reply.ts";
import { FakeClock } from "../support/fake_clock.ts";

const APP = { tenantId: "tenant", clientId: "client" };
const VERIFIED = { unverified: () => undefined };
const NONE = () => undefined;

function of(id: string): Account {
  return { ...APP, entry: { id, foundBy: "id" } };
}

function open(most: number) {
  const clock = new FakeClock();
  const limit = new MessageLimit({ most, window: 60_000 }, clock);
  const mail = (account: Account, authorization: Parameters<MessageLimit["begin"]>[1] = VERIFIED) =>
    limit.checkAfter(NONE, account, authorization)("a@x.test");
  return { clock, limit, mail };
}

describe("a limit for messages", () => {
  it("refuses MAIL once the limit has been sent, until they have left the window", () => {
    const { limit, mail, clock } = open(2);
    limit.begin(APP, VERIFIED)!(true);
    clock.pass(30_000);
    assert.equal(mail(APP), undefined);
    limit.begin(APP, VERIFIED)!(true);
    assert.equal(mail(APP), REPLIES.tooManyMessages);
    clock.pass(30_000);
    assert.equal(mail(APP), undefined);
  });

  it("counts messages in flight, so that a burst cannot evade it", () => {
    const { limit, mail } = open(2);
    assert.equal(mail(APP), undefined);
    const [first, second] = [limit.begin(APP, VERIFIED)!, limit.begin(APP, VERIFIED)!];
    assert.equal(limit.begin(APP, VERIFIED), undefined, "MAIL had passed, but others were faster");
    assert.equal(mail(APP), REPLIES.tooManyMessages);
    first(false);
    assert.equal(mail(APP), undefined, "the first was not sent");
    second(true);
    limit.begin(APP, VERIFIED)!(true);
    assert.equal(mail(APP), REPLIES.tooManyMessages);
  });

  it("is separate for each app, and for each entry if there is one", () => {
    const { limit, mail } = open(1);
    limit.begin(of("printer"), VERIFIED)!(true);
    assert.equal(mail(of("printer")), REPLIES.tooManyMessages);
    assert.equal(mail(of("scanner")), undefined);
    assert.equal(mail(APP), undefined);
    assert.equal(mail({ ...APP, clientId: "another" }), undefined);
  });

  it("is separate for each tenant, also for an app that several tenants use", () => {
    const { limit, mail } = open(1);
    limit.begin(APP, VERIFIED)!(true);
    assert.equal(mail(APP), REPLIES.tooManyMessages);
    assert.equal(mail({ ...APP, tenantId: "another" }), undefined);
  });

  it("is not used up by a client that only claims the account with its own token", () => {
    const { limit, mail } = open(1);
    let name: string | undefined = "their token";
    const claimed = { unverified: () => name };
    limit.begin(APP, claimed)!(true);
    assert.equal(mail(APP, claimed), REPLIES.tooManyMessages);
    assert.equal(mail(APP), undefined);
    // Once Graph has accepted the token, the two count together.
    name = undefined;
    assert.equal(mail(APP, claimed), undefined);
    limit.begin(APP, claimed)!(true);
    assert.equal(mail(APP), REPLIES.tooManyMessages);
  });

  it("is checked after the sender's permissions", () => {
    const { limit } = open(1);
    limit.begin(APP, VERIFIED)!(true);
    const check = limit.checkAfter(() => REPLIES.senderNotAllowed, APP, VERIFIED);
    assert.equal(check("a@x.test"), REPLIES.senderNotAllowed);
  });
});
