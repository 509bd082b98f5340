/**
 * A message whose client was gone before its 250 is not sent a second time (DUPLICATE_WINDOW;
 * RFC 1047 tells how such duplicates come about).
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import { Duplicates } from "../../src/delivery/duplicates.ts";
import type { Outcome, Submission } from "../../src/delivery/outcome.ts";
import { reply } from "../../src/smtp/reply.ts";
import { accountWith, submissionOf, tokenOf } from "../support/submissions.ts";

const WINDOW = 600_000;
const SENT: Outcome = { type: "sent", reply: reply(250, "2.0.0", "OK") };
const notSent = (ambiguous: boolean): Outcome => ({
  type: "later",
  reply: reply(451, "4.4.2", "no clear answer"),
  ambiguous,
  code: "ETIMEDOUT",
  detail: "",
});

function submission(id: string, changes: Partial<Submission> = {}): Submission {
  return { ...submissionOf(accountWith(tokenOf("a.b.c"))), id, ...changes };
}

function at(capacity?: number) {
  let now = 1000;
  const duplicates = new Duplicates({
    window: WINDOW,
    now: () => now,
    ...(capacity === undefined ? {} : { capacity }),
  });
  return { duplicates, pass: (milliseconds: number) => now += milliseconds };
}

describe("a message whose client was gone before its 250", () => {
  it("is known again for the window, under its first id, and not longer", async () => {
    const { duplicates, pass } = at();
    duplicates.abandon(submission("first"), Promise.resolve(SENT));
    assert.equal(await duplicates.sentBefore(submission("second")), "first");
    pass(WINDOW - 1);
    assert.equal(await duplicates.sentBefore(submission("third")), "first");
    pass(2);
    assert.equal(duplicates.sentBefore(submission("fourth")), undefined);
  });

  it("is known again while it is still under way: the second try waits for the first", async () => {
    const { duplicates } = at();
    const first = Promise.withResolvers<Outcome>();
    duplicates.abandon(submission("first"), first.promise);
    const second = Promise.resolve(duplicates.sentBefore(submission("second")));
    let settled = false;
    void second.then(() => settled = true);
    await Promise.resolve();
    assert.equal(settled, false);
    first.resolve(SENT);
    assert.equal(await second, "first");
  });

  it("is the window's from when it was sent, not from when its client went", async () => {
    const { duplicates, pass } = at();
    const first = Promise.withResolvers<Outcome>();
    duplicates.abandon(submission("first"), first.promise);
    pass(WINDOW * 2);
    first.resolve(SENT);
    assert.equal(await duplicates.sentBefore(submission("second")), "first");
    pass(WINDOW - 1);
    assert.equal(await duplicates.sentBefore(submission("second")), "first");
  });

  it("is the same whatever pieces its content came in", async () => {
    const { duplicates } = at();
    duplicates.abandon(submission("first"), Promise.resolve(SENT));
    const [whole] = submission("").content;
    const cut = [whole!.subarray(0, 7), whole!.subarray(7)];
    assert.equal(await duplicates.sentBefore(submission("second", { content: cut })), "first");
  });

  for (const ambiguous of [true, false]) {
    it(`is to be sent again where it ${ambiguous ? "may have been" : "was not"} sent`, async () => {
      const { duplicates } = at();
      duplicates.abandon(submission("first"), Promise.resolve(notSent(ambiguous)));
      assert.equal(await duplicates.sentBefore(submission("second")), undefined);
      assert.equal(duplicates.sentBefore(submission("third")), undefined);
    });
  }

  it("is to be sent again where its delivery broke with an error", async () => {
    const { duplicates } = at();
    duplicates.abandon(submission("first"), Promise.reject(new Error("a bug")));
    assert.equal(await duplicates.sentBefore(submission("second")), undefined);
  });

  it("is remembered from its second try where the first failed", async () => {
    const { duplicates } = at();
    duplicates.abandon(submission("first"), Promise.resolve(notSent(true)));
    assert.equal(await duplicates.sentBefore(submission("second")), undefined);
    duplicates.abandon(submission("second"), Promise.resolve(SENT));
    assert.equal(await duplicates.sentBefore(submission("third")), "second");
  });

  it("does not hide one that differs in account, envelope or content", async () => {
    const { duplicates } = at();
    const first = submission("first");
    duplicates.abandon(first, Promise.resolve(SENT));
    assert.equal(await duplicates.sentBefore(first), "first");
    const { envelope, account } = first;
    const others: Partial<Submission>[] = [
      { account: { ...account, clientId: "33333333-3333-3333-3333-333333333333" } },
      { account: { ...account, tenantId: "33333333-3333-3333-3333-333333333333" } },
      { envelope: { ...envelope, from: "eve@x.test" } },
      { envelope: { ...envelope, recipients: ["bea@x.test", "cem@x.test"] } },
      { envelope: { from: "", recipients: ["ann@x.test", "bea@x.test"] } },
      { content: [...first.content, Buffer.from(" ")] },
    ];
    for (const other of others) {
      assert.equal(duplicates.sentBefore(submission("other", other)), undefined);
    }
  });

  it("is forgotten, the oldest first, where there are too many", async () => {
    const { duplicates } = at(2);
    const message = (n: number) => submission(`id${n}`, { content: [Buffer.from([n])] });
    for (const n of [1, 2, 3]) {
      duplicates.abandon(message(n), Promise.resolve(SENT));
      await duplicates.sentBefore(message(n));
    }
    assert.equal(duplicates.sentBefore(message(1)), undefined);
    assert.equal(await duplicates.sentBefore(message(2)), "id2");
    assert.equal(await duplicates.sentBefore(message(3)), "id3");
  });
});
