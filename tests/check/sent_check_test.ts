/** Whether the test message is found by its Message-ID, which QUEUE_AMBIGUOUS=ask relies on. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { checkFound } from "../../src/check/sent_check.ts";
import type { SentAnswer, SentQuestion } from "../../src/delivery/sent_lookup.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { accountWith, tokenOf } from "../support/submissions.ts";

const account = accountWith(tokenOf("x"));
const QUESTION = {
  account,
  authorization: account,
  sending: { mailbox: "scanner@x.test", messageId: "<check-1@relay.test>" },
  since: 1000,
};

async function check(...answers: readonly SentAnswer[]) {
  const clock = new FakeClock();
  const asked: SentQuestion[] = [];
  const service = {
    lookUp(question: SentQuestion) {
      asked.push(question);
      return Promise.resolve(answers[Math.min(asked.length, answers.length) - 1]!);
    },
  };
  const { code, what } = await checkFound(service, QUESTION, clock);
  return { code, what, asked, sleeps: clock.sleeps };
}

describe("the test message", () => {
  it("is found at once, or later: its copy appears late", async () => {
    const atOnce = await check({ type: "sent" });
    assert.deepEqual([atOnce.code, atOnce.sleeps], ["message.found", []]);
    assert.match(atOnce.what, /^scanner@x\.test has <check-1@relay\.test> /);
    const later = await check({ type: "notFound" }, { type: "later", detail: "" }, {
      type: "sent",
    });
    assert.deepEqual([later.code, later.sleeps], ["message.found", [2000, 3000]]);
    // A draft is never deleted: the message was sent.
    assert(later.asked.every(({ isLast }) => !isLast));
    assert.deepEqual(later.asked[0]!.sending, QUESTION.sending);
  });

  it("is not found after a minute", async () => {
    const { code, sleeps } = await check({ type: "notFound" });
    assert.equal(code, "message.not-found");
    assert.equal(sleeps.reduce((sum, time) => sum + time), 60_000);
  });

  it("cannot be looked for by an app without the permission", async () => {
    const { code, asked, what } = await check({ type: "forbidden", detail: "ErrorAccessDenied" });
    assert.deepEqual([code, asked.length], ["message.find-forbidden", 1]);
    assert.match(what, /ErrorAccessDenied/);
  });

  it("is not known to be there if Graph does not answer", async () => {
    const { code, what } = await check({ type: "later", detail: "HTTP 503" });
    assert.equal(code, "message.find-failed");
    assert.match(what, /HTTP 503/);
  });
});
