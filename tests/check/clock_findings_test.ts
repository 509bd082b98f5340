// This machine's clock against a service's Date, which has no fraction of a second and was written at
// some time between request and response.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { judgeClock } from "../../src/check/clock_findings.ts";

const NOON = Date.parse("2026-11-24T12:00:00Z");
/** @param offset of this machine's clock, seconds; @param took seconds */
const reading = (offset: number, took = 0) => ({
  host: "login.example",
  theirs: NOON,
  ours: NOON + offset * 1000,
  took: took * 1000,
});

describe("the clock", () => {
  const cases: readonly [offset: number, took: number, code: string][] = [
    [0, 0, "clock.ok"],
    [59, 0, "clock.ok"],
    [-59, 0, "clock.ok"],
    [62, 0, "clock.off"],
    [-61, 0, "clock.off"],
    [290, 0, "clock.off"],
    [302, 0, "clock.wrong"],
    [-301, 0, "clock.wrong"],
    // A slow response says less.
    [65, 8, "clock.ok"],
    [-65, 8, "clock.off"],
  ];
  for (const [offset, took, code] of cases) {
    it(`that is ${offset} s ahead after a response of ${took} s is ${code}`, () => {
      assert.equal(judgeClock([reading(offset, took)]).code, code);
    });
  }

  it("is reported with its difference and direction", () => {
    assert.equal(judgeClock([reading(-600)]).what, "10 min behind login.example");
    assert.equal(judgeClock([reading(7201)]).what, "2 h ahead of login.example");
  });

  it("is not wrong if one of two services agrees with it", () => {
    assert.equal(judgeClock([reading(-600), reading(0)]).code, "clock.ok");
  });

  it("is unknown if no service has responded", () => {
    assert.equal(judgeClock([]).code, "clock.unknown");
  });
});
