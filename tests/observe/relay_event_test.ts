/** Listeners to what happens in a relay: each is one function, and none can hurt another. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Notify, notifyAll, type RelayEvent } from "../../src/observe/relay_event.ts";
import { reply } from "../../src/smtp/reply.ts";
import { PRINCIPAL, submissionEvent } from "../support/events.ts";

const CLIENT = { connection: "c0ffee", address: "192.0.2.7", port: 4711 };
const SENT = submissionEvent({ type: "sent", reply: reply(250, "2.0.0", "OK") }, CLIENT, PRINCIPAL);
const FAULT: RelayEvent = { type: "fault", error: new Error("a bug") };

/** Runs, and throws what was left to the process in the meantime. */
function leftToProcess(action: () => void): unknown[] {
  const { queueMicrotask } = globalThis;
  const later: (() => void)[] = [];
  globalThis.queueMicrotask = (run) => void later.push(run);
  try {
    action();
  } finally {
    globalThis.queueMicrotask = queueMicrotask;
  }
  return later.map((run) => {
    try {
      run();
    } catch (error) {
      return error;
    }
    return undefined;
  });
}

describe("a new listener", () => {
  it("is one function, which takes the events that it is about", () => {
    let recipients = 0;
    const billing: Notify = (event) => {
      if (event.type === "message") recipients += event.submission.envelope.recipients.length;
    };
    const seen: string[] = [];
    const notify = notifyAll([(event) => void seen.push(event.type), billing]);
    for (const event of [SENT, FAULT, SENT]) notify(event);
    assert.deepEqual([seen, recipients], [["message", "fault", "message"], 2]);
  });

  it("that throws keeps the event from no other, and its fault is left to the process", () => {
    const error = new Error("a listener's bug");
    const seen: RelayEvent[] = [];
    const notify = notifyAll([
      () => {
        throw error;
      },
      (event) => void seen.push(event),
    ]);
    assert.deepEqual(leftToProcess(() => notify(SENT)), [error]);
    assert.deepEqual(seen, [SENT]);
    // The process reports it as a fault, which may be what fails.
    assert.deepEqual(leftToProcess(() => notify(FAULT)), []);
    assert.deepEqual(seen, [SENT, FAULT]);
  });
});
