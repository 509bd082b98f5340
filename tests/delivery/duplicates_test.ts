/**
 * A message whose client was gone before its 250 is not sent a second time (DUPLICATE_WINDOW;
 * RFC 1047 tells how such duplicates come about).
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import { Duplicates } from "../../src/delivery/duplicates.ts";
import type { Outcome, SentBefore, Submission } from "../../src/delivery/outcome.ts";
import { reply } from "../../src/smtp/reply.ts";
import { accountWith, submissionOf, tokenOf } from "../support/submissions.ts";

const WINDOW = 600_000;
/** The client was not there for the reply, or was. */
const GONE = Promise.resolve(true);
const THERE = Promise.resolve(false);
const REPEATED: SentBefore = { type: "sentBefore", reply: reply(250, "2.0.0", "OK"), id: "first" };
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
    duplicates.abandon(submission("first"), 1, Promise.resolve(SENT), GONE);
    assert.equal(await duplicates.sentBefore(submission("second"), 2), "first");
    pass(WINDOW - 1);
    assert.equal(await duplicates.sentBefore(submission("third"), 2), "first");
    pass(2);
    assert.equal(duplicates.sentBefore(submission("fourth"), 2), undefined);
  });

  it("is another one where the client had ended its side alone, and was there", async () => {
    const { duplicates } = at();
    const there = Promise.withResolvers<boolean>();
    duplicates.abandon(submission("first"), 1, Promise.resolve(SENT), there.promise);
    const second = Promise.resolve(duplicates.sentBefore(submission("second"), 2));
    there.resolve(false);
    assert.equal(await second, undefined);
    assert.equal(duplicates.sentBefore(submission("third"), 3), undefined);
  });

  it("is another one after a client was there to read that it had been sent", async () => {
    for (const answer of ["stays", "ends its side"]) {
      const { duplicates } = at();
      duplicates.abandon(submission("first"), 1, Promise.resolve(SENT), GONE);
      const second = submission("second");
      assert.equal(await duplicates.sentBefore(second, 2), "first");
      if (answer === "stays") duplicates.answered(second);
      else duplicates.abandon(second, 2, Promise.resolve(REPEATED), THERE);
      for (let i = 0; i < 5; i++) await Promise.resolve();
      assert.equal(duplicates.sentBefore(submission("third"), 3), undefined, answer);
    }
  });

  it("is known on where the second try's client was gone, too", async () => {
    const { duplicates } = at();
    duplicates.abandon(submission("first"), 1, Promise.resolve(SENT), GONE);
    await duplicates.sentBefore(submission("second"), 2);
    duplicates.abandon(submission("second"), 2, Promise.resolve(REPEATED), GONE);
    for (let i = 0; i < 5; i++) await Promise.resolve();
    assert.equal(await duplicates.sentBefore(submission("third"), 3), "first");
  });

  it("is known again while it is still under way: the second try waits for the first", async () => {
    const { duplicates } = at();
    const first = Promise.withResolvers<Outcome>();
    duplicates.abandon(submission("first"), 1, first.promise, GONE);
    const second = Promise.resolve(duplicates.sentBefore(submission("second"), 2));
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
    duplicates.abandon(submission("first"), 1, first.promise, GONE);
    pass(WINDOW * 2);
    first.resolve(SENT);
    assert.equal(await duplicates.sentBefore(submission("second"), 2), "first");
    pass(WINDOW - 1);
    assert.equal(await duplicates.sentBefore(submission("second"), 2), "first");
  });

  it("is the same whatever pieces its content came in", async () => {
    const { duplicates } = at();
    duplicates.abandon(submission("first"), 1, Promise.resolve(SENT), GONE);
    const [whole] = submission("").content;
    const cut = [whole!.subarray(0, 7), whole!.subarray(7)];
    assert.equal(await duplicates.sentBefore(submission("second", { content: cut }), 2), "first");
  });

  for (const ambiguous of [true, false]) {
    it(`is to be sent again where it ${ambiguous ? "may have been" : "was not"} sent`, async () => {
      const { duplicates } = at();
      duplicates.abandon(submission("first"), 1, Promise.resolve(notSent(ambiguous)), GONE);
      assert.equal(await duplicates.sentBefore(submission("second"), 2), undefined);
      assert.equal(duplicates.sentBefore(submission("third"), 2), undefined);
    });
  }

  it("is to be sent again where its delivery broke with an error", async () => {
    const { duplicates } = at();
    duplicates.abandon(submission("first"), 1, Promise.reject(new Error("a bug")), GONE);
    assert.equal(await duplicates.sentBefore(submission("second"), 2), undefined);
    assert.equal(duplicates.sentBefore(submission("third"), 2), undefined, "nothing is left of it");
  });

  it("keeps the id of the first that was sent, whatever becomes of another", async () => {
    const { duplicates } = at();
    duplicates.abandon(submission("first"), 1, Promise.resolve(SENT), GONE);
    await duplicates.sentBefore(submission("second"), 2);
    duplicates.abandon(submission("second"), 1, Promise.resolve(notSent(true)), GONE);
    await duplicates.sentBefore(submission("third"), 2);
    assert.equal(duplicates.sentBefore(submission("fourth"), 2), "first");
  });

  it("is remembered from its second try where the first failed", async () => {
    const { duplicates } = at();
    duplicates.abandon(submission("first"), 1, Promise.resolve(notSent(true)), GONE);
    assert.equal(await duplicates.sentBefore(submission("second"), 2), undefined);
    duplicates.abandon(submission("second"), 1, Promise.resolve(SENT), GONE);
    assert.equal(await duplicates.sentBefore(submission("third"), 2), "second");
  });

  it("does not hide one that differs in account, envelope or content", async () => {
    const { duplicates } = at();
    const first = submission("first");
    duplicates.abandon(first, 1, Promise.resolve(SENT), GONE);
    assert.equal(await duplicates.sentBefore(submission("again"), 2), "first");
    const { envelope, account } = first;
    const others: Partial<Submission>[] = [
      { account: { ...account, clientId: "33333333-3333-3333-3333-333333333333" } },
      { account: { ...account, tenantId: "33333333-3333-3333-3333-333333333333" } },
      { account: { ...account, fromEmail: "other@x.test" } },
      { account: { ...account, entry: "scanner" } },
      { envelope: { ...envelope, from: "eve@x.test" } },
      { envelope: { ...envelope, recipients: ["bea@x.test", "cem@x.test"] } },
      { envelope: { from: "", recipients: ["ann@x.test", "bea@x.test"] } },
      { content: [...first.content, Buffer.from(" ")] },
    ];
    for (const other of others) {
      assert.equal(duplicates.sentBefore(submission("other", other), 2), undefined);
    }
  });

  it("is nothing to who only claims to be its account, by a token that nobody has verified", async () => {
    const { duplicates } = at();
    const first = submission("first");
    const forged = { ...first.account, unproved: () => "forged" };
    duplicates.abandon(first, 1, Promise.resolve(SENT), GONE);
    const attempt = submission("second", { account: forged });
    assert.equal(duplicates.sentBefore(attempt, 2), undefined);
    // Nor does it change what is remembered of the real one.
    duplicates.abandon(attempt, 2, Promise.resolve(notSent(false)), GONE);
    await Promise.resolve();
    assert.equal(await duplicates.sentBefore(submission("third"), 3), "first");
  });

  it("is known again to a token that was verified by it, before that and behind it", async () => {
    const { duplicates } = at();
    let token: string | undefined = "brought";
    const account = { ...submission("").account, unproved: () => token };
    const first = Promise.withResolvers<Outcome>();
    duplicates.abandon(submission("first", { account }), 1, first.promise, GONE);
    const second = Promise.resolve(duplicates.sentBefore(submission("second", { account }), 2));
    token = undefined;
    first.resolve(SENT);
    assert.equal(await second, "first");
    assert.equal(await duplicates.sentBefore(submission("third", { account }), 3), "first");
  });

  it("is forgotten, the oldest first, where there are too many", async () => {
    const { duplicates } = at(2);
    const message = (id: string, n: number) => submission(id, { content: [Buffer.from([n])] });
    for (const n of [1, 2, 3]) {
      duplicates.abandon(message(`id${n}`, n), 1, Promise.resolve(SENT), GONE);
      await duplicates.sentBefore(message("again", n), 2);
    }
    assert.equal(duplicates.sentBefore(message("again", 1), 2), undefined);
    assert.equal(await duplicates.sentBefore(message("again", 2), 2), "id2");
    assert.equal(await duplicates.sentBefore(message("again", 3), 2), "id3");
  });
});
