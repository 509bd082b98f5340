// What a mail service would certainly refuse never comes into a queue.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Delivery, NotSent } from "../../src/delivery/delivery.ts";
import { EarlyRefusal } from "../../src/delivery/early_refusal.ts";
import { reply } from "../../src/smtp/reply.ts";
import { ACCOUNT, accountWith, attemptOf, submissionOf, tokenOf } from "../support/submissions.ts";

const QUEUED = { type: "queued", reply: reply(250, "2.0.0", "OK") } as const;
const REFUSED: NotSent = {
  type: "refused",
  reply: reply(552, "5.3.4", "too deep"),
  ambiguous: false,
  code: "MAX_MIME_DEPTH",
  detail: "too deep",
};

describe("an early refusal", () => {
  const attempt = attemptOf(accountWith(tokenOf("token")));

  function nextDelivery(): Delivery & { readonly ids: string[] } {
    const ids: string[] = [];
    return {
      ids,
      deliver(submission) {
        ids.push(submission.id);
        return Promise.resolve(QUEUED);
      },
    };
  }

  it("keeps a message from the next delivery, with the service's reason", async () => {
    const next = nextDelivery();
    const delivery = new EarlyRefusal(next, { refusal: () => REFUSED });
    assert.deepEqual(await delivery.deliver(submissionOf(ACCOUNT), attempt), REFUSED);
    assert.deepEqual(next.ids, []);
  });

  for (const backend of [{ refusal: () => undefined }, {}]) {
    it(`hands on what the service may accept (${"refusal" in backend ? "asked" : "it cannot say"})`, async () => {
      const next = nextDelivery();
      const submission = submissionOf(ACCOUNT);
      assert.deepEqual(await new EarlyRefusal(next, backend).deliver(submission, attempt), QUEUED);
      assert.deepEqual(next.ids, [submission.id]);
    });
  }
});
