// Group commit: what is asked while a batch is being committed goes together in the next one.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setImmediate } from "node:timers/promises";
import { Batches } from "../../../src/queue/sqlite/batches.ts";
import type {
  AddedMessage,
  Operation,
  Request,
  Result,
} from "../../../src/queue/sqlite/protocol.ts";
import { StoreError } from "../../../src/queue/store.ts";

const TOTALS = {
  messages: { queued: 0, sending: 0, held: 0, dead: 0 },
  octets: 0,
  oldest: undefined,
  oldestDead: undefined,
};
const FULL = { code: "SQLITE_FULL", message: "disk is full", full: true, setup: false };

/** A worker that answers when the test says so. */
function start() {
  const sent: (readonly Operation[])[] = [];
  const batches: Batches = new Batches({
    postMessage: (request: Request) =>
      void ("operations" in request && sent.push(request.operations)),
  }, () => {});
  const answer = (result: (operation: Operation) => Result = () => ({ value: undefined })) =>
    batches.answered({ results: sent.at(-1)!.map(result), totals: TOTALS });
  const add = (id: string, octets = 1) => {
    const content = new ArrayBuffer(octets);
    return batches.run("add", { message: { id, content } as AddedMessage, now: 0 }, [content]);
  };
  return { sent, batches, answer, add };
}

describe("batches of operations for the store's worker", () => {
  it("have what is asked in one turn, and then what is asked meanwhile", async () => {
    const { sent, answer, add } = start();
    const first = [add("a"), add("b")];
    await setImmediate();
    const second = Array.from({ length: 50 }, (_, index) => add(`c-${index}`));
    await setImmediate();
    assert.deepEqual(sent.map((batch) => batch.length), [2], "one is under way at a time");
    answer();
    await Promise.all(first);
    assert.deepEqual(sent.map((batch) => batch.length), [2, 50]);
    answer();
    await Promise.all(second);
  });

  it("have at most 256 operations, and 8 MiB unless one alone is larger", async () => {
    const { sent, answer, add } = start();
    const many = Array.from({ length: 300 }, (_, index) => add(`a-${index}`));
    await setImmediate();
    answer();
    answer();
    await Promise.all(many);
    const MIB = 1024 * 1024;
    const large = [add("b", 3 * MIB), add("c", 5 * MIB), add("d", 1), add("e", 20 * MIB)];
    await setImmediate();
    for (let index = 0; index < 3; index++) answer();
    await Promise.all(large);
    assert.deepEqual(sent.map((batch) => batch.length), [256, 44, 2, 1, 1]);
  });

  it("fail for each operation by itself", async () => {
    const { answer, add } = start();
    const results = Promise.allSettled(["a", "b", "c"].map((id) => add(id)));
    await setImmediate();
    answer((operation) =>
      operation.kind === "add" && operation.message.id === "b"
        ? { error: FULL }
        : { value: undefined }
    );
    const [a, b, c] = await results;
    assert.deepEqual([a!.status, b!.status, c!.status], ["fulfilled", "rejected", "fulfilled"]);
    const error = (b as PromiseRejectedResult).reason;
    assert(error instanceof StoreError && error.full && error.code === "SQLITE_FULL");
  });

  it("are all stored before an orderly end, and fail at another one", async () => {
    const { sent, batches, answer, add } = start();
    const first = add("a");
    await setImmediate();
    const second = add("b");
    let ended = false;
    const end = batches.end(new StoreError("CLOSED", "closed")).then(() => ended = true);
    await assert.rejects(add("c"), /closed/);
    answer();
    await first;
    assert(!ended);
    answer();
    await Promise.all([second, end]);
    assert.equal(sent.length, 2);

    const other = start();
    const lost = [other.add("a")];
    await setImmediate();
    lost.push(other.add("b"));
    other.batches.fail(new StoreError("WORKER", "gone"));
    for (const adding of [...lost, other.add("c")]) await assert.rejects(adding, /gone/);
  });
});
