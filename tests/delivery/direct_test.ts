/** Direct delivery, when clients go before their reply and come again. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { DirectDelivery } from "../../src/delivery/direct.ts";
import type { Backend, Outcome, Submission } from "../../src/delivery/outcome.ts";
import { REPLIES, reply } from "../../src/smtp/reply.ts";
import { accountWith, submissionOf, tokenOf } from "../support/submissions.ts";

/** The client was not there for the reply. */
const GONE = Promise.resolve(true);
const SENT: Outcome = { type: "sent", reply: reply(250, "2.0.0", "OK") };
const NOT_SENT: Outcome = {
  type: "later",
  reply: reply(451, "4.4.1", "Graph cannot be reached"),
  ambiguous: false,
  code: "ECONNREFUSED",
  detail: "",
};

/** A backend that answers when the test says so. */
function setUp(duplicateWindow: number | "off" = 600_000) {
  const sending: { id: string; end: (outcome: Outcome) => void }[] = [];
  const backend: Backend = {
    send: ({ id }) => new Promise((end) => void sending.push({ id, end })),
  };
  const delivery = new DirectDelivery({
    backend,
    hostname: "relay.test",
    reencodeQuotedPrintable: true,
    duplicateWindow,
  });
  const account = accountWith(tokenOf("a.b.c"));
  const submission = (id: string): Submission => ({ ...submissionOf(account), id });
  const sent = () => sending.map(({ id }) => id).join(" ");
  return { delivery, sending, sent, submission };
}

async function settle(): Promise<void> {
  for (let i = 0; i < 50; i++) await Promise.resolve();
}

describe("a message that is tried again by a client that was gone", () => {
  it("goes to the backend once, and each try gets the first one's id", async () => {
    const { delivery, sending, sent, submission } = setUp();
    const first = submission("first");
    const firstOutcome = delivery.deliver(first);
    delivery.abandon(first, GONE);
    const second = delivery.deliver(submission("second"));
    const third = delivery.deliver(submission("third"));
    await settle();
    sending[0]!.end(SENT);
    assert.equal((await firstOutcome).type, "sent");
    for (const outcome of [await second, await third]) {
      assert(outcome.type === "sentBefore" && outcome.id === "first");
      assert.equal(outcome.reply.code, 250);
    }
    assert.equal(sent(), "first");
  });

  it("is sent by the second try where the first was not, and then not by the third", async () => {
    const { delivery, sending, sent, submission } = setUp();
    const [first, second] = [submission("first"), submission("second")];
    void delivery.deliver(first);
    delivery.abandon(first, GONE);
    // The second gives up too, while it still waits for the first.
    void delivery.deliver(second);
    delivery.abandon(second, GONE);
    const third = delivery.deliver(submission("third"));
    await settle();
    sending[0]!.end(NOT_SENT);
    await settle();
    assert.equal(sent(), "first second");
    const fourth = delivery.deliver(submission("fourth"));
    sending[1]!.end(SENT);
    for (const outcome of [await third, await fourth]) {
      assert(outcome.type === "sentBefore" && outcome.id === "second");
    }
    assert.equal(sent(), "first second");
  });

  it("waits for nobody in a circle, however many tries are given up", async () => {
    const { delivery, sending, submission } = setUp();
    const tries = Array.from({ length: 5 }, (_, i) => submission(`try${i}`));
    const outcomes = tries.map((attempt) => {
      const outcome = delivery.deliver(attempt);
      delivery.abandon(attempt, GONE);
      return outcome;
    });
    for (let i = 0; i < tries.length; i++) {
      await settle();
      sending[i]!.end(NOT_SENT);
    }
    for (const outcome of outcomes) assert.equal((await outcome).type, "later");
    assert.equal(sending.length, tries.length);
  });

  it("is put off while it waits for another try, where others need its place", async () => {
    const { delivery, sending, sent, submission } = setUp();
    const first = submission("first");
    const firstOutcome = delivery.deliver(first);
    delivery.abandon(first, GONE);
    const waits: (boolean | undefined)[] = [];
    let end: (() => void) | undefined;
    const second = delivery.deliver(submission("second"), (ending) => {
      end = ending ?? end;
      waits.push(ending !== undefined);
    });
    const third = delivery.deliver(submission("third"));
    await settle();
    end!();
    const outcome = await second;
    assert(outcome.type === "later" && outcome.code === "OVER_SHARE");
    assert.deepEqual(waits, [true, false]);
    sending[0]!.end(SENT);
    assert.deepEqual([(await firstOutcome).type, (await third).type], ["sent", "sentBefore"]);
    assert.equal(sent(), "first");
  });

  it("is sent twice where both clients are there, or DUPLICATE_WINDOW is off", async () => {
    for (const window of [600_000, "off"] as const) {
      const { delivery, sending, sent, submission } = setUp(window);
      const first = submission("first");
      void delivery.deliver(first);
      if (window === "off") delivery.abandon(first, GONE);
      void delivery.deliver(submission("second"));
      await settle();
      assert.equal(sent(), "first second");
      sending.forEach(({ end }) => end(SENT));
    }
  });
});

describe("a message that another entry of the same app has just sent", () => {
  const of = (submission: Submission, entry: string, may: boolean): Submission => ({
    ...submission,
    account: {
      ...submission.account,
      entry,
      ...(may ? {} : { refusesSender: () => REPLIES.senderNotAllowed }),
    },
  });

  it("is none of this one's: it is sent for itself", async () => {
    const { delivery, sending, sent, submission } = setUp();
    const first = of(submission("first"), "scanner", true);
    void delivery.deliver(first);
    delivery.abandon(first, GONE);
    await settle();
    sending[0]!.end(SENT);
    await settle();
    const second = delivery.deliver(of(submission("second"), "printer", true));
    await settle();
    assert.equal(sent(), "first second");
    sending[1]!.end(SENT);
    assert.equal((await second).type, "sent");
  });

  it("is refused where this one may not send as its author", async () => {
    const { delivery, sending, sent, submission } = setUp();
    const first = of(submission("first"), "scanner", true);
    void delivery.deliver(first);
    delivery.abandon(first, GONE);
    await settle();
    sending[0]!.end(SENT);
    await settle();
    // Another entry; and the same one, whose list has been made shorter meanwhile.
    for (const entry of ["printer", "scanner"]) {
      const outcome = await delivery.deliver(of(submission("second"), entry, false));
      assert(outcome.type === "refused" && outcome.code === "SENDER_NOT_ALLOWED", entry);
    }
    assert.equal(sent(), "first");
  });

  it("is refused at once, while the first is still under way", async () => {
    const { delivery, sent, submission } = setUp();
    const first = of(submission("first"), "scanner", true);
    void delivery.deliver(first);
    delivery.abandon(first, GONE);
    const outcome = await delivery.deliver(of(submission("second"), "scanner", false));
    assert.equal(outcome.type, "refused");
    assert.equal(sent(), "first");
  });
});

describe("a sender who is not allowed", () => {
  it("is named once in the log, with the list that does not have it", async () => {
    const { delivery, sent, submission } = setUp();
    const { account, ...rest } = submission("first");
    const outcome = await delivery.deliver({
      ...rest,
      account: { ...account, refusesSender: () => REPLIES.senderNotAllowed },
    });
    assert(outcome.type === "refused" && outcome.code === "SENDER_NOT_ALLOWED");
    assert.equal(outcome.detail, "ann@x.test may not send: it is not in ALLOWED_SENDERS");
    assert.equal(
      outcome.reply.text,
      "Sender not allowed: it is not in ALLOWED_SENDERS (ann@x.test)",
    );
    assert.equal(sent(), "");
  });
});
