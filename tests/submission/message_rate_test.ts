/** MESSAGE_RATE_LIMIT: whose messages count together, and where they are refused. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { MessageLimit } from "../../src/submission/message_rate.ts";
import { REPLIES } from "../../src/smtp/reply.ts";
import { FakeClock } from "../support/fake_clock.ts";

const APP = { tenantId: "tenant", clientId: "client" };
const NONE = () => undefined;

function open(most: number) {
  const clock = new FakeClock();
  const limit = new MessageLimit({ most, window: 60_000 }, () => clock.now());
  const mail = (account: Parameters<MessageLimit["begin"]>[0]) =>
    limit.checkAfter(NONE, account)("a@x.test");
  return { clock, limit, mail };
}

describe("a limit for messages", () => {
  it("refuses MAIL once so many have been sent, until the window has passed over them", () => {
    const { limit, mail, clock } = open(2);
    limit.begin(APP)!(true);
    clock.pass(30_000);
    assert.equal(mail(APP), undefined);
    limit.begin(APP)!(true);
    assert.equal(mail(APP), REPLIES.tooManyMessages);
    clock.pass(30_000);
    assert.equal(mail(APP), undefined);
  });

  it("holds for what is under way, so that a burst is no way around it", () => {
    const { limit, mail } = open(2);
    assert.equal(mail(APP), undefined);
    const [first, second] = [limit.begin(APP)!, limit.begin(APP)!];
    assert.equal(limit.begin(APP), undefined, "MAIL had said yes, but others were faster");
    assert.equal(mail(APP), REPLIES.tooManyMessages);
    first(false);
    assert.equal(mail(APP), undefined, "the first was not sent");
    second(true);
    limit.begin(APP)!(true);
    assert.equal(mail(APP), REPLIES.tooManyMessages);
  });

  it("is each app's own, and each entry's where there is one", () => {
    const { limit, mail } = open(1);
    limit.begin({ ...APP, entry: "printer" })!(true);
    assert.equal(mail({ ...APP, entry: "printer" }), REPLIES.tooManyMessages);
    assert.equal(mail({ ...APP, entry: "scanner" }), undefined);
    assert.equal(mail(APP), undefined);
    assert.equal(mail({ ...APP, clientId: "another" }), undefined);
  });

  it("is not used up by who only says that the account is theirs, by a token of their own", () => {
    const { limit, mail } = open(1);
    let proof: string | undefined = "their token";
    const stranger = { ...APP, unproved: () => proof };
    limit.begin(stranger)!(true);
    assert.equal(mail(stranger), REPLIES.tooManyMessages);
    assert.equal(mail(APP), undefined);
    // Once Graph has taken the token, they are one.
    proof = undefined;
    assert.equal(mail(stranger), undefined);
    limit.begin(stranger)!(true);
    assert.equal(mail(APP), REPLIES.tooManyMessages);
  });

  it("comes behind what the sender may not do at all", () => {
    const { limit } = open(1);
    limit.begin(APP)!(true);
    const check = limit.checkAfter(() => REPLIES.senderNotAllowed, APP);
    assert.equal(check("a@x.test"), REPLIES.senderNotAllowed);
  });
});
