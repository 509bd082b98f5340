/** Direct delivery, its rules in their order. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Account } from "../../src/accounts/account.ts";
import type { Backend, Outcome } from "../../src/delivery/delivery.ts";
import { checkedDelivery } from "../../src/delivery/checked_delivery.ts";
import { SenderRules } from "../../src/accounts/senders.ts";
import { reply } from "../../src/smtp/reply.ts";
import { ACCOUNT, accountWith, attemptOf, submissionOf, tokenOf } from "../support/submissions.ts";
import { settle, TestClient } from "./waiting_client.ts";

const SENT: Outcome = { type: "sent", reply: reply(250, "2.0.0", "OK") };

/** A backend that answers when the test says so. */
function setUp(duplicateWindow: number | "off" = 600_000) {
  const sending: { id: string; end: (outcome: Outcome) => void }[] = [];
  const backend: Backend = {
    id: "test",
    deliver: ({ id }) => new Promise((end) => void sending.push({ id, end })),
  };
  const delivery = checkedDelivery(backend, { rules: new SenderRules(), duplicateWindow });
  const authorization = accountWith(tokenOf("a.b.c"));
  const deliver = (id: string, account: Partial<Account> = {}, client?: TestClient) => {
    const submission = { ...submissionOf({ ...ACCOUNT, ...account }), id };
    return delivery.deliver(submission, attemptOf(authorization, client));
  };
  return { deliver, sending, sent: () => sending.map(({ id }) => id).join(" ") };
}

const entry = (id: string, allowedSenders: string): Partial<Account> => ({
  entry: { id, foundBy: "id" },
  allowedSenders,
});
const MAY = "ann@x.test";
const MAY_NOT = "bea@x.test";

describe("a message that another entry of the same app has just sent", () => {
  it("is none of this one's: it is sent for itself", async () => {
    const { deliver, sending, sent } = setUp();
    void deliver("first", entry("scanner", MAY), TestClient.gone());
    await settle();
    sending[0]!.end(SENT);
    await settle();
    const second = deliver("second", entry("printer", MAY));
    await settle();
    assert.equal(sent(), "first second");
    sending[1]!.end(SENT);
    assert.equal((await second).type, "sent");
  });

  it("is refused where this one may not send as its author", async () => {
    const { deliver, sending, sent } = setUp();
    void deliver("first", entry("scanner", MAY), TestClient.gone());
    await settle();
    sending[0]!.end(SENT);
    await settle();
    // Another entry; and the same one, whose list has been made shorter meanwhile.
    for (const id of ["printer", "scanner"]) {
      const outcome = await deliver("second", entry(id, MAY_NOT));
      assert(outcome.type === "refused" && outcome.code === "SENDER_NOT_ALLOWED", id);
    }
    assert.equal(sent(), "first");
  });

  it("is refused at once, while the first is still under way", async () => {
    const { deliver, sent } = setUp();
    void deliver("first", entry("scanner", MAY), TestClient.gone());
    await settle();
    const outcome = await deliver("second", entry("scanner", MAY_NOT));
    assert.equal(outcome.type, "refused");
    assert.equal(sent(), "first");
  });
});

describe("DUPLICATE_WINDOW", () => {
  it("keeps a message from being sent twice, unless it is off", async () => {
    for (const [window, expected] of [[600_000, "first"], ["off", "first second"]] as const) {
      const { deliver, sending, sent } = setUp(window);
      const first = deliver("first", {}, TestClient.gone());
      await settle();
      const second = deliver("second");
      await settle();
      assert.equal(sent(), expected);
      sending.forEach(({ end }) => end(SENT));
      await Promise.all([first, second]);
    }
  });
});
