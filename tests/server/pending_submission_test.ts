// A message that is being submitted: when its wait can be ended, and what its delivery hears of the client.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { PendingSubmission } from "../../src/server/pending_submission.ts";
import type { Reservation } from "../../src/smtp/reservation.ts";
import type { ReceivedMessage } from "../../src/submission/submission_service.ts";

const MESSAGE: ReceivedMessage = {
  envelope: { from: "a@x.test", recipients: ["b@x.test"] },
  content: [],
  facts: { helo: "printer", esmtp: true, tls: true, smtputf8: false },
  client: { connection: "0a1b2c3d", address: "192.0.2.7", port: 1025 },
  receiving: 0,
};

function setUp() {
  const calls: string[] = [];
  const reservation: Reservation = {
    expect: () => true,
    ensure: () => true,
    settle() {},
    release: () => void calls.push("release"),
    giveUp: undefined,
  };
  const pending = new PendingSubmission(
    MESSAGE,
    reservation,
    (isWaiting) => calls.push(isWaiting ? "waits" : "goes on"),
  );
  return { pending, reservation, calls };
}

describe("a message that is being submitted", () => {
  it("can be given up only while it waits for its turn", () => {
    const { pending, reservation, calls } = setUp();
    assert.equal(reservation.giveUp, undefined);
    pending.waiting(true);
    assert.notEqual(reservation.giveUp, undefined);
    pending.waiting(false);
    assert.equal(reservation.giveUp, undefined);
    assert.deepEqual(calls, ["waits", "goes on"]);
  });

  it("has a wait ended, whether the connection or the memory is needed", () => {
    const { pending, reservation } = setUp();
    pending.waiting(true);
    const { signal } = pending;
    assert.equal(signal.aborted, false);
    reservation.giveUp!();
    assert.equal(signal.aborted, true);
    const { pending: other } = setUp();
    other.waiting(true);
    other.endWait();
    assert.equal(other.signal.aborted, true);
  });

  it("keeps its next wait where none was under way to be ended", () => {
    const { pending } = setUp();
    pending.endWait();
    pending.waiting(true);
    pending.waiting(false);
    pending.endWait();
    assert.equal(pending.signal.aborted, false);
  });

  it("gives back its memory once, and hears what became of its client", async () => {
    const { pending, calls } = setUp();
    pending.clientLeft();
    await pending.left;
    pending.clientReplied(false);
    pending.clientReplied(true);
    assert.equal(await pending.replied, false);
    pending.release();
    assert.deepEqual(calls, ["release"]);
  });

  it("hears what became of its client, whether it asks before the reply or after it", async () => {
    for (const reached of [true, false]) {
      const { pending } = setUp();
      const before = pending.replied;
      pending.clientReplied(reached);
      assert.equal(await before, reached);
      assert.equal(await pending.replied, reached);
    }
  });
});
