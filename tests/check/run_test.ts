// Checks run concurrently; a failing one does not affect the others.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { finding } from "../../src/check/finding.ts";
import { type Check, runChecks } from "../../src/check/run.ts";

const sound = (run: Check["run"], deadline = 60_000): Check => ({
  subject: "graph",
  deadline,
  run,
});
const fine = [finding("clock.ok", "fine")];

async function all(checks: readonly Check[]) {
  const found = [];
  for await (const one of runChecks(checks)) found.push(one);
  return found;
}

describe("checks", () => {
  it("start together, and are reported in order", async () => {
    const second = Promise.withResolvers<void>();
    const found = await all([
      // Ends only when the next one has begun.
      sound(async () => {
        await second.promise;
        return [finding("graph.ok", "first")];
      }),
      sound(() => {
        second.resolve();
        return Promise.resolve([finding("clock.ok", "second")]);
      }),
    ]);
    assert.deepEqual(found.map(({ what }) => what), ["first", "second"]);
  });

  it("that do not end are abandoned, and the others reported", async () => {
    const found = await all([sound(() => new Promise(() => {}), 5), sound(async () => await fine)]);
    assert.deepEqual(found.map(({ code, subject, level }) => [code, subject, level]), [
      ["check.deadline", "graph", "fail"],
      ["clock.ok", "clock", "ok"],
    ]);
  });

  it("that throw, synchronously or later, are their own FAIL", async () => {
    const found = await all([
      sound(() => {
        throw new TypeError("now");
      }),
      sound(() => Promise.reject(new Error("later"))),
      sound(async () => await fine),
    ]);
    assert.deepEqual(found.map(({ code, what }) => [code, what]), [
      ["check.error", "TypeError: now"],
      ["check.error", "Error: later"],
      ["clock.ok", "fine"],
    ]);
  });
});

describe("a finding", () => {
  it("is one line of bounded length, whatever a service has sent", () => {
    const { what } = finding("graph.broken", `a\r\nb\x1b[31m${"c".repeat(10_000)}`);
    assert.match(what, /^a b \[31mc+$/);
    assert.ok(what.length <= 600);
  });
});
