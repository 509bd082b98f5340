/** Whether a message may be sent at this moment, as the queue says. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { reasonNotToSend } from "../../src/delivery/before_sending.ts";
import type { NotSent } from "../../src/delivery/delivery.ts";
import { formatReply } from "../../src/smtp/reply.ts";

const SENDING = { mailbox: "ann@x.test", messageId: "<1@x.test>", draft: "AAMk" };

function line(outcome: NotSent | undefined): string {
  assert(outcome?.type === "later" && !outcome.ambiguous);
  return formatReply(outcome.reply).trimEnd();
}

describe("a message about to be sent", () => {
  it("may be sent if the queue says so, which learns what finds it later", async () => {
    const progress: unknown[] = [];
    const record = (given: unknown) => Promise.resolve(progress.push(given) > 0);
    assert.equal(await reasonNotToSend(record, SENDING), undefined);
    assert.deepEqual(progress, [SENDING]);
  });

  it("must not be sent if another relay has it", async () => {
    const outcome = await reasonNotToSend(() => Promise.resolve(false), SENDING);
    assert.equal(outcome?.code, "NOT_OWNED");
    assert.match(line(outcome), /^451 4\.3\.0 NOT_OWNED: another relay has taken the message/);
  });

  it("must not be sent if that cannot be recorded, for whatever reason", async () => {
    const full = Object.assign(new Error("queue.db: no room"), { code: "SQLITE_FULL" });
    const refused = await reasonNotToSend(() => Promise.reject(full), SENDING);
    assert.equal(refused?.code, "SQLITE_FULL");
    assert.match(
      line(refused),
      /^451 4\.3\.0 SQLITE_FULL: .*queue\.db: no room.*nothing was sent$/,
    );
    for (const thrown of [new Error("no code"), "a string", undefined]) {
      const outcome = await reasonNotToSend(() => Promise.reject(thrown), SENDING);
      assert.match(line(outcome), /^451 4\.3\.0 NOT_RECORDED: /);
    }
  });
});
